// Frames that tests send to a balancer, byte by byte.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "lb/model/address.h"

namespace lbd::test {

inline IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}

/// A client's TCP connection or UDP conversation.
struct Client {
  IpAddress address;
  std::uint16_t port = 0;
};

enum class Kind { syn, ack, fin, rst, data, udp };

/// A frame of that flow to `vip`:80, of Ethernet, IP and the transport header alone. Without a
/// sequence number a SYN's is 1 and every other's the one that follows.
std::vector<std::uint8_t> frame_to(const IpAddress& vip, const Client& client, Kind kind,
                                   std::optional<std::uint32_t> sequence = {});

/// The frame's IP packet within another one from `sender` to `node`, as a balancer sends it.
std::vector<std::uint8_t> encapsulated(const std::vector<std::uint8_t>& frame,
                                       const IpAddress& sender, const IpAddress& node);

}  // namespace lbd::test
