// The ways that packets take through the shipped program, each with its cost.
#pragma once
#include <string>
#include <vector>

#include "lb/model/result.h"
#include "vm/cost.h"

namespace lbd::vm {

struct Path {
  std::string name;
  Cost cost;
};

/// Each path once, on private maps of an unpinned data plane; an Error where a packet does not end
/// as its path must. Needs the rights to load programs.
[[nodiscard]] Result<std::vector<Path>> measure_paths();

/// As a table, and as an array of objects.
[[nodiscard]] std::string to_markdown(const std::vector<Path>&);
[[nodiscard]] std::string to_json(const std::vector<Path>&);

}  // namespace lbd::vm
