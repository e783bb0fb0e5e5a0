#include "lb/reconcile/reconciler.h"

#include <algorithm>
#include <functional>

#include "lb/reconcile/access.h"
#include "lb/reconcile/frontend_table.h"
#include "lb/reconcile/next_hops.h"
#include "lb/reconcile/relocation.h"
#include "lb/reconcile/rows.h"
#include "lb/reconcile/services.h"
#include "lb/reconcile/space.h"

namespace lbd::reconcile {
namespace {

/// What all services together should have where packets look first.
struct Entrances {
  std::map<FrontendKey, abi::frontend> frontends;
  AllowLists allowed;
  std::set<IpAddress> filter;  // addresses whose bit is set
  std::set<IpAddress> locals;  // that decapsulation serves
};

void add_allow_list(AllowLists& lists, std::uint32_t scope, const std::vector<Prefix>& prefixes) {
  for (const Prefix& prefix : prefixes)
    if (!allows_all(prefixes, prefix.address.family())) lists.prefixes.emplace(scope, prefix);
}

void add_decap(Entrances& entrances, const config::Decap& decap,
               const dataplane::RouteSource& routes) {
  if (!decap.enabled) return;
  entrances.locals = reachable(routes.local_addresses());
  entrances.filter.insert(entrances.locals.begin(), entrances.locals.end());
  for (const Prefix& prefix : decap.allow_from)
    entrances.allowed.prefixes.emplace(SCOPE_DECAP, prefix);
}

/// A service that could not be planned stays as it is: what it has is wanted.
void keep(Entrances& entrances, Writer& writer, const Held& held, const HeldService& service) {
  for (const auto& [key, frontend] : held.frontends)
    if (frontend.service == service.index) {
      entrances.frontends.try_emplace(key, frontend);
      entrances.filter.insert(key.address);
    }
  const auto keep_scope = [&](const auto& trie) {
    if (auto keys = trie.keys())
      for (const auto& key : *keys)
        if (key.scope == service.index)
          entrances.allowed.prefixes.emplace(key.scope, dataplane::prefix_of(key));
  };
  keep_scope(writer.tables().allow4);
  keep_scope(writer.tables().allow6);
}

Entrances entrances_of(const std::vector<Plan>& plans, const desired::Desired& desired,
                       const dataplane::RouteSource& routes) {
  Entrances entrances;
  for (const Plan& plan : plans) {
    // The first of services that share an address has its address record.
    entrances.frontends.merge(frontends_of(plan, routes.local_addresses()));
    add_allow_list(entrances.allowed, plan.index, plan.wanted->policy.allow_from);
    const auto& addresses = plan.wanted->policy.addresses;
    entrances.filter.insert(addresses.begin(), addresses.end());
  }
  add_decap(entrances, desired.decap, routes);
  return entrances;
}

/// A live service that would have to break its flows is planned anew only if that is wanted.
Result<Plan> plan_for(const desired::Service& wanted, const HeldService* live, Space& space,
                      bool break_flows) {
  if (live == nullptr) return plan(wanted, nullptr, space);
  auto same = same_shape(wanted, *live);
  if (!same && !break_flows) return std::move(same).error();
  return plan(wanted, same ? live : nullptr, space);
}

/// Services that no plan is for: their frontends go, the sweep does the rest.
void mark_leaving(Writer& writer, const Held& held, const std::set<std::uint32_t>& staying,
                  Seconds now) {
  for (const HeldService& service : held.services) {
    if (staying.contains(service.index) || service.leaving()) continue;
    abi::service& record = writer.tables().services[service.index];
    writer.store().put(record.left, now);
    writer.store().put(record.options, record.options | abi::SERVICE_LEAVING);
  }
}

Result<> open_entrances(Writer& writer, const Entrances& wanted) {
  if (auto done = add_allowed(writer, wanted.allowed); !done) return done;
  open_filter(writer, wanted.filter);
  if (auto done = set_locals(writer, wanted.locals); !done) return done;
  FrontendTable table{writer};
  for (const auto& [key, frontend] : wanted.frontends)
    if (auto put = table.put(key, frontend); !put)
      return std::move(put).error().in("frontend " + key.address.str());
  table.finish();
  return {};
}

Result<> close_entrances(Writer& writer, const Entrances& wanted) {
  FrontendTable table{writer};
  for (const auto& [key, frontend] : table.read())
    if (!wanted.frontends.contains(key)) table.erase(key);
  close_filter(writer, wanted.filter);
  return remove_not_allowed(writer, wanted.allowed);
}

}  // namespace

Result<Applied> Reconciler::apply(const desired::Desired& desired,
                                  const dataplane::RouteSource& routes, bool break_flows) {
  const std::uint64_t writes_before = writer_.store().writes();
  const Seconds now = writer_.now();
  sweep_.reset();  // rows may change under it
  Held held = read_held(writer_);
  auto finished = finish_interrupted(writer_, held, log_);
  if (!finished) return std::move(finished).error();
  if (*finished) held = read_held(writer_);
  Space space{writer_, held, log_};
  Applied applied;
  std::vector<Plan> plans;
  std::vector<const HeldService*> kept;
  std::set<std::uint32_t> staying;
  for (const desired::Service& wanted : desired.services) {
    const HeldService* live = held.find(wanted.policy.name);
    auto planned = plan_for(wanted, live, space, break_flows);
    if (planned) {
      staying.insert(planned->index);
      plans.push_back(std::move(*planned));
      continue;
    }
    applied.refused.push_back({wanted.policy.name, planned.error().message()});
    log_.warn("service_refused",
              {{"service", wanted.policy.name}, {"reason", applied.refused.back().reason}});
    if (live == nullptr) continue;
    kept.push_back(live);
    staying.insert(live->index);
  }

  for (const Plan& plan : plans) {
    if (auto done = prepare(writer_, plan); !done) return std::move(done).error();
    if (auto done = raise_backends(writer_, plan, now); !done) return std::move(done).error();
  }
  if (auto done = assign_next_hops(writer_, routes, desired.tunnel_source); !done)
    return std::move(done).error();
  for (const Plan& plan : plans) {
    if (plan.relocates())
      if (auto done = lead_to_new_stretch(writer_, held, plan.index, plan.counter_bases); !done)
        return std::move(done).error();
    applied.rows_changed += move_rows(writer_, plan, now);
    lower_backends(writer_, plan, now);
  }
  Entrances wanted = entrances_of(plans, desired, routes);
  for (const HeldService* service : kept) keep(wanted, writer_, held, *service);
  if (auto done = open_entrances(writer_, wanted); !done) return std::move(done).error();
  mark_leaving(writer_, held, staying, now);
  if (auto done = close_entrances(writer_, wanted); !done) return std::move(done).error();
  const bool moved = std::any_of(plans.begin(), plans.end(), std::mem_fn(&Plan::relocates));
  if (auto done = carry_counts(writer_, moved ? read_held(writer_) : held); !done)
    return std::move(done).error();
  applied.writes = writer_.store().writes() - writes_before;
  return applied;
}

std::set<IpAddress> Reconciler::backends_held() {
  std::set<IpAddress> addresses;
  for (const HeldService& service : read_held(writer_).services)
    for (const auto& [address, slot] : service.slots) addresses.insert(address);
  return addresses;
}

Result<Applied> Reconciler::follow(const desired::Desired& desired,
                                   const dataplane::RouteSource& routes) {
  const std::uint64_t writes_before = writer_.store().writes();
  if (auto done = assign_next_hops(writer_, routes, desired.tunnel_source); !done)
    return std::move(done).error();
  const auto& local = routes.local_addresses();
  const auto locals = desired.decap.enabled ? reachable(local) : std::set<IpAddress>{};
  std::set<IpAddress> open = locals;
  FrontendTable table{writer_};
  for (auto& [key, frontend] : table.read()) {
    open.insert(key.address);
    if (key.protocol != 0) continue;
    abi::frontend followed = frontend;
    followed.flags &= ~static_cast<std::uint32_t>(abi::FRONTEND_LOCAL);
    if (local.contains(key.address)) followed.flags |= abi::FRONTEND_LOCAL;
    if (auto put = table.put(key, followed); !put) return std::move(put).error();
  }
  open_filter(writer_, open);
  if (auto done = set_locals(writer_, locals); !done) return std::move(done).error();
  close_filter(writer_, open);
  return Applied{.writes = writer_.store().writes() - writes_before};
}

Result<> Reconciler::begin_sweep(const IdleTimes& idle, Scan scan) {
  sweep_.emplace(writer_, hash_key_, idle, sweep_memory_);
  auto begun = sweep_->begin(scan);
  if (!begun) sweep_.reset();  // or nobody would begin the next
  return begun;
}

Result<std::optional<Swept>> Reconciler::continue_sweep() {
  if (!sweep_) return std::optional<Swept>{};
  if (auto gone_on = sweep_->go_on(); !gone_on) {
    sweep_.reset();
    return std::move(gone_on).error();
  }
  if (!sweep_->done()) return std::optional<Swept>{};
  const Swept swept = sweep_->swept();
  sweep_.reset();
  rows_yielded_ += swept.rows_yielded;
  return std::optional{swept};
}

Result<Swept> Reconciler::sweep(const IdleTimes& idle, Scan scan) {
  if (auto begun = begin_sweep(idle, scan); !begun) return std::move(begun).error();
  for (;;) {
    auto swept = continue_sweep();
    if (!swept) return std::move(swept).error();
    if (*swept) return **swept;
  }
}

}  // namespace lbd::reconcile
