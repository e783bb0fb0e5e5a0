#include "vm/cost.h"

#include <fmt/format.h>
#include <linux/bpf.h>

#include <array>
#include <numeric>
#include <set>
#include <utility>

namespace lbd::vm {
namespace {

constexpr std::uint64_t line_bytes = 64;

std::string helper_name(std::uint32_t id) {
#define LBD_HELPER_NAME(name) #name
  static constexpr std::array<const char*, __BPF_FUNC_MAX_ID> names{
      __BPF_FUNC_MAPPER(LBD_HELPER_NAME)};
#undef LBD_HELPER_NAME
  return id < names.size() ? names[id] : std::to_string(id);
}

}  // namespace

unsigned total(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), 0U,
                         [](unsigned sum, const auto& one) { return sum + one.second; });
}

std::string to_string(const Counts& counts) {
  std::string text;
  for (const auto& [name, count] : counts) {
    if (!text.empty()) text += ' ';
    text += count == 1 ? name : fmt::format("{}*{}", name, count);
  }
  return text.empty() ? "-" : text;
}

std::string_view short_name(std::string_view map) {
  if (map.starts_with("lbd_")) return map.substr(4);
  const auto dot = map.find('.');
  return dot == std::string_view::npos ? map : map.substr(dot + 1);
}

Result<Cost> cost_of(Machine& machine, const Program& program) {
  Cost cost;
  std::set<std::pair<std::int32_t, std::uint64_t>> lines;
  while (!machine.ended()) {
    auto step = machine.step();
    if (!step) return std::move(step).error();
    cost.instructions++;
    const auto& maps = program.maps();
    const SharedMap* map =
        step->map == Step::no_map ? nullptr : &maps[static_cast<std::size_t>(step->map)];
    if (step->kind == Step::Kind::helper) {
      const bool looks_up = step->helper == BPF_FUNC_map_lookup_elem;
      if (looks_up) cost.lookups[std::string{short_name(map->name())}]++;
      if (!looks_up || map->kind() == SharedMap::Kind::keyed)
        cost.helpers[helper_name(step->helper)]++;
    } else if (map != nullptr) {
      const std::uint64_t last = (step->offset + step->bytes - 1) / line_bytes;
      for (std::uint64_t line = step->offset / line_bytes; line <= last; line++)
        lines.emplace(step->map, line);
    }
  }
  for (const auto& [map, line] : lines)
    cost.lines[std::string{short_name(program.maps()[static_cast<std::size_t>(map)].name())}]++;
  return cost;
}

}  // namespace lbd::vm
