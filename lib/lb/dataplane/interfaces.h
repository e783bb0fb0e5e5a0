// The node's interfaces and addresses, followed by events.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "lb/dataplane/netlink.h"

namespace lbd::dataplane {

class Interfaces {
 public:
  /// Forgets all that was known. True where that makes a difference; so do the following.
  bool replace(std::vector<netlink::Link> links, const std::vector<netlink::Address>& addresses);
  bool apply(const netlink::LinkEvent&);
  bool apply(const netlink::AddressEvent&);

  /// Null where there is no such interface.
  [[nodiscard]] const netlink::Link* find(std::uint32_t ifindex) const;
  /// The interface's first address that is good to send from.
  [[nodiscard]] std::optional<IpAddress> source(std::uint32_t ifindex, IpAddress::Family) const;
  /// The addresses of all interfaces.
  [[nodiscard]] const std::set<IpAddress>& local() const { return local_; }

  bool operator==(const Interfaces&) const = default;

 private:
  void add_local(const IpAddress&);
  void remove_local(const IpAddress&);

  std::map<std::uint32_t, netlink::Link> links_;
  std::map<std::uint32_t, std::vector<netlink::Address>> addresses_;  // in the kernel's order
  std::map<IpAddress, unsigned> holders_;  // how often an address is in addresses_
  std::set<IpAddress> local_;
};

}  // namespace lbd::dataplane
