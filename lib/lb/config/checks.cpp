#include "lb/config/checks.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace lbd::config {
namespace {

/// The services that an address is a VIP of, in the file's order.
using Vips = std::unordered_map<IpAddress, std::vector<const PlacedService*>>;

/// How a message names a service: by its name, else by its place.
std::string label(const PlacedService& placed) {
  const std::string& name = placed.service.name;
  return name.empty() ? fmt::format("the service of line {}", placed.at.place.line)
                      : fmt::format("service '{}'", name);
}

/// Names are what the admin interface, metrics and the maps know services by.
void check_names(const std::vector<PlacedService>& services, Findings& findings) {
  std::unordered_set<std::string_view> seen;
  for (const PlacedService& placed : services) {
    const std::string& name = placed.service.name;
    if (!name.empty() && !seen.insert(name).second)
      findings.error(placed.at, fmt::format("expected a name of its own, '{}' is taken", name));
  }
}

/// Smaller tables spread badly: weights are met within 1% from 100 rows a backend on.
void check_table_size(const PlacedService& placed, Findings& findings) {
  constexpr std::size_t rows_per_backend = 100;
  if (!placed.table_size.value) return;
  const std::size_t rows = *placed.table_size.value;
  const std::size_t backends = placed.service.backends.size();
  const At& at = placed.table_size.at;
  if (rows < backends)
    findings.error(
        at, fmt::format("expected a tableSize of at least {}, the number of backends, got {}",
                        backends, rows));
  else if (rows < rows_per_backend * backends)
    findings.warning(at, fmt::format("a tableSize of at least {}, 100 rows a backend, spreads by "
                                     "weight within 1%; it is {}",
                                     rows_per_backend * backends, rows));
}

/// A packet for a VIP that is sent to a VIP would come back to a balancer, without end.
void check_backends(const PlacedService& placed, const Vips& vips, Findings& findings) {
  for (std::size_t i = 0; i < placed.service.backends.size(); i++) {
    const IpAddress& address = placed.service.backends[i].address;
    if (const auto vip = vips.find(address); vip != vips.end())
      findings.error(placed.backends[i],
                     fmt::format("expected a backend's own address, but {} is an address of {}",
                                 address.str(), label(*vip->second.front())));
  }
}

/// A frontend belongs to one service. Port 0 is a port of its own here: beside it a specific port
/// wins.
void check_overlaps(const std::vector<PlacedService>& services, const Vips& vips,
                    Findings& findings) {
  std::map<IpAddress, std::map<ServicePort, const PlacedService*>> owners;
  for (const PlacedService& placed : services) {
    for (std::size_t i = 0; i < placed.service.addresses.size(); i++) {
      const IpAddress& address = placed.service.addresses[i];
      if (vips.at(address).size() < 2) continue;
      std::set<const PlacedService*> named;
      auto& ports = owners[address];
      for (const ServicePort& port : placed.service.ports) {
        const PlacedService* owner = ports.emplace(port, &placed).first->second;
        if (owner == &placed || !named.insert(owner).second) continue;
        findings.error(
            placed.addresses[i],
            fmt::format("expected frontends of its own, but {} {} belongs to {}",
                        with_port(address, port.port), to_string(port.protocol), label(*owner)));
      }
    }
  }
}

/// What no port matches is a matter of the address alone, so its services must agree.
void check_unknown_ports(const PlacedService& placed, const Vips& vips, Findings& findings) {
  if (!placed.unknown_ports.value) return;
  for (const IpAddress& address : placed.service.addresses) {
    const PlacedService& first = *vips.at(address).front();
    if (!first.unknown_ports.value || first.unknown_ports.value == placed.unknown_ports.value)
      continue;
    findings.error(placed.unknown_ports.at,
                   fmt::format("expected the unknownPorts of {}, which has address {} too",
                               label(first), address.str()));
    return;
  }
}

/// Checking more frontends than this takes longer than a reload may.
bool too_many_frontends(const std::vector<PlacedService>& services, Findings& findings) {
  std::size_t frontends = 0;
  for (const PlacedService& placed : services) {
    frontends += placed.service.addresses.size() * placed.service.ports.size();
    if (frontends <= frontends_max) continue;
    findings.error(placed.at, fmt::format("expected at most {} frontends (addresses x ports) in "
                                          "the file up to here",
                                          frontends_max));
    return true;
  }
  return false;
}

}  // namespace

void check_services(const std::vector<PlacedService>& services, Findings& findings) {
  Vips vips;
  for (const PlacedService& placed : services)
    for (const IpAddress& address : placed.service.addresses) {
      auto& users = vips[address];
      if (users.empty() || users.back() != &placed) users.push_back(&placed);
    }

  check_names(services, findings);
  for (const PlacedService& placed : services) {
    check_table_size(placed, findings);
    check_backends(placed, vips, findings);
    check_unknown_ports(placed, vips, findings);
  }
  if (!too_many_frontends(services, findings)) check_overlaps(services, vips, findings);
}

}  // namespace lbd::config
