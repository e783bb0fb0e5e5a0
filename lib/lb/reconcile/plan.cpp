#include "lb/reconcile/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "lb/reconcile/counts.h"

namespace lbd::reconcile {
namespace {

bool has_port_of(const desired::Service& service, Protocol protocol) {
  const auto& ports = service.policy.ports;
  return std::any_of(ports.begin(), ports.end(),
                     [&](const ServicePort& port) { return port.protocol == protocol; });
}

/// A ring for each protocol that has a port; one is kept when its last port goes.
Result<> plan_rings(Plan& plan, Space& space) {
  for (const Protocol protocol : protocols) {
    abi::ring_desc& ring = ring_of(plan.record, protocol);
    if (ring.size != 0 || !has_port_of(*plan.wanted, protocol)) continue;
    auto base = space.take_rows(plan.wanted->policy.table_size);
    if (!base) return std::move(base).error();
    ring = {*base, plan.wanted->policy.table_size};
  }
  return {};
}

std::optional<std::uint16_t> slot_held(const Plan& plan, const IpAddress& address) {
  if (plan.held == nullptr) return std::nullopt;
  const auto found = plan.held->slots.find(address);
  if (found == plan.held->slots.end()) return std::nullopt;
  return found->second;
}

/// Slots of backends that are held already, a removed one's own if it comes back; the lowest free
/// ones for others. A larger stretch where they don't fit.
Result<> plan_backends(Plan& plan, Space& space) {
  std::set<std::uint16_t> taken;
  if (plan.held != nullptr)
    for (const auto& [address, slot] : plan.held->slots) taken.insert(slot);
  std::uint16_t next = 0;
  const auto lowest_free = [&] {
    while (taken.contains(next)) next++;
    return next++;
  };
  std::uint32_t end = 0;
  for (const desired::Backend& backend : plan.wanted->backends) {
    const auto known = slot_held(plan, backend.address);
    const std::uint16_t slot = known ? *known : lowest_free();
    plan.slots.push_back(slot);
    end = std::max<std::uint32_t>(end, slot + 1U);
  }
  if (end > SLOTS_MAX)
    return Error{
        fmt::format("{} backends with those still draining; {} are the most", end, SLOTS_MAX)};
  if (plan.held != nullptr && end <= plan.record.slots) return {};
  plan.record.slots = slots_for(end);
  auto base = space.take_backends(plan.record.slots);
  if (!base) return std::move(base).error();
  plan.record.backend_base = *base;
  return {};
}

Result<> plan_counters(Plan& plan, Space& space) {
  for (const ServicePort& port : plan.wanted->policy.ports) {
    if (plan.held != nullptr && !plan.relocates()) {
      const auto known = plan.held->counter_bases.find(port);
      if (known != plan.held->counter_bases.end()) {
        plan.counter_bases.insert(*known);
        continue;
      }
    }
    auto base = space.take_counters(counters_for(plan.record.slots));
    if (!base) return std::move(base).error();
    plan.counter_bases.emplace(port, *base);
  }
  return {};
}

std::uint32_t frontend_flags(const lbd::Service& policy) {
  return policy.hash == HashMode::source_ip ? std::uint32_t{abi::FRONTEND_SOURCE_IP} : 0U;
}

}  // namespace

Result<Plan> plan(const desired::Service& wanted, const HeldService* held, Space& space) {
  Plan plan{.wanted = &wanted, .held = held};
  if (held != nullptr) {
    plan.index = held->index;
    plan.record = held->record;
  } else {
    auto index = space.take_service();
    if (!index) return std::move(index).error();
    plan.index = *index;
    wanted.policy.name.copy(plan.record.name, sizeof plan.record.name - 1);
  }
  plan.record.flags = frontend_flags(wanted.policy);
  plan.record.options =
      wanted.policy.connection_tracking ? 0U : std::uint32_t{abi::SERVICE_UNTRACKED};
  if (auto done = space.take_frontends(wanted.policy); !done) return std::move(done).error();
  if (auto done = plan_rings(plan, space); !done) return std::move(done).error();
  if (auto done = plan_backends(plan, space); !done) return std::move(done).error();
  if (auto done = plan_counters(plan, space); !done) return std::move(done).error();
  return plan;
}

Result<> same_shape(const desired::Service& wanted, const HeldService& held) {
  const lbd::Service& policy = wanted.policy;
  for (const abi::ring_desc& ring : held.record.ring)
    if (ring.size != 0 && ring.size != policy.table_size)
      return Error{
          fmt::format("service {}: tableSize: is {} on the live service; {} would break "
                      "its flows",
                      policy.name, ring.size, policy.table_size)};
  if (held.record.flags != frontend_flags(policy))
    return Error{
        fmt::format("service {}: hash: differs from the live service's; it would break "
                    "its flows",
                    policy.name)};
  return {};
}

}  // namespace lbd::reconcile
