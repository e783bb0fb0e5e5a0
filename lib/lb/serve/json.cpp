#include "lb/serve/json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace lbd::serve {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;
using reconcile::BackendSnapshot;
using reconcile::Count;
using reconcile::PortSnapshot;
using reconcile::ServiceSnapshot;

/// An index into `service.backends` for each of them, in the order of their addresses.
std::vector<std::size_t> by_address(const ServiceSnapshot& service) {
  std::vector<std::size_t> order(service.backends.size());
  for (std::size_t i = 0; i < order.size(); i++) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return service.backends[a].address < service.backends[b].address;
  });
  return order;
}

bool takes_new(const ServiceSnapshot& service, const BackendSnapshot& backend) {
  return service.refused.empty() && backend.used;
}

/// Why the backend gets no new flows: the nearest cause that is known.
value why(const ServiceSnapshot& service, const BackendSnapshot& backend) {
  if (!service.refused.empty()) return value(service.refused);
  if (!backend.why.empty()) return value(backend.why);
  if (backend.removed) return value("removed from the configuration");
  return nullptr;
}

array usable_json(const ServiceSnapshot& service, Port port) {
  array backends;
  for (const std::size_t i : by_address(service))
    if (takes_new(service, service.backends[i]))
      backends.emplace_back(with_port(service.backends[i].address, port));
  return backends;
}

array frontends_json(const ServiceSnapshot& service, Port port) {
  std::vector<IpAddress> addresses = service.addresses;
  std::sort(addresses.begin(), addresses.end());
  const array usable = usable_json(service, port);
  array frontends;
  for (const IpAddress& address : addresses)
    frontends.push_back(object{{"kind", "vip"},
                               {"address", address.str()},
                               {"port", port.host_order()},
                               {"action", usable.empty() ? "drop" : "forward"},
                               {"backends", usable}});
  return frontends;
}

array endpoints_json(const ServiceSnapshot& service, Port port) {
  array endpoints;
  for (const std::size_t i : by_address(service)) {
    const BackendSnapshot& backend = service.backends[i];
    endpoints.push_back(object{{"address", with_port(backend.address, port)},
                               {"state", desired::to_string(backend.state)},
                               {"weight", backend.weight},
                               {"used", takes_new(service, backend)},
                               {"why", why(service, backend)}});
  }
  return endpoints;
}

/// What names a port of a service, first in each of its objects.
object port_json(const ServiceSnapshot& service, const ServicePort& port) {
  return {{"name", service.name},
          {"port", std::to_string(port.port.host_order())},
          {"protocol", to_string(port.protocol)}};
}

void append(object& to, const Count& count) {
  to.emplace("packets", count.packets);
  to.emplace("bytes", count.bytes);
}

value next_hop_json(const BackendSnapshot& backend) {
  if (!backend.next_hop) return nullptr;
  return object{{"interface", backend.next_hop->interface}, {"mac", backend.next_hop->mac.str()}};
}

object port_stats_json(const ServiceSnapshot& service, const PortSnapshot& port) {
  array backends;
  for (const std::size_t i : by_address(service)) {
    object backend{{"address", service.backends[i].address.str()}};
    append(backend, i < port.backend_count.size() ? port.backend_count[i] : Count{});
    backends.push_back(std::move(backend));
  }
  object stats = port_json(service, port.port);
  append(stats, port.count);
  stats.emplace("backends", std::move(backends));
  return stats;
}

object flow_memory_json(const reconcile::FlowsSnapshot& flows) {
  return {{"entries", flows.entries}, {"entriesMax", flows.entries_max},
          {"starts", flows.starts},   {"startsPerSecond", flows.starts_per_second},
          {"started", flows.started}, {"confirmed", flows.confirmed},
          {"adopted", flows.adopted}, {"refused", flows.refused},
          {"yields", flows.yields}};
}

array refused_json(const std::vector<Refused>& refused) {
  array services;
  for (const Refused& one : refused)
    services.push_back(object{{"service", one.service}, {"reason", one.reason}});
  return services;
}

array strings_json(const std::vector<std::string>& strings) {
  array texts;
  for (const std::string& string : strings) texts.emplace_back(string);
  return texts;
}

/// RFC 3339, UTC, whole seconds.
std::string time_text(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

}  // namespace

array services_json(const reconcile::Snapshot& snapshot) {
  array services;
  for (const ServiceSnapshot& service : snapshot.services)
    for (const PortSnapshot& port : service.ports) {
      object one = port_json(service, port.port);
      one.emplace("frontends", frontends_json(service, port.port.port));
      one.emplace("endpoints", endpoints_json(service, port.port.port));
      if (!service.refused.empty()) one.emplace("refused", service.refused);
      services.push_back(std::move(one));
    }
  return services;
}

array backends_json(const reconcile::Snapshot& snapshot) {
  array backends;
  for (const ServiceSnapshot& service : snapshot.services)
    for (const std::size_t i : by_address(service)) {
      const BackendSnapshot& backend = service.backends[i];
      object one{{"service", service.name},
                 {"address", backend.address.str()},
                 {"state", desired::to_string(backend.state)},
                 {"weight", backend.weight}};
      append(one, backend.count);
      one.emplace("nextHop", next_hop_json(backend));
      backends.push_back(std::move(one));
    }
  return backends;
}

object stats_json(const reconcile::Snapshot& snapshot) {
  object reasons;
  for (const reconcile::ReasonSnapshot& reason : snapshot.reasons) {
    if (reason.count.packets == 0) continue;
    object count;
    append(count, reason.count);
    reasons.emplace(reason.reason, std::move(count));
  }
  array services;
  for (const ServiceSnapshot& service : snapshot.services)
    for (const PortSnapshot& port : service.ports)
      services.push_back(port_stats_json(service, port));
  return {{"reasons", std::move(reasons)},
          {"services", std::move(services)},
          {"flowMemory", flow_memory_json(snapshot.flows)}};
}

object status_json(const Status& status) {
  array interfaces;
  for (const InterfaceStatus& one : status.interfaces)
    interfaces.push_back(
        object{{"name", one.name}, {"mode", one.mode}, {"programId", one.program_id}});
  array maps;
  for (const MapStatus& one : status.maps)
    maps.push_back(object{{"name", one.name},
                          {"entries", one.entries},
                          {"maxEntries", one.entries_max},
                          {"bytes", one.bytes}});
  return {{"version", status.version},
          {"pid", status.pid},
          {"uptimeSeconds", status.uptime.count()},
          {"interfaces", std::move(interfaces)},
          {"maps", std::move(maps)},
          {"rows", object{{"total", status.rows_total}, {"moving", status.rows_moving}}},
          {"flows", status.flows.entries},
          {"flowMemory", flow_memory_json(status.flows)},
          {"config",
           object{{"file", status.config.file}, {"loadedAt", time_text(status.config.loaded_at)}}},
          {"refused", refused_json(status.refused)},
          {"lastReconcile", object{{"writes", status.last_reconcile.writes},
                                   {"rowsMoved", status.last_reconcile.rows_moved}}}};
}

object reloaded_json(const Reloaded& reloaded) {
  const Changes& changed = reloaded.changed;
  return {{"changed", object{{"servicesAdded", strings_json(changed.services_added)},
                             {"servicesRemoved", strings_json(changed.services_removed)},
                             {"servicesChanged", strings_json(changed.services_changed)},
                             {"backendsAdded", strings_json(changed.backends_added)},
                             {"backendsRemoved", strings_json(changed.backends_removed)},
                             {"backendsChanged", strings_json(changed.backends_changed)}}},
          {"refused", refused_json(reloaded.refused)},
          {"warnings", strings_json(reloaded.warnings)},
          {"rowsMoved", reloaded.done.rows_moved},
          {"writes", reloaded.done.writes}};
}

}  // namespace lbd::serve
