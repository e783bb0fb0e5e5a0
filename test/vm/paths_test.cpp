// The guard of a packet's cost: what each path may take. The numbers are the same on every machine
// and at every run, so a change that makes a path dearer is seen here without timing anything.
//
// A path above its ceiling fails. Where the price was meant, raise the ceiling, and say in the
// change what it bought; where a path became cheaper, lower it.
#include "vm/paths.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <sstream>

namespace {

using namespace lbd;
using vm::Counts;
using vm::to_string;
using vm::total;

struct Ceiling {
  const char* path;
  unsigned instructions;
  unsigned lines;       ///< cache lines of map memory
  const char* helpers;  ///< calls, as the table prints them
  const char* lookups;  ///< the same, by map
};

// path, instructions (some 3% above what is taken, as compilers differ), lines, helpers, look-ups
const Ceiling ceilings[] = {
    {"not a VIP, IPv4", 95, 3, "-", "reasons"},
    {"settled 4in4", 365, 8, "xdp_adjust_head", "backends counters frontends4 next_hops ring"},
    {"settled 4in6", 400, 8, "xdp_adjust_head", "backends counters frontends4 next_hops ring"},
    {"allow list, IPv4", 385, 8, "map_lookup_elem xdp_adjust_head",
     "allow4 backends counters frontends4 next_hops ring"},
    {"no such port, IPv4", 280, 8, "-", "frontends4*5 reasons"},
    {"decapsulated, IPv4", 345, 3, "map_lookup_elem*3 xdp_adjust_head", "allow4 locals*2 reasons"},
    {"not a VIP, IPv6", 110, 3, "-", "reasons"},
    {"settled 6in6", 485, 8, "xdp_adjust_head", "backends counters frontends6 next_hops ring"},
    {"settled 6in4", 440, 8, "xdp_adjust_head", "backends counters frontends6 next_hops ring"},
    {"allow list, IPv6", 470, 8, "map_lookup_elem xdp_adjust_head",
     "allow6 backends counters frontends6 next_hops ring"},
    {"no such port, IPv6", 355, 8, "-", "frontends6*5 reasons"},
    {"decapsulated, IPv6", 375, 3, "map_lookup_elem*3 xdp_adjust_head", "allow6 locals*2 reasons"},
    {"home == cur, filter clear, IPv4", 395, 9, "xdp_adjust_head",
     "backends counters frontends4 next_hops ring side"},
    {"home == cur, filter clear, IPv6", 510, 9, "xdp_adjust_head",
     "backends counters frontends6 next_hops ring side"},
    {"moving, new, IPv4", 490, 9,
     "ktime_get_coarse_ns map_lookup_elem map_update_elem xdp_adjust_head",
     "backends*3 counters flows frontends4 next_hops ring side"},
    {"moving, after its SYN, IPv4", 475, 10, "ktime_get_coarse_ns map_lookup_elem xdp_adjust_head",
     "backends*3 counters flows frontends4 next_hops ring side"},
    {"moving, known, IPv4", 475, 10, "ktime_get_coarse_ns map_lookup_elem xdp_adjust_head",
     "backends*3 counters flows frontends4 next_hops ring side"},
    {"moving, unknown, IPv4", 515, 9,
     "ktime_get_coarse_ns map_lookup_elem map_update_elem xdp_adjust_head",
     "backends*3 counters flows frontends4 next_hops ring side"},
    {"moving, new, IPv6", 620, 9,
     "ktime_get_coarse_ns map_lookup_elem map_update_elem xdp_adjust_head",
     "backends*3 counters flows frontends6 next_hops ring side"},
    {"moving, after its SYN, IPv6", 605, 10, "ktime_get_coarse_ns map_lookup_elem xdp_adjust_head",
     "backends*3 counters flows frontends6 next_hops ring side"},
    {"moving, known, IPv6", 605, 10, "ktime_get_coarse_ns map_lookup_elem xdp_adjust_head",
     "backends*3 counters flows frontends6 next_hops ring side"},
    {"moving, unknown, IPv6", 645, 9,
     "ktime_get_coarse_ns map_lookup_elem map_update_elem xdp_adjust_head",
     "backends*3 counters flows frontends6 next_hops ring side"},
    {"moving, refused, IPv4", 510, 9,
     "ktime_get_coarse_ns*2 map_lookup_elem*2 map_update_elem xdp_adjust_head",
     "backends*3 counters flows*2 frontends4 next_hops ring side"},
    {"moving, refused, IPv6", 635, 9,
     "ktime_get_coarse_ns*2 map_lookup_elem*2 map_update_elem xdp_adjust_head",
     "backends*3 counters flows*2 frontends6 next_hops ring side"},
};

Counts counts_of(const char* words) {
  Counts counts;
  std::istringstream text{words};
  for (std::string word; text >> word;) {
    const auto star = word.find('*');
    if (word == "-") continue;
    counts[word.substr(0, star)] +=
        star == std::string::npos ? 1 : static_cast<unsigned>(std::stoul(word.substr(star + 1)));
  }
  return counts;
}

/// What `got` has more of than `allowed`.
Counts beyond(const Counts& got, const Counts& allowed) {
  Counts more;
  for (const auto& [name, count] : got) {
    const auto found = allowed.find(name);
    const unsigned limit = found == allowed.end() ? 0 : found->second;
    if (count > limit) more[name] = count - limit;
  }
  return more;
}

/// What of `cost` is above the ceiling; nothing where it is within.
std::string above(const vm::Cost& cost, const Ceiling& ceiling) {
  std::string text;
  const auto number = [&](const char* what, unsigned got, unsigned limit) {
    if (got > limit) text += fmt::format(" {} {}, ceiling {}.", got, what, limit);
  };
  const auto names = [&](const char* what, const Counts& got, const char* allowed) {
    if (const Counts more = beyond(got, counts_of(allowed)); !more.empty())
      text += fmt::format(" {} beyond the ceiling: {}.", what, to_string(more));
  };
  number("instructions", cost.instructions, ceiling.instructions);
  number("cache lines", total(cost.lines), ceiling.lines);
  names("helper calls", cost.helpers, ceiling.helpers);
  names("look-ups", cost.lookups, ceiling.lookups);
  return text;
}

/// Where the ceiling is so far above that it guards nothing.
std::string far_below(const vm::Cost& cost, const Ceiling& ceiling) {
  std::string text;
  const auto number = [&](const char* what, unsigned got, unsigned limit) {
    if (got * 10 < limit * 9) text += fmt::format(" {} {}, ceiling {}.", got, what, limit);
  };
  const auto names = [&](const char* what, const Counts& got, const char* allowed) {
    if (const Counts less = beyond(counts_of(allowed), got); !less.empty())
      text += fmt::format(" {} no longer made: {}.", what, to_string(less));
  };
  number("instructions", cost.instructions, ceiling.instructions);
  number("cache lines", total(cost.lines), ceiling.lines);
  names("helper calls", cost.helpers, ceiling.helpers);
  names("look-ups", cost.lookups, ceiling.lookups);
  return text;
}

const Ceiling* find_ceiling(const std::string& path) {
  const auto* found = std::find_if(std::begin(ceilings), std::end(ceilings),
                                   [&](const Ceiling& ceiling) { return ceiling.path == path; });
  return found == std::end(ceilings) ? nullptr : found;
}

}  // namespace

TEST_CASE("no path of a packet is dearer than its ceiling") {
  const auto paths = vm::measure_paths();
  if (!paths) FAIL(paths.error().message());
  fmt::print("{}\n", to_markdown(*paths));  // Catch2 would wrap its lines
  CHECK(paths->size() == std::size(ceilings));
  for (const vm::Path& path : *paths) {
    const Ceiling* ceiling = find_ceiling(path.name);
    if (ceiling == nullptr) {
      FAIL_CHECK(path.name << ": has no ceiling");
      continue;
    }
    if (const auto wrong = above(path.cost, *ceiling); !wrong.empty())
      FAIL_CHECK(path.name << ":" << wrong);
    if (const auto less = far_below(path.cost, *ceiling); !less.empty())
      WARN(path.name << ": lower the ceiling in " << __FILE__ << ":" << less);
  }
}

TEST_CASE("a path that became dearer is named with what it takes too much of") {
  const Ceiling ceiling{"path", 100, 4, "xdp_adjust_head", "ring backends*2"};
  const vm::Cost same{100, {{"xdp_adjust_head", 1}}, {{"ring", 1}, {"backends", 2}}, {{"ring", 4}}};
  CHECK(above(same, ceiling).empty());
  CHECK(far_below(same, ceiling).empty());
  vm::Cost dearer = same;
  dearer.instructions = 101;
  dearer.lines["bss"] = 1;
  dearer.helpers["ktime_get_ns"] = 2;
  dearer.lookups["backends"] = 3;
  CHECK(above(dearer, ceiling) ==
        " 101 instructions, ceiling 100. 5 cache lines, ceiling 4."
        " helper calls beyond the ceiling: ktime_get_ns*2."
        " look-ups beyond the ceiling: backends.");
  vm::Cost cheaper = same;
  cheaper.instructions = 89;
  cheaper.lookups.erase("ring");
  CHECK(above(cheaper, ceiling).empty());
  CHECK(far_below(cheaper, ceiling) ==
        " 89 instructions, ceiling 100. look-ups no longer made: ring.");
}
