// The arguments of `lbctl replay`: a node as a capture's frames would meet it.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "lb/dataplane/route.h"
#include "lb/model/address.h"
#include "lb/model/result.h"

namespace lbd::lbctl {

inline constexpr std::string_view replay_usage =
    "usage: lbctl replay --config FILE --interface NAME=MAC,MTU,IPV4/LEN,IPV6/LEN\n"
    "                    [--local IP]... [--neighbor IP=MAC]... [--pass] [-o json|table]\n"
    "                    IN.pcap OUT.pcap\n"
    "\n"
    "Runs each frame of IN.pcap through the data plane of FILE, on maps of its own: nothing is\n"
    "attached, no daemon is needed, a running one isn't touched.\n"
    "\n"
    "  --config FILE     the configuration, as the daemon would have it\n"
    "  --interface ...   the one interface that all frames come in on and leave by; '-' stands\n"
    "                    for an absent address\n"
    "  --local IP        one more address of the node, such as a VIP on lo\n"
    "  --neighbor IP=MAC the next hop of an outer destination; without one: drop, no-neighbor\n"
    "  --pass            OUT.pcap also gets what goes up the stack\n"
    "  -o json           a JSON line a packet\n";

struct ReplayOptions {
  std::string config;
  std::string interface;
  Mac mac;
  std::uint16_t mtu = 0;
  std::optional<IpAddress> ipv4;
  std::optional<IpAddress> ipv6;
  std::set<IpAddress> local;  ///< all of the node's addresses, the interface's included
  std::map<IpAddress, Mac> neighbors;
  bool pass = false;
  bool json = false;
  bool help = false;
  std::string in;
  std::string out;
};

Result<ReplayOptions> parse_replay(std::span<const std::string> arguments);

/// The routes of that node: everything leaves by the one interface, to a neighbor.
class ReplayRoutes final : public dataplane::RouteSource {
 public:
  /// `ifindex`: of the interface that test runs come in on.
  ReplayRoutes(const ReplayOptions& options, std::uint32_t ifindex)
      : options_{options}, ifindex_{ifindex} {}
  [[nodiscard]] std::optional<dataplane::Route> to(const IpAddress& destination) const override;
  [[nodiscard]] const std::set<IpAddress>& local_addresses() const override {
    return options_.local;
  }

 private:
  const ReplayOptions& options_;
  std::uint32_t ifindex_;
};

}  // namespace lbd::lbctl
