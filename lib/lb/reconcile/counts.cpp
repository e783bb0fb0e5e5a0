#include "lb/reconcile/counts.h"

namespace lbd::reconcile {
namespace {

// The word of the log: 0, or what is under way.
constexpr std::uint64_t carries = 1ULL << 63;  // | slots of the source << 32 | its base
constexpr std::uint64_t folds = 1ULL << 62;    // | slot
static_assert(COUNTERS_MAX <= UINT32_MAX && SLOTS_MAX < (1 << 16));

void add(abi::counter& to, const abi::counter& more) {
  to.packets += more.packets;
  to.bytes += more.bytes;
}

}  // namespace

void PortCounts::put(std::uint32_t index, const abi::counter& value) {
  writer_.store().put(counted(index).packets, value.packets);
  writer_.store().put(counted(index).bytes, value.bytes);
}

Result<> PortCounts::zero(std::uint32_t first, std::uint32_t count) {
  auto sums = writer_.tables().counters.sums(base_ + first, count);
  if (!sums) return std::move(sums).error();
  for (std::uint32_t i = 0; i < count; i++) {
    put(first + i, {});
    if ((*sums)[i].packets == 0) continue;
    writer_.store().count();
    if (auto zeroed = writer_.tables().counters.zero(base_ + first + i); !zeroed) return zeroed;
  }
  return {};
}

Result<> PortCounts::found(std::optional<PortCounts> from) {
  writer_.store().put(under_way(), 0);  // of whoever had the place
  if (auto zeroed = zero(0, counters_for(slots_)); !zeroed) return zeroed;
  if (from)
    writer_.store().put(under_way(), carries | std::uint64_t{from->slots_} << 32 | from->base_);
  return {};
}

std::optional<Extent> PortCounts::carries_from() const {
  const std::uint64_t word = under_way();
  if ((word & carries) == 0) return std::nullopt;
  const auto slots = static_cast<std::uint32_t>(word >> 32) & SLOT_NONE;
  return Extent{static_cast<std::uint32_t>(word), counters_for(slots)};
}

std::optional<PortCounts> PortCounts::source() const {
  const auto from = carries_from();
  if (!from) return std::nullopt;
  return PortCounts{writer_, from->base, from->size - counters_for(0)};
}

Result<std::vector<abi::counter>> PortCounts::read() const {
  auto sums = writer_.tables().counters.sums(base_, slots_ + 1);
  if (!sums) return sums;
  for (std::uint32_t i = 0; i <= slots_; i++) add((*sums)[i], counted(i));
  const auto from = source();
  if (!from) return sums;
  auto before = from->read();
  if (!before) return before;
  for (std::uint32_t i = 0; i < from->slots_; i++) add((*sums)[i], (*before)[i]);
  add((*sums)[slots_], (*before)[from->slots_]);
  return sums;
}

Result<> PortCounts::carry() {
  const auto from = source();
  if (!from) return {};
  auto before = from->read();
  if (!before) return std::move(before).error();
  // Set, not added: done twice it does no harm.
  for (std::uint32_t i = 0; i < from->slots_; i++) put(i, (*before)[i]);
  put(slots_, (*before)[from->slots_]);
  writer_.store().put(under_way(), 0);
  writer_.freed();
  return {};
}

Result<> PortCounts::fold(std::uint16_t slot) {
  auto sum = writer_.tables().counters.sum(base_ + slot);
  if (!sum) return std::move(sum).error();
  add(*sum, counted(slot));
  if (sum->packets == 0) return {};
  add(*sum, counted(slots_));
  put(slots_ + 1, *sum);
  writer_.store().put(under_way(), folds | slot);
  return finish();
}

Result<> PortCounts::finish() {
  const std::uint64_t word = under_way();
  if ((word & folds) == 0) return {};
  put(slots_, fold_total());
  if (auto zeroed = zero(static_cast<std::uint32_t>(word), 1); !zeroed) return zeroed;
  writer_.store().put(under_way(), 0);
  return {};
}

}  // namespace lbd::reconcile
