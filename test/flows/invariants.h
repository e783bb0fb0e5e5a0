// What must be true of the maps at any moment, told from them alone.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "memory.h"

namespace lbd::test {

/// A flow that the balancer promised to keep: whose last packet went to `lives`.
struct Known {
  dataplane::Tuple tuple;
  IpAddress lives;
};

/// Between two changes, or in the middle of one whose daemon died.
enum class Moment : std::uint8_t { whole, broken_off };

/// The first violation in words; empty: there is none.
[[nodiscard]] std::string violation(const Memory&, std::span<const Known>, Moment);

/// What is left when changes and traffic have ended: empty, if every row has settled and nothing
/// is stored.
[[nodiscard]] std::string unsettled(const Memory&);

}  // namespace lbd::test
