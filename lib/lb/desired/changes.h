// What differs between two desired states, by name.
#pragma once
#include <string>
#include <vector>

#include "lb/desired/desired.h"

namespace lbd::desired {

/// Names in the order of the states; a backend is "SERVICE/ADDRESS". A service that comes or goes
/// is named alone, not with its backends.
struct Changes {
  std::vector<std::string> services_added;
  std::vector<std::string> services_removed;
  std::vector<std::string> services_changed;  ///< in anything, backends included
  std::vector<std::string> backends_added;
  std::vector<std::string> backends_removed;
  std::vector<std::string> backends_changed;
  bool operator==(const Changes&) const = default;
};

[[nodiscard]] Changes changes(const Desired& from, const Desired& to);

}  // namespace lbd::desired
