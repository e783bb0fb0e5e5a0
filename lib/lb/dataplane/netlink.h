// Links, addresses, routes and neighbours as values: asked of the kernel (NETLINK_ROUTE), or told
// by it as they change. Both sockets are of the network namespace of the thread that opens them.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "lb/model/address.h"
#include "lb/model/result.h"

struct mnl_socket;

namespace lbd::dataplane::netlink {

struct Link {
  std::uint32_t ifindex = 0;
  std::string name;
  std::optional<Mac> mac;  ///< Ethernet has one; nothing else that leads to a next hop does
  std::uint32_t mtu = 0;
  bool up = false;       ///< switched on (IFF_UP)
  bool carrier = false;  ///< IFF_LOWER_UP
  bool operator==(const Link&) const = default;
};

struct Address {
  std::uint32_t ifindex = 0;
  IpAddress address;
  std::uint8_t prefix_length = 0;
  bool good_source = false;  ///< of global scope, neither tentative nor deprecated
  bool operator==(const Address&) const = default;
};

/// Whose MAC a packet carries: a gateway, or a destination on link.
struct NextHop {
  std::uint32_t ifindex = 0;
  IpAddress address;
  auto operator<=>(const NextHop&) const = default;
};

struct Neighbor {
  NextHop hop;
  std::optional<Mac> mac;  ///< only while the kernel itself would send to it
  bool failed = false;
  bool foreign = false;  ///< static, or another control plane's: not ours to change
  bool managed = false;  ///< the kernel keeps it resolved (NTF_EXT_MANAGED)
  bool operator==(const Neighbor&) const = default;
};

/// A neighbour that the kernel has no entry of.
Neighbor unknown_neighbor(const NextHop&);

/// What the kernel's routes say of a destination that packets can leave for.
struct Path {
  NextHop hop;
  std::optional<IpAddress> source;   ///< what the kernel would send from
  std::optional<std::uint32_t> mtu;  ///< of the route, where it has one of its own
  bool operator==(const Path&) const = default;
};

struct LinkEvent {
  Link link;
  bool gone = false;
};
struct AddressEvent {
  Address address;
  bool gone = false;
};
struct NeighborEvent {
  Neighbor neighbor;
  bool gone = false;
};
/// A route, a rule or a nexthop object: what it concerns only a new question can tell.
struct RouteEvent {};
using Event = std::variant<LinkEvent, AddressEvent, NeighborEvent, RouteEvent>;

using Socket = std::unique_ptr<mnl_socket, int (*)(mnl_socket*)>;

/// Questions and orders, answered before the call returns. Where a span goes in, one result each
/// comes out, in its order; many go to the kernel in one message.
class Requests {
 public:
  static Result<Requests> open();

  Result<std::vector<Link>> links();
  Result<std::vector<Address>> addresses();
  /// The error says why packets to a destination can't leave.
  std::vector<Result<Path>> paths(std::span<const IpAddress>);
  /// Has the neighbours resolved, and kept so by the kernel if it can (Linux 5.16). Foreign ones
  /// are left as they are. Answers what is known of each now; the rest comes as events.
  std::vector<Result<Neighbor>> keep(std::span<const NextHop>);
  /// The neighbours that are managed because keep() once said so, in this process or another.
  Result<std::vector<NextHop>> kept();
  /// Makes managed neighbours ordinary ones.
  void release(std::span<const NextHop>);

 private:
  explicit Requests(Socket socket) : socket_{std::move(socket)} {}
  std::vector<Result<std::optional<Neighbor>>> neighbors(std::span<const NextHop>);

  Socket socket_;
  std::uint32_t sequence_ = 0;
};

/// Changes, in the kernel's order, from open() on.
class Events {
 public:
  enum class Read {
    all,      ///< nothing is left to read for now
    more,     ///< enough for one go
    overrun,  ///< changes were lost: everything is to be asked again
  };

  static Result<Events> open();

  /// For polling. Stays this object's.
  [[nodiscard]] int fd() const;
  /// Hands on what has come; never blocks.
  Read read(const std::function<void(const Event&)>& handle);

 private:
  explicit Events(Socket socket) : socket_{std::move(socket)} {}

  Socket socket_;
};

}  // namespace lbd::dataplane::netlink
