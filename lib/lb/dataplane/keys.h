// The one place where values become map keys and records and back: byte order lives here.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "lb/dataplane/abi.h"
#include "lb/model/address.h"
#include "lb/model/service.h"

namespace lbd::dataplane {

/// The eleven keys of the flow hash and the eleven of the print from the 128 bits of hashKey: word
/// i of all 22 is SipHash-2-4 of the eight bytes of i (little endian) under hashKey; all but the
/// first of each eleven made odd.
[[nodiscard]] abi::hash_key hash_key_from(std::span<const std::uint8_t, 16> hash_key);

[[nodiscard]] std::uint16_t to_network(Port);  ///< as the packet's two bytes are loaded
[[nodiscard]] Port port_from_network(std::uint16_t);
/// An address as the packet's words are loaded; IPv4 in word 0, the rest 0.
[[nodiscard]] std::array<std::uint32_t, 4> words_of(const IpAddress&);
[[nodiscard]] IpAddress address_from_words(std::span<const std::uint32_t, 4>, bool v6);

/// A frontend as its table knows it: port and protocol; port 0 and protocol | PROTOCOL_EVERY_PORT
/// for all other ports of the protocol; port 0 and protocol 0 for the address record.
struct FrontendKey {
  IpAddress address;
  Port port{0};
  std::uint8_t protocol = 0;
  auto operator<=>(const FrontendKey&) const = default;
};
/// The two buckets in which a frontend may be; they can be the same.
struct Buckets {
  std::uint32_t home = 0;
  std::uint32_t away = 0;
};
[[nodiscard]] __u64 key4_of(const FrontendKey&);                 ///< IPv4 only
[[nodiscard]] std::array<__u64, 3> key6_of(const FrontendKey&);  ///< IPv6 only
[[nodiscard]] FrontendKey frontend_from_key4(__u64 key);
[[nodiscard]] FrontendKey frontend_from_key6(std::span<const __u64, 3> key);
[[nodiscard]] Buckets buckets_of(const FrontendKey&);
/// The address's bit in Tables::address_filter: word bit / 64, bit % 64.
[[nodiscard]] std::uint32_t address_bit_of(const IpAddress&);

[[nodiscard]] abi::allow_key4 allow_key4_of(std::uint32_t scope, const Prefix&);  ///< IPv4 only
[[nodiscard]] abi::allow_key6 allow_key6_of(std::uint32_t scope, const Prefix&);  ///< IPv6 only
[[nodiscard]] Prefix prefix_of(const abi::allow_key4&);
[[nodiscard]] Prefix prefix_of(const abi::allow_key6&);

[[nodiscard]] abi::local_key local_key_of(const IpAddress&);
[[nodiscard]] IpAddress address_of(const abi::local_key&);

/// Sets the address words and BACKEND_V6, nothing else.
void set_address(abi::backend&, const IpAddress&);
[[nodiscard]] IpAddress address_of(const abi::backend&);

/// The first 12 bytes of a frame as abi::next_hop keeps them.
struct EthernetWords {
  std::uint64_t eth0 = 0;
  std::uint32_t eth8 = 0;
};
[[nodiscard]] EthernetWords ethernet_words(const Mac& destination, const Mac& source);
[[nodiscard]] Mac destination_mac(const abi::next_hop&);
[[nodiscard]] Mac source_mac(const abi::next_hop&);
/// Sets source4 or source6 by the address's family.
void set_source(abi::next_hop&, const IpAddress&);

struct Tuple {
  IpAddress source;
  Port source_port{0};
  IpAddress destination;
  Port destination_port{0};
  Protocol protocol = Protocol::tcp;
  auto operator<=>(const Tuple&) const = default;
};
[[nodiscard]] abi::flow_key flow_key_of(const Tuple&, std::uint32_t service = 0);
[[nodiscard]] Tuple tuple_of(const abi::flow_key&);
/// The flow's hash, as the programs compute it from its packets (5-tuple).
[[nodiscard]] std::uint32_t hash_of(const abi::hash_key&, const abi::flow_key&);

}  // namespace lbd::dataplane
