#include "lb/reconcile/services.h"

#include "lb/reconcile/access.h"
#include "lb/reconcile/counts.h"
#include "maglev/maglev.h"

namespace lbd::reconcile {
namespace {

std::uint16_t flags_of(const desired::Backend& backend) {
  std::uint16_t flags = abi::BACKEND_USED;
  if (backend.address.is_v6()) flags |= abi::BACKEND_V6;
  if (backend.takes_new) flags |= abi::BACKEND_TAKES_NEW;
  if (backend.serves_known) flags |= abi::BACKEND_SERVES_KNOWN;
  if (backend.serves_known && !backend.takes_new && backend.state != desired::State::down)
    flags |= abi::BACKEND_DRAINING;
  return flags;
}

/// Of a backend that left the configuration. One that had been given up before has nothing to
/// drain.
std::uint16_t flags_when_removed(std::uint16_t flags, RemovedBackends removed) {
  const bool drains = removed == RemovedBackends::drain && (flags & abi::BACKEND_SERVES_KNOWN) != 0;
  flags &= abi::BACKEND_USED | abi::BACKEND_V6;
  flags |= abi::BACKEND_REMOVED;
  if (drains) flags |= abi::BACKEND_SERVES_KNOWN | abi::BACKEND_DRAINING;
  return flags;
}

abi::backend& record_of(Writer& writer, const Plan& plan, std::uint16_t slot) {
  return writer.tables().backends[plan.record.backend_base + slot];
}

/// The flags each used slot of the service is to have.
std::map<std::uint16_t, std::uint16_t> wanted_flags(Writer& writer, const Plan& plan) {
  std::map<std::uint16_t, std::uint16_t> flags;
  if (plan.held != nullptr)
    for (const auto& [address, slot] : plan.held->slots)
      flags[slot] = flags_when_removed(record_of(writer, plan, slot).flags,
                                       plan.wanted->policy.removed_backends);
  for (std::size_t i = 0; i < plan.slots.size(); i++)
    flags[plan.slots[i]] = flags_of(plan.wanted->backends[i]);
  return flags;
}

/// The owner of each row as a slot.
std::vector<std::uint16_t> wanted_owners(const Plan& plan) {
  auto owners = desired::table(*plan.wanted);
  for (std::uint16_t& owner : owners)
    owner = owner == maglev::no_owner ? std::uint16_t{SLOT_NONE} : plan.slots[owner];
  return owners;
}

bool is_new(const Plan& plan, Protocol protocol) {
  return plan.held == nullptr || ring_of(plan.held->record, protocol).size == 0;
}

void found_rings(Writer& writer, const Plan& plan) {
  Rows rows{writer};
  for (const Protocol protocol : protocols) {
    const abi::ring_desc& ring = ring_of(plan.record, protocol);
    if (ring.size == 0 || !is_new(plan, protocol)) continue;
    const auto owners = wanted_owners(plan);
    for (std::uint32_t row = 0; row < ring.size; row++) rows.found(ring.base + row, owners[row]);
  }
}

void found_backends(Writer& writer, const Plan& plan) {
  const auto& backends = writer.tables().backends;
  const std::uint32_t copied = plan.held == nullptr ? 0 : plan.held->record.slots;
  for (std::uint32_t slot = 0; slot < plan.record.slots; slot++) {
    abi::backend& to = backends[plan.record.backend_base + slot];
    abi::backend fresh{};
    fresh.generation = to.generation;  // goes on counting, whoever had the place before
    writer.store().put_unseen(
        to, slot < copied ? backends[plan.held->record.backend_base + slot] : fresh);
  }
}

void write_record(Writer& writer, const Plan& plan) {
  abi::service& record = writer.tables().services[plan.index];
  Store& store = writer.store();
  if (plan.held == nullptr) {
    abi::service nameless = plan.record;
    nameless.name[0] = 0;
    store.put_unseen(record, nameless);
    store.put(record.name[0], plan.record.name[0]);
    return;
  }
  for (const std::size_t i : {0U, 1U})
    store.put_pair(record.ring[i].base, plan.record.ring[i].base, plan.record.ring[i].size);
  if (plan.relocates()) store.put_pair(record.old_backend_base, record.backend_base, record.slots);
  store.put_pair(record.backend_base, plan.record.backend_base, plan.record.slots);
  store.put(record.flags, plan.record.flags);
  store.put(record.options, plan.record.options);
}

Result<> found_counters(Writer& writer, const Plan& plan) {
  for (const auto& [port, base] : plan.counter_bases) {
    std::optional<PortCounts> from;
    if (plan.held != nullptr)
      if (const auto old = plan.held->counter_bases.find(port);
          old != plan.held->counter_bases.end()) {
        if (!plan.relocates()) continue;
        from.emplace(writer, old->second, plan.held->record.slots);
      }
    if (auto founded = PortCounts{writer, base, plan.record.slots}.found(from); !founded)
      return founded;
  }
  return {};
}

}  // namespace

Result<> prepare(Writer& writer, const Plan& plan) {
  const bool new_backends = plan.held == nullptr || plan.relocates();
  bool anything = new_backends;
  for (const Protocol protocol : protocols)
    anything = anything || (ring_of(plan.record, protocol).size != 0 && is_new(plan, protocol));
  for (const auto& [port, base] : plan.counter_bases)
    anything = anything || plan.held == nullptr || !plan.held->counter_bases.contains(port);
  if (anything)
    if (auto ready = writer.before_reuse(); !ready) return ready;

  found_rings(writer, plan);
  if (new_backends) found_backends(writer, plan);
  if (auto founded = found_counters(writer, plan); !founded) return founded;
  write_record(writer, plan);
  return {};
}

Result<> raise_backends(Writer& writer, const Plan& plan, Seconds now) {
  Store& store = writer.store();
  for (std::size_t i = 0; i < plan.slots.size(); i++) {
    const desired::Backend& wanted = plan.wanted->backends[i];
    abi::backend& record = record_of(writer, plan, plan.slots[i]);
    const std::uint16_t flags = flags_of(wanted);
    if (!(record.flags & abi::BACKEND_USED)) {
      if (auto ready = writer.before_reuse(); !ready) return ready;
      abi::backend fresh{};
      dataplane::set_address(fresh, wanted.address);
      fresh.generation = static_cast<std::uint16_t>(record.generation + 1);
      fresh.since = now;
      fresh.weight = wanted.weight;
      store.put_unseen(record, fresh);
    }
    store.put(record.weight, wanted.weight);
    if (store.put(record.flags, record.flags | flags)) store.put(record.since, now);
  }
  return {};
}

std::uint64_t move_rows(Writer& writer, const Plan& plan, Seconds now) {
  if (plan.held == nullptr) return 0;
  Rows rows{writer};
  const bool tracked = (plan.record.options & abi::SERVICE_UNTRACKED) == 0;
  const auto flags = wanted_flags(writer, plan);
  const auto serves_known = [&](std::uint16_t slot) {
    const auto found = flags.find(slot);
    return found != flags.end() && (found->second & abi::BACKEND_SERVES_KNOWN) != 0;
  };
  const auto owners = wanted_owners(plan);
  std::uint64_t changed = 0;
  for (const Protocol protocol : protocols) {
    const abi::ring_desc& ring = ring_of(plan.record, protocol);
    if (ring.size == 0 || is_new(plan, protocol)) continue;
    for (std::uint32_t i = 0; i < ring.size; i++) {
      const std::uint32_t row = ring.base + i;
      if (!tracked) {
        rows.force(row, owners[i]);
        continue;
      }
      const std::uint16_t before = rows.owner(row);
      if (before != owners[i]) changed++;
      rows.change(row, owners[i], serves_known(before), now);
      if (rows.moving(row) && rows.home(row) != owners[i] && !serves_known(rows.home(row)))
        rows.give_up_home(row, now);
    }
  }
  return changed;
}

void lower_backends(Writer& writer, const Plan& plan, Seconds now) {
  Store& store = writer.store();
  for (const auto& [slot, flags] : wanted_flags(writer, plan)) {
    abi::backend& record = record_of(writer, plan, slot);
    if (store.put(record.flags, flags)) store.put(record.since, now);
  }
}

std::map<FrontendKey, abi::frontend> frontends_of(const Plan& plan,
                                                  const std::set<IpAddress>& local) {
  std::map<FrontendKey, abi::frontend> all;
  const lbd::Service& policy = plan.wanted->policy;
  for (const IpAddress& address : policy.addresses) {
    abi::frontend frontend{};
    frontend.backend_base = plan.record.backend_base;
    frontend.service = plan.index;
    if (policy.unknown_ports == UnknownPorts::drop) frontend.flags |= abi::FRONTEND_DROP_UNKNOWN;
    if (local.contains(address)) frontend.flags |= abi::FRONTEND_LOCAL;
    all.emplace(address_key_of(address), frontend);

    frontend.flags = plan.record.flags;
    if (!allows_all(policy.allow_from, address.family()))
      frontend.flags |= abi::FRONTEND_ALLOW_LIST;
    for (const ServicePort& port : policy.ports) {
      const abi::ring_desc& ring = ring_of(plan.record, port.protocol);
      frontend.ring_base = ring.base;
      frontend.ring_size = ring.size;
      frontend.counter_base = plan.counter_bases.at(port);
      all.emplace(key_of(address, port), frontend);
    }
  }
  return all;
}

}  // namespace lbd::reconcile
