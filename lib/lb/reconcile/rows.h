// How rows change owners (docs/architecture.md "Moving rows"): each change is a few aligned stores
// whose order leaves no packet with a wrong owner.
#pragma once
#include <cstdint>
#include <functional>

#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

/// Of CLOCK_MONOTONIC, as Writer::now() tells them.
using Seconds = std::uint32_t;

inline constexpr std::uint16_t every_flow = 0xffff;  // of a filter: nothing is known of the row

class Rows {
 public:
  explicit Rows(Writer& writer) : writer_{writer} {}

  [[nodiscard]] std::uint16_t owner(std::uint32_t row) const;  ///< slot, or SLOT_NONE
  [[nodiscard]] bool moving(std::uint32_t row) const;
  [[nodiscard]] std::uint16_t home(std::uint32_t row) const;  ///< of a moving row

  /// Gives rows that no packet can see yet their first owner.
  void found(std::uint32_t row, std::uint16_t owner);
  /// Gives a settled or moving row a new owner. `protect`: the present one still serves its known
  /// flows, so a settled row begins to move with it as home.
  void change(std::uint32_t row, std::uint16_t owner, bool protect, Seconds now);
  /// Gives a row its owner at once; flows of others are nobody's.
  void force(std::uint32_t row, std::uint16_t owner);
  /// home := cur: unknown flows are the owner's from now on, and none is stored any more.
  void give_up_home(std::uint32_t row, Seconds now);
  /// Whether home == cur for so long that no start of before can be confirmed any more: what is
  /// stored of the row's flows is all in the flow table.
  [[nodiscard]] bool may_end(std::uint32_t row, Seconds now) const;
  /// Ends, once it may and a grace period has passed: `foreign` is the set of filter bits
  /// of the entries that name other backends. Without any the row settles.
  void end(std::uint32_t row, std::uint16_t foreign);

 private:
  void set(std::uint32_t row, std::uint16_t value);
  [[nodiscard]] abi::side& side(std::uint32_t row) const { return writer_.tables().side[row]; }
  void set_side(std::uint32_t row, std::uint16_t home, std::uint16_t filter);

  Writer& writer_;
};

}  // namespace lbd::reconcile
