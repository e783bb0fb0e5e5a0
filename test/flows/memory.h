// The flow memory as a test reads it: from the maps alone, by the rules of the specification and
// not by the program's code.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "unit/kernel_fixture.h"

namespace lbd::test {

struct RowState {
  std::uint32_t index = 0;
  std::uint16_t owner = SLOT_NONE;  ///< cur
  bool moving = false;
  std::uint16_t home = SLOT_NONE;  ///< of a moving row
  std::uint16_t filter = 0;
  std::uint32_t started = 0;
  std::uint32_t refused = 0;
};

/// Of a kernel's first service.
class Memory {
 public:
  explicit Memory(Kernel& kernel) : kernel_{kernel} {}

  [[nodiscard]] const abi::ring_desc& ring(Protocol) const;
  [[nodiscard]] RowState row(std::uint32_t index) const;
  [[nodiscard]] RowState row_of(const dataplane::Tuple&) const;
  [[nodiscard]] std::uint16_t filter_bit_of(const dataplane::Tuple&) const;
  /// All rows of both rings.
  [[nodiscard]] std::vector<RowState> rows() const;

  [[nodiscard]] const abi::backend& record(std::uint16_t slot) const;
  [[nodiscard]] std::optional<std::uint16_t> slot_of(const IpAddress&) const;
  [[nodiscard]] IpAddress address_of(std::uint16_t slot) const;
  [[nodiscard]] std::vector<dataplane::StoredFlow> flows() const;
  /// Where the flow's stored entry sends it; nothing without an entry that counts.
  [[nodiscard]] std::optional<std::uint16_t> stored(const dataplane::Tuple&) const;
  /// Slots of all start cells that a packet could still confirm.
  [[nodiscard]] std::vector<std::uint16_t> started_slots() const;
  /// Where the start with that initial sequence number went, if its cell is there.
  [[nodiscard]] std::optional<std::uint16_t> start(const dataplane::Tuple&,
                                                   std::uint32_t isn) const;
  /// Whether the slot is used and its generation is the entry's.
  [[nodiscard]] bool names_its_backend(const abi::flow_cell&) const;

  /// Where the row sends a mid-flow packet of which nothing is stored.
  [[nodiscard]] std::uint16_t owner_of_unknown(const RowState&, Protocol) const;

 private:
  [[nodiscard]] const abi::service& service() const;
  [[nodiscard]] dataplane::Tables& tables() const { return kernel_.plane().tables(); }
  Kernel& kernel_;
};

}  // namespace lbd::test
