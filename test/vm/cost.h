// What a packet costs in steps that any machine takes alike: the same numbers on every run.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "lb/model/result.h"
#include "vm/machine.h"

namespace lbd::vm {

/// How often, by name.
using Counts = std::map<std::string, unsigned>;
[[nodiscard]] unsigned total(const Counts&);
/// "ring backends*2"; "-" for nothing.
[[nodiscard]] std::string to_string(const Counts&);

struct Cost {
  /// Of BPF; one that takes two places counts once. The kernel adds some five for each look-up in
  /// an array, which it does in place.
  unsigned instructions = 0;
  Counts helpers;  ///< that are called: not look-ups in arrays
  Counts lookups;  ///< by map, of every kind
  /// Distinct 64-byte lines by map. Of a hash or trie only the value found, and of a per-CPU array
  /// as if its elements lay side by side.
  Counts lines;
};

/// "frontends4" for "lbd_frontends4", "bss" for "lb_xdp.bss".
[[nodiscard]] std::string_view short_name(std::string_view map);

/// Runs the machine to its end.
[[nodiscard]] Result<Cost> cost_of(Machine&, const Program&);

}  // namespace lbd::vm
