// The writer of the two frontend tables that packets look into (xdp/abi.h "Frontends"). A packet
// sees a key's old record or its new one, never a mixture and never neither.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "lb/dataplane/keys.h"
#include "lb/model/result.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

using dataplane::FrontendKey;

class FrontendTable {
 public:
  explicit FrontendTable(Writer& writer) : writer_{writer} {}

  /// All that the tables hold.
  [[nodiscard]] std::map<FrontendKey, abi::frontend> read() const;

  /// Adds or replaces. An Error where there is no room, and nothing has changed then. A replaced
  /// record stays beside the new one until finish(): packets may see either.
  Result<> put(const FrontendKey&, const abi::frontend&);
  /// Clears what put() replaced, and second copies that a crash left.
  void finish();
  void erase(const FrontendKey&);

 private:
  /// A place in the table of one family.
  struct Cell {
    bool v6 = false;
    std::uint32_t bucket = 0;
    std::uint32_t index = 0;  // within the bucket
    bool operator==(const Cell&) const = default;
  };

  [[nodiscard]] std::vector<Cell> candidates(const FrontendKey&) const;
  [[nodiscard]] bool is_free(const Cell&) const;
  [[nodiscard]] FrontendKey key_at(const Cell&) const;
  [[nodiscard]] abi::frontend& value_at(const Cell&) const;
  /// The cells that hold the key: more than one while it is being replaced, or after a crash.
  [[nodiscard]] std::vector<Cell> copies(const FrontendKey&) const;
  [[nodiscard]] const Cell* find_free(const std::vector<Cell>& among) const;
  Result<> fill(const Cell&, const FrontendKey&, const abi::frontend&);
  void clear(const Cell&);
  Result<Cell> make_room(const FrontendKey&);

  Writer& writer_;
  std::map<FrontendKey, abi::frontend> replaced_;  // by what
};

}  // namespace lbd::reconcile
