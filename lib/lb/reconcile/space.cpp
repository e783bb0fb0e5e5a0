#include "lb/reconcile/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "lb/dataplane/flow_memory.h"
#include "lb/reconcile/counts.h"

namespace lbd::reconcile {
namespace {

constexpr std::uint32_t slots_min = 16;
constexpr std::uint32_t rows_min = 262144;
constexpr std::uint32_t backends_min = 4096;
constexpr std::uint32_t counters_min = 16384;

/// A table with two places a key takes in nearly all keys up to a load of 90% with cells in pairs
/// and 50% with single cells (Pagh & Rodler, "Cuckoo hashing"; Dietzfelbinger & Weidling). Near
/// that a set of keys in six finds no place, so single cells stay well below.
constexpr std::size_t frontends4_max = std::size_t{2} * FRONTEND_BUCKETS * 85 / 100;
constexpr std::size_t frontends6_max = std::size_t{FRONTEND_BUCKETS} * 18 / 100;

std::uint32_t whole_words(std::uint32_t rows) {
  return (rows + ROWS_PER_WORD - 1) / ROWS_PER_WORD * ROWS_PER_WORD;
}

std::uint32_t sized(std::uint64_t needed, std::uint32_t least, std::uint32_t most) {
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(2 * needed, least, most));
}

}  // namespace

std::uint32_t slots_for(std::size_t backends) {
  const auto twice = std::bit_ceil(std::max<std::size_t>(2 * backends, slots_min));
  return static_cast<std::uint32_t>(std::min<std::size_t>(twice, SLOTS_MAX));
}

dataplane::Sizes sizes_for(const desired::Desired& desired, const config::ConnectionTable& table) {
  std::uint64_t rows = 0;
  std::uint64_t backends = 0;
  std::uint64_t counters = 0;
  for (const desired::Service& service : desired.services) {
    const auto& ports = service.policy.ports;
    for (const Protocol protocol : protocols)
      if (std::any_of(ports.begin(), ports.end(),
                      [&](const ServicePort& port) { return port.protocol == protocol; }))
        rows += whole_words(service.policy.table_size);
    const std::uint64_t slots = slots_for(service.backends.size());
    backends += slots;
    counters += counters_for(static_cast<std::uint32_t>(slots)) * ports.size();
  }
  return {.rows = sized(rows, rows_min, ROWS_MAX),
          .backends = sized(backends, backends_min, BACKENDS_MAX),
          .counters = sized(counters, counters_min, COUNTERS_MAX),
          .flow_lines = dataplane::flow_lines_for(table.entries),
          .start_lines = dataplane::start_lines_for(table.starts)};
}

Space::Space(Writer& writer, const Held& held, const Log& log)
    : writer_{writer},
      log_{log},
      rows_{"rows", Extents{writer.plane().sizes().rows}, &dataplane::Sizes::rows, ROWS_MAX,
            ROWS_PER_WORD},
      backends_{"backend records", Extents{writer.plane().sizes().backends},
                &dataplane::Sizes::backends, BACKENDS_MAX, 1},
      counters_{"counters", Extents{writer.plane().sizes().counters}, &dataplane::Sizes::counters,
                COUNTERS_MAX, 1} {
  for (const HeldService& service : held.services) {
    services_.insert(service.index);
    for (const abi::ring_desc& ring : service.record.ring)
      rows_.extents.use({ring.base, whole_words(ring.size)});
    backends_.extents.use({service.record.backend_base, service.record.slots});
    backends_.extents.use({service.record.old_backend_base, service.record.old_slots});
  }
  std::set<std::uint32_t> seen;  // a port's addresses share its counters
  for (const auto& [key, frontend] : held.frontends) {
    if (!port_of(key) || !seen.insert(frontend.counter_base).second) continue;
    const abi::service& service = writer.tables().services[frontend.service];
    const bool moved = frontend.backend_base == service.backend_base;
    const std::uint32_t slots = moved ? service.slots : service.old_slots;
    if (slots == 0) continue;
    counters_.extents.use({frontend.counter_base, counters_for(slots)});
    const auto carried = PortCounts{writer, frontend.counter_base, slots}.carries_from();
    if (carried) counters_.extents.use(*carried);
  }
}

Result<std::uint32_t> Space::take(Kind& kind, std::uint32_t count) {
  if (auto base = kind.extents.take(count, kind.align)) return *base;
  if (auto grown = grow(kind, count); !grown) return std::move(grown).error();
  if (auto base = kind.extents.take(count, kind.align)) return *base;
  return Error{fmt::format("no room for {} more {}", count, kind.what)};
}

Result<> Space::grow(Kind& kind, std::uint32_t count) {
  const std::uint64_t needed = kind.extents.end_with(count, kind.align);
  if (needed > kind.max)
    return Error{
        fmt::format("no room for {} more {}: {} are the most", count, kind.what, kind.max)};
  dataplane::Sizes sizes = writer_.plane().sizes();
  sizes.*kind.size = sized(needed, 0, kind.max);
  if (auto grown = writer_.plane().grow(sizes); !grown)
    return std::move(grown).error().in(fmt::format("make room for {} {}", needed, kind.what));
  kind.extents.extend(writer_.plane().sizes().*kind.size);
  log_.info("maps_grown", {{"what", kind.what}, {"entries", sizes.*kind.size}});
  return {};
}

Result<std::uint32_t> Space::take_rows(std::uint32_t count) {
  return take(rows_, whole_words(count));
}
Result<std::uint32_t> Space::take_backends(std::uint32_t count) {
  return take(backends_, count);
}
Result<std::uint32_t> Space::take_counters(std::uint32_t count) {
  return take(counters_, count);
}

Result<std::uint32_t> Space::take_service() {
  for (std::uint32_t index = 0; index < SERVICES_MAX; index++)
    if (services_.insert(index).second) return index;
  return Error{fmt::format("no room for more than {} services", SERVICES_MAX)};
}

Result<> Space::take_frontends(const lbd::Service& service) {
  std::size_t four = 0;
  std::size_t six = 0;
  for (const IpAddress& address : service.addresses)
    (address.is_v4() ? four : six) += service.ports.size() + 1;
  if (frontends4_ + four > frontends4_max || frontends6_ + six > frontends6_max)
    return Error{fmt::format("no room for its {} frontends: {} IPv4 and {} IPv6 are the most",
                             four + six, frontends4_max, frontends6_max)};
  frontends4_ += four;
  frontends6_ += six;
  return {};
}

}  // namespace lbd::reconcile
