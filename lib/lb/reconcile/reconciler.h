// Makes the maps equal to what is desired: a diff against what they hold, written in an order that
// no packet can see half-made.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/route.h"
#include "lb/desired/desired.h"
#include "lb/log/log.h"
#include "lb/reconcile/flows.h"
#include "lb/reconcile/plan.h"
#include "lb/reconcile/snapshot.h"
#include "lb/reconcile/sweep.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

struct Applied {
  std::vector<Refused> refused;
  std::uint64_t rows_changed = 0;  ///< of services that were there before
  std::uint64_t writes = 0;        ///< to maps; 0: they were as desired
};

class Reconciler {
 public:
  Reconciler(dataplane::DataPlane& plane, const abi::hash_key& hash_key, const Log& log)
      : writer_{plane}, hash_key_{hash_key}, log_{log} {}

  /// Brings the maps to `desired`. A service that does not fit is refused by name: it stays as it
  /// was, and the rest goes ahead. So is one whose tableSize or hash would have to change while it
  /// is live, but with `break_flows`, which makes it anew.
  Result<Applied> apply(const desired::Desired& desired, const dataplane::RouteSource& routes,
                        bool break_flows);

  /// Follows changes of routes, neighbours and own addresses, and nothing else.
  Result<Applied> follow(const desired::Desired& desired, const dataplane::RouteSource& routes);

  /// Ends what has waited long enough: homes that are idle, flows, removed backends and services.
  /// In steps, so that nothing waits for a large table; a round ends early where apply() comes
  /// between.
  Result<> begin_sweep(const IdleTimes& idle, Scan scan);
  [[nodiscard]] bool sweeping() const { return sweep_.has_value(); }
  /// The next step; with the last one what the round did.
  Result<std::optional<Swept>> continue_sweep();
  /// A whole round.
  Result<Swept> sweep(const IdleTimes& idle, Scan scan);

  /// The addresses of all backends in the maps, those that left the configuration included.
  [[nodiscard]] std::set<IpAddress> backends_held();

  [[nodiscard]] Result<Snapshot> snapshot(const desired::Desired& desired,
                                          const std::vector<Refused>& refused);
  /// A page of the stored flows that are wanted, from cell `from` on. An Error, at the first page,
  /// where no service has the name that is asked for.
  [[nodiscard]] Result<FlowsPage> flows(const desired::Desired& desired, const FlowFilter&,
                                        std::uint32_t from);

 private:
  Writer writer_;
  abi::hash_key hash_key_;
  const Log& log_;
  SweepMemory sweep_memory_;
  std::optional<Sweep> sweep_;
  std::uint64_t rows_yielded_ = 0;
};

}  // namespace lbd::reconcile
