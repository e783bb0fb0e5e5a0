// A port's counters: one a slot of its service, one for backends that are gone, and a short log by
// which a successor finishes what a dead daemon had begun, so that nothing is counted twice or
// lost.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "lb/reconcile/extents.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

/// Counters of a port whose service has so many slots.
[[nodiscard]] constexpr std::uint32_t counters_for(std::uint32_t slots) {
  return slots + 3;
}

class PortCounts {
 public:
  PortCounts(Writer& writer, std::uint32_t base, std::uint32_t slots)
      : writer_{writer}, base_{base}, slots_{slots} {}

  /// Counters that no packet counts in yet: all 0. `from`: those of the same port, of fewer slots,
  /// which they take over; carry() does it once no packet counts there any more.
  Result<> found(std::optional<PortCounts> from);
  /// What each slot has counted, and at index `slots` what gone backends have.
  [[nodiscard]] Result<std::vector<abi::counter>> read() const;
  /// The counters that are yet to be carried over from; nothing else of theirs may be written.
  [[nodiscard]] std::optional<Extent> carries_from() const;
  /// Takes over what carries_from() has counted, if anything.
  Result<> carry();
  /// Adds what a slot has counted, whose backend is gone, to what gone backends have. Only after a
  /// grace period.
  Result<> fold(std::uint16_t slot);
  /// Finishes a fold that a dead daemon had begun.
  Result<> finish();

 private:
  [[nodiscard]] abi::counter& counted(std::uint32_t index) const {
    return writer_.tables().counted[base_ + index];
  }
  [[nodiscard]] abi::counter& fold_total() const { return counted(slots_ + 1); }
  [[nodiscard]] __u64& under_way() const { return counted(slots_ + 2).packets; }
  [[nodiscard]] std::optional<PortCounts> source() const;
  void put(std::uint32_t index, const abi::counter&);
  Result<> zero(std::uint32_t first, std::uint32_t count);

  Writer& writer_;
  std::uint32_t base_;
  std::uint32_t slots_;
};

}  // namespace lbd::reconcile
