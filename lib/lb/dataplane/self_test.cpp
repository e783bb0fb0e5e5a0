#include "lb/dataplane/self_test.h"

#include <fmt/format.h>
#include <linux/bpf.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/keys.h"

namespace lbd::dataplane {
namespace {

// From the blocks that RFC 5737 sets aside for examples.
constexpr IpAddress client = IpAddress::v4({203, 0, 113, 1});
constexpr IpAddress vip = IpAddress::v4({192, 0, 2, 1});
constexpr IpAddress balancer = IpAddress::v4({198, 51, 100, 1});
constexpr IpAddress backend = IpAddress::v4({198, 51, 100, 2});
constexpr Port port{53};
constexpr std::uint8_t udp = 17;

/// One service with one backend, written in the order of any other: what a packet meets first,
/// last.
Result<> fill(Tables& tables) {
  const std::uint32_t loopback = ::if_nametoindex("lo");
  if (loopback == 0) return errno_error("interface lo", errno);
  abi::next_hop& hop = tables.next_hops[1];
  const auto [eth0, eth8] = ethernet_words(Mac{{2, 0, 0, 0, 0, 2}}, Mac{{2, 0, 0, 0, 0, 1}});
  hop.eth0 = eth0;
  hop.eth8 = eth8;
  hop.mtu = 1500;
  hop.ifindex = loopback;  // where test runs come in
  set_source(hop, balancer);

  abi::backend& record = tables.backends[0];
  record.flags = abi::BACKEND_USED | abi::BACKEND_TAKES_NEW | abi::BACKEND_SERVES_KNOWN;
  set_address(record, backend);
  record.next_hop = 1;

  // All rows are 0 as made: slot 0, settled.
  const FrontendKey key{vip, port, udp};
  abi::frontend_cell4& cell = tables.frontends4[buckets_of(key).home].cell[0];
  cell.value = {.ring_base = 0,
                .ring_size = ROWS_PER_WORD,
                .backend_base = 0,
                .counter_base = 0,
                .service = 0,
                .flags = 0};
  cell.key = key4_of(key);
  const std::uint32_t bit = address_bit_of(vip);
  tables.address_filter[bit / 64] |= std::uint64_t{1} << (bit % 64);
  return {};
}

/// Ethernet, IPv4 and UDP with four bytes of payload. No checksum of UDP's, which IPv4 allows.
std::array<std::uint8_t, 46> packet() {
  std::array<std::uint8_t, 46> frame{
      2,    0,    0, 0,  0, 1,  2,    0, 0,   0,   0,   9,  0x08, 0,  // Ethernet
      0x45, 0,    0, 32, 0, 0,  0x40, 0, 64,  udp, 0,   0,            // IPv4, DF
      0,    0,    0, 0,  0, 0,  0,    0,                              // its addresses
      0x9c, 0x40, 0, 53, 0, 12, 0,    0, 'l', 'b', 'd', '?'};         // UDP from 40000
  std::ranges::copy(client.bytes(), frame.begin() + 26);
  std::ranges::copy(vip.bytes(), frame.begin() + 30);
  std::uint32_t sum = 0;
  for (std::size_t i = 14; i < 34; i += 2)
    sum += static_cast<std::uint32_t>(frame[i] << 8 | frame[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16));
  frame[24] = static_cast<std::uint8_t>(sum >> 8);
  frame[25] = static_cast<std::uint8_t>(sum);
  return frame;
}

Result<> run(const Log& log) {
  Options options;
  options.sizes = {
      .rows = ROWS_PER_WORD, .backends = 1, .counters = 1, .flow_lines = 1, .start_lines = 1};
  auto plane = DataPlane::open(options, log);
  if (!plane) return std::move(plane).error();
  if (auto filled = fill((*plane)->tables()); !filled) return filled;
  auto ran = (*plane)->run(packet());
  if (!ran) return std::move(ran).error();
  if (ran->action != XDP_TX)
    return Error{fmt::format("a packet to a VIP ends with action {}, not with {}", ran->action,
                             static_cast<unsigned>(XDP_TX))};
  auto counted = (*plane)->tables().counters.sum(0);
  if (!counted) return std::move(counted).error();
  if (counted->packets != 1)
    return Error{fmt::format("one forwarded packet is counted {} times", counted->packets)};
  return {};
}

}  // namespace

Result<> self_test(const Log& log) {
  auto passed = run(log);
  if (!passed) return std::move(passed).error().in("self-test of the program");
  return {};
}

}  // namespace lbd::dataplane
