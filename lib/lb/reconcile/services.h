// Writes one service's records, rows and frontends from its plan, in steps whose order the
// reconciler keeps.
#pragma once
#include <cstdint>
#include <map>
#include <set>

#include "lb/reconcile/plan.h"
#include "lb/reconcile/rows.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

/// Fresh stretches: rings with their first owners, empty records, counters at 0. Records of a
/// service that moves to a larger stretch are copied. Then the service record, by which a successor
/// finds the rest.
Result<> prepare(Writer&, const Plan&);

/// Adds backends and raises flags, so that whoever rows will name can serve.
Result<> raise_backends(Writer&, const Plan&, Seconds now);

/// Gives rows their wanted owners, then ends homes that serve no known flows any more. Returns how
/// many rows changed their owner.
std::uint64_t move_rows(Writer&, const Plan&, Seconds now);

/// Lowers flags and marks backends that left the configuration.
void lower_backends(Writer&, const Plan&, Seconds now);

/// The frontends the service should have; `local`: addresses of this node.
[[nodiscard]] std::map<FrontendKey, abi::frontend> frontends_of(const Plan&,
                                                                const std::set<IpAddress>& local);

}  // namespace lbd::reconcile
