#include "unit/frames.h"

#include <array>
#include <span>

namespace lbd::test {
namespace {

void put16(std::vector<std::uint8_t>& bytes, unsigned value) {
  bytes.push_back(static_cast<std::uint8_t>(value >> 8));
  bytes.push_back(static_cast<std::uint8_t>(value));
}

void append(std::vector<std::uint8_t>& bytes, std::span<const std::uint8_t> more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

std::uint8_t tcp_flags(Kind kind) {
  switch (kind) {
    case Kind::syn:
      return 0x02;
    case Kind::fin:
      return 0x11;
    case Kind::rst:
      return 0x04;
    default:
      return 0x10;
  }
}

}  // namespace

std::vector<std::uint8_t> frame_to(const IpAddress& vip, const Client& client, Kind kind,
                                   std::optional<std::uint32_t> asked) {
  const std::uint32_t sequence = asked.value_or(kind == Kind::syn ? 1 : 2);
  std::vector<std::uint8_t> frame(12, 2);
  const std::uint8_t protocol = kind == Kind::udp ? 17 : 6;
  const unsigned transport = kind == Kind::udp ? 8 : kind == Kind::data ? 21 : 20;
  if (vip.is_v4()) {
    append(frame, std::array<std::uint8_t, 4>{0x08, 0x00, 0x45, 0x00});
    put16(frame, 20 + transport);
    append(frame, std::array<std::uint8_t, 8>{0, 1, 0x40, 0, 63, protocol, 0, 0});
  } else {
    append(frame, std::array<std::uint8_t, 6>{0x86, 0xdd, 0x60, 0, 0, 0});
    put16(frame, transport);
    append(frame, std::array<std::uint8_t, 2>{protocol, 63});
  }
  append(frame, client.address.bytes());
  append(frame, vip.bytes());
  put16(frame, client.port);
  put16(frame, 80);
  if (kind == Kind::udp) {
    put16(frame, 8);
    put16(frame, 0);
    return frame;
  }
  put16(frame, sequence >> 16);
  put16(frame, sequence);
  append(frame, std::array<std::uint8_t, 4>{});
  append(frame, std::array<std::uint8_t, 8>{0x50, tcp_flags(kind), 1, 0, 0, 0, 0, 0});
  if (kind == Kind::data) frame.push_back('x');
  return frame;
}

std::vector<std::uint8_t> encapsulated(const std::vector<std::uint8_t>& frame,
                                       const IpAddress& sender, const IpAddress& node) {
  constexpr std::size_t ethernet = 14;
  const std::span packet = std::span{frame}.subspan(ethernet);
  const std::uint8_t protocol = packet[0] >> 4 == 6 ? 41 : 4;
  const auto length = static_cast<unsigned>(packet.size());
  std::vector<std::uint8_t> outer(frame.begin(), frame.begin() + 12);
  if (node.is_v4()) {
    append(outer, std::array<std::uint8_t, 4>{0x08, 0x00, 0x45, 0x00});
    put16(outer, 20 + length);
    append(outer, std::array<std::uint8_t, 8>{0, 0, 0x40, 0, 64, protocol, 0, 0});
  } else {
    append(outer, std::array<std::uint8_t, 6>{0x86, 0xdd, 0x60, 0, 0, 0});
    put16(outer, length);
    append(outer, std::array<std::uint8_t, 2>{protocol, 64});
  }
  append(outer, sender.bytes());
  append(outer, node.bytes());
  append(outer, packet);
  return outer;
}

}  // namespace lbd::test
