#include "lb/reconcile/relocation.h"

#include <optional>

#include "lb/reconcile/counts.h"
#include "lb/reconcile/frontend_table.h"
#include "lb/reconcile/space.h"

namespace lbd::reconcile {
namespace {

void forget_old_stretch(Writer& writer, abi::service& record) {
  writer.store().put_pair(record.old_backend_base, 0, 0);
  writer.freed();
}

/// Counters in the new stretch for every port of a service that still counts in the old one.
Result<std::map<ServicePort, std::uint32_t>> new_counters(Writer& writer, const Held& held,
                                                          const HeldService& service,
                                                          Space& space) {
  std::map<ServicePort, std::uint32_t> bases;
  std::map<ServicePort, std::uint32_t> old_bases;
  for (const auto& [key, frontend] : held.frontends) {
    const auto port = port_of(key);
    if (!port || frontend.service != service.index) continue;
    const bool moved = frontend.backend_base == service.record.backend_base;
    (moved ? bases : old_bases).emplace(*port, frontend.counter_base);
  }
  for (const auto& [port, old_base] : old_bases) {
    if (bases.contains(port)) continue;
    auto base = space.take_counters(counters_for(service.record.slots));
    if (!base) return std::move(base).error();
    if (auto ready = writer.before_reuse(); !ready) return std::move(ready).error();
    PortCounts counts{writer, *base, service.record.slots};
    auto founded = counts.found(PortCounts{writer, old_base, service.record.old_slots});
    if (!founded) return std::move(founded).error();
    bases.emplace(port, *base);
  }
  return bases;
}

Result<> finish_move(Writer& writer, const Held& held, const HeldService& service, Space& space) {
  if (service.record.old_backend_base == service.record.backend_base) {
    forget_old_stretch(writer, writer.tables().services[service.index]);
    return {};
  }
  auto bases = new_counters(writer, held, service, space);
  if (!bases) return std::move(bases).error();
  return lead_to_new_stretch(writer, held, service.index, *bases);
}

Result<> finish_sums(Writer& writer, const HeldService& service) {
  for (const auto& [port, base] : service.counter_bases)
    if (auto done = PortCounts{writer, base, service.record.slots}.finish(); !done) return done;
  return {};
}

}  // namespace

Result<> lead_to_new_stretch(Writer& writer, const Held& held, std::uint32_t service,
                             const std::map<ServicePort, std::uint32_t>& counter_bases) {
  abi::service& record = writer.tables().services[service];
  FrontendTable table{writer};
  for (auto [key, frontend] : held.frontends) {
    if (frontend.service != service) continue;
    if (const auto port = port_of(key)) {
      const auto counters = counter_bases.find(*port);
      if (counters == counter_bases.end()) {
        table.erase(key);
        continue;
      }
      frontend.counter_base = counters->second;
    }
    frontend.backend_base = record.backend_base;
    if (auto put = table.put(key, frontend); !put) return put;
  }
  if (auto waited = writer.grace(); !waited) return waited;
  forget_old_stretch(writer, record);
  return {};
}

Result<bool> finish_interrupted(Writer& writer, const Held& held, const Log& log) {
  std::optional<Space> space;
  for (const HeldService& service : held.services) {
    const bool moves = service.record.old_slots != 0;
    if (moves && !space) space.emplace(writer, held, log);
    // No sum is begun while a service moves.
    auto finished =
        moves ? finish_move(writer, held, service, *space) : finish_sums(writer, service);
    if (!finished) return std::move(finished).error().in("service " + service.name);
  }
  return space.has_value();
}

Result<> carry_counts(Writer& writer, const Held& held) {
  bool waited = false;
  for (const HeldService& service : held.services) {
    if (service.record.old_slots != 0) continue;
    for (const auto& [port, base] : service.counter_bases) {
      PortCounts counts{writer, base, service.record.slots};
      if (!counts.carries_from()) continue;
      if (!waited)
        if (auto grace = writer.grace(); !grace) return grace;
      waited = true;
      if (auto carried = counts.carry(); !carried) return carried;
    }
  }
  return {};
}

}  // namespace lbd::reconcile
