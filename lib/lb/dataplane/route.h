// The way to an outer destination, as the kernel's routes and neighbours say.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "lb/model/address.h"

namespace lbd::dataplane {

struct Route {
  std::uint32_t ifindex = 0;  ///< egress interface
  std::string interface;      ///< its name
  Mac source_mac;             ///< the interface's own
  Mac mac;                    ///< of the gateway, or of the destination where it is on link
  std::uint16_t mtu = 0;      ///< of the route, else of the interface; bytes of the outer IP packet
  std::optional<IpAddress> source4;  ///< the interface's address that outer IPv4 headers carry
  std::optional<IpAddress> source6;  ///< the same for IPv6
  bool operator==(const Route&) const = default;
};

/// Where reconcile gets routes from: the kernel (Router), or a replay's arguments.
class RouteSource {
 public:
  RouteSource() = default;
  RouteSource(const RouteSource&) = delete;
  RouteSource& operator=(const RouteSource&) = delete;
  virtual ~RouteSource() = default;

  /// Nothing where there is no route or the neighbour's MAC isn't known (yet).
  [[nodiscard]] virtual std::optional<Route> to(const IpAddress& destination) const = 0;
  /// The addresses of this node, on all of its interfaces.
  [[nodiscard]] virtual const std::set<IpAddress>& local_addresses() const = 0;
};

}  // namespace lbd::dataplane
