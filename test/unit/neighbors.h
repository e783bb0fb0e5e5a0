// What the kernel would say of routes and neighbours, for tests that reconcile without any.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "lb/dataplane/route.h"
#include "unit/frames.h"

namespace lbd::test {

/// Every backend is a neighbour on the interface that test runs come in on.
class Neighbors final : public dataplane::RouteSource {
 public:
  std::map<IpAddress, Mac> macs;
  Mac mac = *Mac::parse("02:00:00:00:00:01");  // of those that `macs` does not have
  std::map<IpAddress, std::uint32_t> other_ifindex;
  std::set<IpAddress> unreachable;
  std::set<IpAddress> local;
  std::uint16_t mtu = 1500;

  [[nodiscard]] std::optional<dataplane::Route> to(const IpAddress& destination) const override {
    if (unreachable.contains(destination)) return std::nullopt;
    const auto own = macs.find(destination);
    const auto other = other_ifindex.find(destination);
    return dataplane::Route{.ifindex = other == other_ifindex.end() ? 1 : other->second,
                            .interface = "lo",
                            .source_mac = *Mac::parse("02:00:00:00:00:02"),
                            .mac = own == macs.end() ? mac : own->second,
                            .mtu = mtu,
                            .source4 = ip("10.0.0.2"),
                            .source6 = ip("fd01::2")};
  }
  [[nodiscard]] const std::set<IpAddress>& local_addresses() const override { return local; }
};

}  // namespace lbd::test
