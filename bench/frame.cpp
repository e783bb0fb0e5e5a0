#include "frame.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <numeric>

namespace lbd::bench {
namespace {

constexpr std::size_t ethernet_size = 14;
constexpr std::size_t tcp_size = 20;
constexpr std::uint8_t protocol_tcp = 6;

std::size_t header_size(const IpAddress& address) {
  return address.is_v6() ? 40 : 20;
}

std::uint8_t protocol_of(const IpAddress& inner) {
  return inner.is_v6() ? 41 : 4;
}

/// The one's complement sum of a header's words, as they are loaded.
std::uint32_t word_sum(const std::uint8_t* header, std::size_t size) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < size; i += 2)
    sum += static_cast<std::uint32_t>(header[i] | header[i + 1] << 8);
  return sum;
}

void put_ethernet(std::vector<std::uint8_t>& frame, const IpAddress& network) {
  const std::uint8_t macs[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 3};
  std::copy(std::begin(macs), std::end(macs), frame.begin());
  frame[12] = network.is_v6() ? 0x86 : 0x08;
  frame[13] = network.is_v6() ? 0xdd : 0x00;
}

/// An IP header at `at` over all that follows; without a checksum.
void put_ip(std::vector<std::uint8_t>& frame, std::size_t at, const Ends& ends,
            std::uint8_t protocol) {
  std::uint8_t* header = frame.data() + at;
  const std::size_t size = frame.size() - at;
  const auto source = ends.source.bytes();
  const auto destination = ends.destination.bytes();
  if (ends.destination.is_v6()) {
    header[0] = 0x60;
    header[5] = static_cast<std::uint8_t>(size - 40);
    header[6] = protocol;
    header[7] = 64;
    std::copy(source.begin(), source.end(), header + 8);
    std::copy(destination.begin(), destination.end(), header + 24);
    return;
  }
  header[0] = 0x45;
  header[3] = static_cast<std::uint8_t>(size);
  header[6] = 0x40;
  header[8] = 64;
  header[9] = protocol;
  std::copy(source.begin(), source.end(), header + 12);
  std::copy(destination.begin(), destination.end(), header + 16);
}

/// Of an IPv4 header that the wrapper doesn't write.
void put_checksum(std::vector<std::uint8_t>& frame, std::size_t at) {
  std::uint32_t sum = word_sum(frame.data() + at, 20);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  frame[at + 10] = static_cast<std::uint8_t>(~sum);
  frame[at + 11] = static_cast<std::uint8_t>(~sum >> 8);
}

template <class T>
void take(T& word, const std::vector<std::uint8_t>& frame, std::size_t offset) {
  std::memcpy(&word, frame.data() + offset, sizeof word);
}

/// A step that visits all flows in another order than they were stored in.
std::uint32_t stride(std::uint32_t flows) {
  auto step = static_cast<std::uint32_t>(flows * 0.6180339887);
  step = std::max(step, 1U);
  while (std::gcd(step, flows) != 1) step++;
  return step;
}

}  // namespace

IpAddress ip(std::string_view text) {
  const auto address = IpAddress::parse(text);
  assert(address);
  return *address;
}

Frame tcp_to(const IpAddress& vip, std::uint8_t tcp_flags) {
  Frame frame{.v6 = vip.is_v6()};
  auto& f = frame.bytes;
  f.assign(REWIND_FRAME, 0);
  put_ethernet(f, vip);
  put_ip(f, ethernet_size, {ip(frame.v6 ? "2001:db8:ffff::" : "0.0.0.0"), vip}, protocol_tcp);
  std::uint8_t* tcp = f.data() + ethernet_size + header_size(vip);
  tcp[2] = 443 >> 8;
  tcp[3] = 443 & 0xff;
  tcp[7] = REWIND_SEQUENCE;
  tcp[12] = 5 << 4;
  tcp[13] = tcp_flags;
  return frame;
}

Frame tunnelled(const Ends& outer, const Ends& inner) {
  Frame frame{.v6 = outer.destination.is_v6(), .many_clients = false};
  auto& f = frame.bytes;
  const std::size_t inner_at = ethernet_size + header_size(outer.destination);
  const std::size_t tcp_at = inner_at + header_size(inner.destination);
  f.assign(tcp_at + tcp_size, 0);
  put_ethernet(f, outer.destination);
  put_ip(f, ethernet_size, outer, protocol_of(inner.destination));
  put_ip(f, inner_at, inner, protocol_tcp);
  if (!inner.destination.is_v6()) put_checksum(f, inner_at);
  f[tcp_at + 12] = 5 << 4;
  f[tcp_at + 13] = REWIND_FLAGS;
  return frame;
}

rewind_words words_of(const Frame& frame, std::uint32_t flows, int growth) {
  const auto& f = frame.bytes;
  rewind_words s{};
  s.flows = flows;
  s.step = stride(flows);
  s.frame = static_cast<std::uint32_t>(f.size());
  s.growth = growth;
  s.v6 = frame.v6 ? 1 : 0;
  s.client = frame.many_clients ? REWIND_CLIENT : 0;
  s.port = frame.many_clients ? REWIND_PORT : 0;
  take(s.e0, f, 0), take(s.e8, f, 8), take(s.e12, f, 12);
  take(s.four14, f, 14), take(s.four22, f, 22), take(s.four26, f, 26), take(s.four34, f, 34);
  take(s.four42, f, 42), take(s.four50, f, 50);
  take(s.six14, f, 14), take(s.six22, f, 22), take(s.six30, f, 30), take(s.six38, f, 38);
  take(s.six46, f, 46), take(s.six54, f, 54), take(s.six62, f, 62), take(s.six64, f, 64);
  take(s.six72, f, 72);
  if (!frame.v6) s.four_sum = word_sum(f.data() + ethernet_size, 20);
  return s;
}

}  // namespace lbd::bench
