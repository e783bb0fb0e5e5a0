#include "lb/dataplane/flow_memory.h"

#include <algorithm>
#include <atomic>

#include "lb/dataplane/fault_point.h"
#include "lb/dataplane/maps.h"

namespace lbd::dataplane {
namespace {

/// How long ago a stamp modulo 2^16 was made. A program's clock may be a little ahead.
std::uint32_t age_of(std::uint32_t now, std::uint16_t stamp) {
  constexpr std::uint16_t ahead = 16;
  const auto age = static_cast<std::uint16_t>(now - stamp);
  return age > static_cast<std::uint16_t>(-ahead) ? 0 : age;
}

/// A flow that comes back later is met anew.
constexpr std::uint32_t adopt_life = 60;

bool start_is_old(std::uint64_t cell, std::uint32_t now) {
  return ((now - static_cast<std::uint32_t>(cell >> START_SECOND_SHIFT)) & START_SECOND_MASK) >
         START_LIFE;
}

bool swap(__u64& place, __u64 from, __u64 to) {
  return std::atomic_ref<__u64>{place}.compare_exchange_strong(from, to);
}

}  // namespace

std::uint32_t seconds_since_seen(const abi::flow_cell& cell, std::uint32_t now) {
  return age_of(now, cell.seen);
}

std::uint32_t flow_lines_for(std::uint32_t entries) {
  const std::uint64_t cells = std::uint64_t{entries} + entries / 2;
  return static_cast<std::uint32_t>((cells + FLOWS_PER_LINE - 1) / FLOWS_PER_LINE);
}

std::uint64_t flow_entries_of(std::uint32_t flow_lines) {
  return std::uint64_t{flow_lines} * FLOWS_PER_LINE * 2 / 3;
}

std::uint32_t start_lines_for(std::uint32_t starts) {
  return (starts + CELLS_PER_LINE - 1) / CELLS_PER_LINE;
}

std::uint64_t starts_per_second(std::uint32_t start_lines) {
  return std::uint64_t{start_lines} * CELLS_PER_LINE * 3 / 4 / START_HOLD;
}

std::int64_t adopt_tokens_for(std::uint32_t flow_lines) {
  return std::max<std::int64_t>(1, std::int64_t{flow_lines} * FLOWS_PER_LINE / 4);
}

std::optional<StoredFlow> FlowMemory::at(std::uint32_t index) const {
  abi::flow_cell& shared = cell(index);
  StoredFlow flow{.index = index};
  flow.cell.owner = load_once(shared.owner);
  if (flow.cell.owner == 0) return std::nullopt;
  flow.cell.life = load_once(shared.life);
  flow.key = tables_.flow_details[index].key;
  // Another flow's detail may lie there, of before or of after this one.
  const std::uint64_t print = abi::flow_print(&hash_key_, &flow.key);
  if (flow.cell.life == 0 || flow.cell.tag != abi::print_tag(print) ||
      flow.cell.mark != abi::print_mark(print))
    return std::nullopt;
  return flow;
}

std::optional<StoredFlow> FlowMemory::find(const abi::flow_key& key) const {
  const std::uint64_t print = abi::flow_print(&hash_key_, &key);
  const auto lines = static_cast<std::uint32_t>(tables_.flows.size());
  for (const std::uint32_t line : {abi::print_home(print, lines), abi::print_away(print, lines)})
    for (std::uint32_t i = 0; i < FLOWS_PER_LINE; i++) {
      auto flow = at(line * FLOWS_PER_LINE + i);
      if (flow && flow->cell.tag == abi::print_tag(print) &&
          flow->cell.mark == abi::print_mark(print))
        return flow;
    }
  return std::nullopt;
}

bool FlowMemory::remove(const StoredFlow& flow) const {
  abi::flow_cell& shared = cell(flow.index);
  fault_point();
  if (load_once(shared.owner) != flow.cell.owner || !swap(shared.life, flow.cell.life, 0))
    return false;
  fault_point();
  std::atomic_ref<__u64>{shared.owner}.store(0);
  return true;
}

std::uint64_t FlowMemory::half(std::uint32_t index) const {
  abi::flow_cell& shared = cell(index);
  const std::uint64_t owner = load_once(shared.owner);
  return load_once(shared.life) == 0 ? owner : 0;
}

void FlowMemory::finish_removal(std::uint32_t index, std::uint64_t owner) const {
  if (half(index) == owner) swap(cell(index).owner, owner, 0);
}

void FlowMemory::forget_old_cells(std::uint32_t first, std::uint32_t count,
                                  std::uint32_t now) const {
  for (std::uint32_t line = first; line < first + count; line++) {
    for (__u64& start : tables_.starts[line].cell) {
      const std::uint64_t seen = load_once(start);
      if (seen != 0 && start_is_old(seen, now)) swap(start, seen, 0);
    }
    for (__u64& adoption : tables_.adopts[line].cell) {
      const std::uint64_t seen = load_once(adoption);
      if (seen != 0 && age_of(now, static_cast<std::uint16_t>(seen)) >= adopt_life)
        swap(adoption, seen, 0);
    }
  }
}

std::uint64_t FlowMemory::flows() const {
  std::uint64_t count = 0;
  for (abi::flow_line& line : tables_.flows)
    count += static_cast<std::uint64_t>(std::ranges::count_if(
        line.cell, [](abi::flow_cell& cell) { return load_once(cell.owner) != 0; }));
  return count;
}

std::uint64_t FlowMemory::starts(std::uint32_t now) const {
  std::uint64_t count = 0;
  for (abi::cell_line& line : tables_.starts)
    count += static_cast<std::uint64_t>(std::ranges::count_if(line.cell, [&](__u64& cell) {
      const std::uint64_t seen = load_once(cell);
      return seen != 0 && !start_is_old(seen, now);
    }));
  return count;
}

}  // namespace lbd::dataplane
