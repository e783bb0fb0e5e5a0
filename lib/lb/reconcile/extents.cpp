#include "lb/reconcile/extents.h"

#include <algorithm>

namespace lbd::reconcile {
namespace {

std::uint64_t round_up(std::uint64_t value, std::uint32_t align) {
  return (value + align - 1) / align * align;
}

std::uint64_t end_of(const Extent& extent) {
  return std::uint64_t{extent.base} + extent.size;
}

}  // namespace

void Extents::use(Extent extent) {
  if (extent.size == 0) return;
  used_.push_back(extent);
  std::sort(used_.begin(), used_.end(),
            [](const Extent& a, const Extent& b) { return a.base < b.base; });
  std::vector<Extent> joined;
  for (const Extent& next : used_) {
    if (joined.empty() || end_of(joined.back()) < next.base) {
      joined.push_back(next);
      continue;
    }
    Extent& last = joined.back();
    last.size = static_cast<std::uint32_t>(std::max(end_of(last), end_of(next)) - last.base);
  }
  used_ = std::move(joined);
}

std::optional<std::uint32_t> Extents::take(std::uint32_t size, std::uint32_t align) {
  std::optional<std::uint32_t> best;
  std::uint64_t best_room = UINT64_MAX;
  std::uint64_t from = 0;
  const auto consider = [&](std::uint64_t until) {
    const std::uint64_t base = round_up(from, align);
    if (base + size > until || until - from >= best_room) return;
    best = static_cast<std::uint32_t>(base);
    best_room = until - from;
  };
  for (const Extent& used : used_) {
    consider(used.base);
    from = end_of(used);
  }
  consider(capacity_);
  if (best) use({*best, size});
  return best;
}

std::uint64_t Extents::end_with(std::uint32_t size, std::uint32_t align) const {
  return round_up(used_.empty() ? 0 : end_of(used_.back()), align) + size;
}

}  // namespace lbd::reconcile
