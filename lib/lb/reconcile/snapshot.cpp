#include "lb/reconcile/snapshot.h"

#include <net/if.h>
#include <algorithm>
#include <iterator>

#include "lb/dataplane/keys.h"
#include "lb/reconcile/counts.h"
#include "lb/reconcile/held.h"
#include "lb/reconcile/reconciler.h"
#include "lb/reconcile/rows.h"

namespace lbd::reconcile {
namespace {

constexpr std::string_view reason_labels[] = {
#define LBD_REASON_LABEL(name, label) label,
    LBD_REASONS(LBD_REASON_LABEL)
#undef LBD_REASON_LABEL
};
static_assert(std::size(reason_labels) == abi::REASON_COUNT);

Count count_of(const abi::counter& counter) {
  return {counter.packets, counter.bytes};
}

std::optional<NextHopSnapshot> next_hop_of(const dataplane::Tables& tables,
                                           const abi::backend& record) {
  if (record.next_hop == 0) return std::nullopt;
  const abi::next_hop& way = tables.next_hops[record.next_hop];
  char name[IF_NAMESIZE] = "";
  if_indextoname(way.ifindex, name);
  return NextHopSnapshot{name, dataplane::destination_mac(way)};
}

/// The backends of a service that is in the maps: those desired, then removed ones that still have
/// known flows.
struct InSlots {
  std::vector<BackendSnapshot> backends;
  std::vector<std::uint16_t> slots;  // parallel
};

InSlots backends_of(const dataplane::Tables& tables, const desired::Service& wanted,
                    const HeldService& held) {
  InSlots all;
  const auto add = [&](BackendSnapshot backend, std::uint16_t slot) {
    backend.next_hop = next_hop_of(tables, tables.backends[held.record.backend_base + slot]);
    if (backend.used && !backend.next_hop) backend.why = "no route or neighbor";
    all.backends.push_back(std::move(backend));
    all.slots.push_back(slot);
  };
  auto sorted = wanted.backends;
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.address < b.address; });
  for (const desired::Backend& backend : sorted)
    if (const auto slot = held.slots.find(backend.address); slot != held.slots.end())
      add({.address = backend.address,
           .weight = backend.weight,
           .state = backend.state,
           .used = backend.takes_new,
           .why = backend.why},
          slot->second);
  for (const auto& [address, slot] : held.slots) {
    const abi::backend& record = tables.backends[held.record.backend_base + slot];
    if (!(record.flags & abi::BACKEND_REMOVED)) continue;
    const bool serves = (record.flags & abi::BACKEND_SERVES_KNOWN) != 0;
    add({.address = address,
         .weight = record.weight,
         .state = serves ? desired::State::draining : desired::State::disabled,
         .why = "removed from the configuration",
         .removed = true},
        slot);
  }
  return all;
}

Result<> add_ports(Writer& writer, const desired::Service& wanted, const HeldService& held,
                   const std::vector<std::uint16_t>& slots, ServiceSnapshot& snapshot) {
  for (const ServicePort& port : wanted.policy.ports) {
    PortSnapshot of_port{.port = port};
    of_port.backend_count.resize(slots.size());
    if (const auto base = held.counter_bases.find(port); base != held.counter_bases.end()) {
      auto counted = PortCounts{writer, base->second, held.record.slots}.read();
      if (!counted) return std::move(counted).error();
      for (const abi::counter& counter : *counted) of_port.count += count_of(counter);
      for (std::size_t i = 0; i < slots.size(); i++) {
        of_port.backend_count[i] = count_of((*counted)[slots[i]]);
        snapshot.backends[i].count += of_port.backend_count[i];
      }
    }
    snapshot.ports.push_back(std::move(of_port));
  }
  return {};
}

ServiceSnapshot refused_service(const desired::Service& wanted, std::string reason) {
  ServiceSnapshot snapshot{.name = wanted.policy.name, .refused = std::move(reason)};
  for (const ServicePort& port : wanted.policy.ports)
    snapshot.ports.push_back(
        {.port = port, .backend_count = std::vector<Count>(wanted.backends.size())});
  for (const desired::Backend& backend : wanted.backends)
    snapshot.backends.push_back(
        {.address = backend.address, .weight = backend.weight, .state = backend.state});
  return snapshot;
}

void count_rows(Writer& writer, const Held& held, Snapshot& snapshot) {
  const Rows rows{writer};
  for (const HeldService& service : held.services)
    for (const abi::ring_desc& ring : service.record.ring) {
      snapshot.rows_total += ring.size;
      for (std::uint32_t row = 0; row < ring.size; row++)
        snapshot.rows_moving += rows.moving(ring.base + row) ? 1 : 0;
    }
}

Result<> add_reasons(Writer& writer, Snapshot& snapshot) {
  auto sums = writer.tables().reasons.sums(0, abi::REASON_COUNT);
  if (!sums) return std::move(sums).error();
  for (std::uint32_t reason = abi::REASON_NONE + 1; reason < abi::REASON_COUNT; reason++)
    if ((*sums)[reason].packets != 0)
      snapshot.reasons.push_back({std::string{reason_labels[reason]}, count_of((*sums)[reason])});
  return {};
}

Result<> add_flows(Writer& writer, const abi::hash_key& hash_key, FlowsSnapshot& flows) {
  const dataplane::Tables& tables = writer.tables();
  auto events = tables.flow_events.sums(0, abi::FLOW_EVENT_COUNT);
  if (!events) return std::move(events).error();
  const dataplane::FlowMemory memory{tables, hash_key};
  flows = {
      .entries = memory.flows(),
      .entries_max = dataplane::flow_entries_of(static_cast<std::uint32_t>(tables.flows.size())),
      .starts = memory.starts(writer.now()),
      .starts_per_second =
          dataplane::starts_per_second(static_cast<std::uint32_t>(tables.starts.size())),
      .started = (*events)[abi::FLOW_EVENT_STARTED].packets,
      .confirmed = (*events)[abi::FLOW_EVENT_CONFIRMED].packets,
      .adopted = (*events)[abi::FLOW_EVENT_ADOPTED].packets,
      .refused = (*events)[abi::FLOW_EVENT_REFUSED].packets};
  return {};
}

}  // namespace

std::string_view reason_label(std::uint32_t reason) {
  return reason < std::size(reason_labels) ? reason_labels[reason] : "unknown";
}

std::string_view verdict_label(std::uint32_t verdict) {
  switch (verdict) {
    case abi::VERDICT_TX:
      return "tx";
    case abi::VERDICT_REDIRECT:
      return "redirect";
    case abi::VERDICT_PASS:
      return "pass";
    default:
      return "drop";
  }
}

Result<Snapshot> Reconciler::snapshot(const desired::Desired& desired,
                                      const std::vector<Refused>& refused) {
  Snapshot snapshot;
  const Held held = read_held(writer_);
  for (const desired::Service& wanted : desired.services) {
    const HeldService* live = held.find(wanted.policy.name);
    const auto why = std::find_if(refused.begin(), refused.end(), [&](const Refused& r) {
      return r.service == wanted.policy.name;
    });
    ServiceSnapshot service;
    if (live == nullptr) {
      service = refused_service(wanted, why == refused.end() ? "not applied" : why->reason);
    } else {
      service.name = wanted.policy.name;
      if (why != refused.end()) service.refused = why->reason;
      auto in_slots = backends_of(writer_.tables(), wanted, *live);
      service.backends = std::move(in_slots.backends);
      if (auto done = add_ports(writer_, wanted, *live, in_slots.slots, service); !done)
        return std::move(done).error();
    }
    service.addresses = wanted.policy.addresses;
    std::sort(service.addresses.begin(), service.addresses.end());
    snapshot.services.push_back(std::move(service));
  }
  count_rows(writer_, held, snapshot);
  if (auto done = add_reasons(writer_, snapshot); !done) return std::move(done).error();
  if (auto done = add_flows(writer_, hash_key_, snapshot.flows); !done)
    return std::move(done).error();
  snapshot.flows.yields = rows_yielded_;
  return snapshot;
}

}  // namespace lbd::reconcile
