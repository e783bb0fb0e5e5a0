// A service that outgrows its stretches of backend records and counters moves to larger ones under
// traffic; a successor finishes what a dead daemon had begun.
#pragma once
#include <cstdint>
#include <map>

#include "lb/log/log.h"
#include "lb/model/service.h"
#include "lb/reconcile/held.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

/// Leads the packets of a service to the stretches that its record and `counter_bases` name, before
/// a row names a slot that the old ones do not have; then the old ones are nobody's. Frontends of
/// ports that have no counters there are erased.
Result<> lead_to_new_stretch(Writer&, const Held&, std::uint32_t service,
                             const std::map<ServicePort, std::uint32_t>& counter_bases);

/// Finishes the moves that a dead daemon had begun, and the sums it was making. True: there were
/// any, so that `held` is of before.
Result<bool> finish_interrupted(Writer&, const Held&, const Log&);

/// Brings the counts of services that moved to their new stretches, once no packet counts in the
/// old.
Result<> carry_counts(Writer&, const Held&);

}  // namespace lbd::reconcile
