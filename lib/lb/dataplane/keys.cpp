#include "lb/dataplane/keys.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "lb/dataplane/siphash.h"

namespace lbd::dataplane {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint16_t swapped(std::uint16_t value) {
  return static_cast<std::uint16_t>(value << 8 | value >> 8);
}

/// The bytes of one object seen as another of the same size.
template <class To, class From>
To same_bytes(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

IpAddress v4_from_word(std::uint32_t word) {
  return IpAddress::v4(same_bytes<std::array<std::uint8_t, 4>>(word));
}

/// Bits of a prefix length that stand for the scope, which precedes the address in the key.
constexpr std::uint32_t scope_bits = 32;

std::uint8_t own_length(std::uint32_t prefix_length) {
  return static_cast<std::uint8_t>(prefix_length - scope_bits);
}

}  // namespace

abi::hash_key hash_key_from(std::span<const std::uint8_t, 16> hash_key) {
  abi::hash_key key{};
  std::uint64_t counter = 0;
  for (auto* words : {&key.k, &key.print})
    for (__u64& word : *words) {
      const bool first = &word == &(*words)[0];
      word =
          siphash24(hash_key, same_bytes<std::array<std::uint8_t, 8>>(counter)) | (first ? 0 : 1);
      counter++;
    }
  return key;
}

std::uint16_t to_network(Port port) {
  return swapped(port.host_order());
}
Port port_from_network(std::uint16_t port) {
  return Port{swapped(port)};
}

std::array<std::uint32_t, 4> words_of(const IpAddress& address) {
  std::array<std::uint32_t, 4> words{};
  std::memcpy(words.data(), address.bytes().data(), address.bytes().size());
  return words;
}

IpAddress address_from_words(std::span<const std::uint32_t, 4> words, bool v6) {
  if (!v6) return v4_from_word(words[0]);
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return IpAddress::v6(bytes);
}

__u64 key4_of(const FrontendKey& frontend) {
  assert(frontend.address.is_v4());
  return abi::frontend_key4(words_of(frontend.address)[0], to_network(frontend.port),
                            frontend.protocol);
}

std::array<__u64, 3> key6_of(const FrontendKey& frontend) {
  assert(frontend.address.is_v6());
  const auto halves = same_bytes<std::array<__u64, 2>>(words_of(frontend.address));
  return {halves[0], halves[1],
          abi::frontend_port_key(to_network(frontend.port), frontend.protocol)};
}

FrontendKey frontend_from_key4(__u64 key) {
  return {v4_from_word(static_cast<std::uint32_t>(key)),
          port_from_network(static_cast<std::uint16_t>(key >> 32)),
          static_cast<std::uint8_t>(key >> 48)};
}

FrontendKey frontend_from_key6(std::span<const __u64, 3> key) {
  const std::array<__u64, 2> halves{key[0], key[1]};
  return {IpAddress::v6(same_bytes<std::array<std::uint8_t, 16>>(halves)),
          port_from_network(static_cast<std::uint16_t>(key[2])),
          static_cast<std::uint8_t>(key[2] >> 16)};
}

Buckets buckets_of(const FrontendKey& frontend) {
  const std::uint32_t hash = frontend.address.is_v4()
                                 ? abi::frontend_hash(key4_of(frontend))
                                 : abi::frontend_hash6(key6_of(frontend).data());
  return {abi::frontend_home(hash), abi::frontend_away(hash)};
}

std::uint32_t address_bit_of(const IpAddress& address) {
  const auto words = words_of(address);
  return address.is_v4() ? abi::address_bit4(words[0]) : abi::address_bit6(words.data());
}

abi::allow_key4 allow_key4_of(std::uint32_t scope, const Prefix& prefix) {
  assert(prefix.address.is_v4());
  return {scope_bits + prefix.length, scope, words_of(prefix.address)[0]};
}

abi::allow_key6 allow_key6_of(std::uint32_t scope, const Prefix& prefix) {
  assert(prefix.address.is_v6());
  abi::allow_key6 key{scope_bits + prefix.length, scope, {}};
  std::ranges::copy(prefix.address.bytes(), key.address);
  return key;
}

Prefix prefix_of(const abi::allow_key4& key) {
  return {v4_from_word(key.address), own_length(key.prefix_length)};
}

Prefix prefix_of(const abi::allow_key6& key) {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(key.address, bytes.begin());
  return {IpAddress::v6(bytes), own_length(key.prefix_length)};
}

abi::local_key local_key_of(const IpAddress& address) {
  abi::local_key key{};
  std::ranges::copy(words_of(address), key.address);
  key.v6 = address.is_v6() ? 1 : 0;
  return key;
}

IpAddress address_of(const abi::local_key& key) {
  return address_from_words(key.address, key.v6 != 0);
}

void set_address(abi::backend& backend, const IpAddress& address) {
  std::ranges::copy(words_of(address), backend.address);
  backend.flags = static_cast<std::uint16_t>((backend.flags & ~abi::BACKEND_V6) |
                                             (address.is_v6() ? abi::BACKEND_V6 : 0));
}

IpAddress address_of(const abi::backend& backend) {
  return address_from_words(backend.address, (backend.flags & abi::BACKEND_V6) != 0);
}

EthernetWords ethernet_words(const Mac& destination, const Mac& source) {
  std::array<std::uint8_t, 12> frame{};
  std::ranges::copy(destination.bytes, frame.begin());
  std::ranges::copy(source.bytes, frame.begin() + 6);
  EthernetWords words;
  std::memcpy(&words.eth0, frame.data(), sizeof words.eth0);
  std::memcpy(&words.eth8, frame.data() + sizeof words.eth0, sizeof words.eth8);
  return words;
}

Mac destination_mac(const abi::next_hop& hop) {
  Mac mac;
  std::memcpy(mac.bytes.data(), &hop.eth0, mac.bytes.size());
  return mac;
}

Mac source_mac(const abi::next_hop& hop) {
  std::array<std::uint8_t, 12> frame{};
  std::memcpy(frame.data(), &hop.eth0, sizeof hop.eth0);
  std::memcpy(frame.data() + sizeof hop.eth0, &hop.eth8, sizeof hop.eth8);
  Mac mac;
  std::copy_n(frame.begin() + 6, mac.bytes.size(), mac.bytes.begin());
  return mac;
}

void set_source(abi::next_hop& hop, const IpAddress& address) {
  if (address.is_v4())
    hop.source4 = words_of(address)[0];
  else
    std::ranges::copy(address.bytes(), hop.source6);
}

abi::flow_key flow_key_of(const Tuple& tuple, std::uint32_t service) {
  abi::flow_key key{};
  std::ranges::copy(words_of(tuple.source), key.source);
  std::ranges::copy(words_of(tuple.destination), key.destination);
  key.source_port = to_network(tuple.source_port);
  key.destination_port = to_network(tuple.destination_port);
  key.protocol = static_cast<std::uint8_t>(tuple.protocol);
  key.v6 = tuple.destination.is_v6() ? 1 : 0;
  key.service = static_cast<std::uint16_t>(service);
  return key;
}

Tuple tuple_of(const abi::flow_key& key) {
  return {address_from_words(key.source, key.v6 != 0), port_from_network(key.source_port),
          address_from_words(key.destination, key.v6 != 0), port_from_network(key.destination_port),
          static_cast<Protocol>(key.protocol)};
}

std::uint32_t hash_of(const abi::hash_key& hash_key, const abi::flow_key& key) {
  const std::array<std::uint16_t, 2> ports{key.source_port, key.destination_port};
  const auto word = same_bytes<std::uint32_t>(ports);
  return key.v6 != 0 ? abi::hash6(&hash_key, key.source, key.destination, word, key.protocol)
                     : abi::hash4(&hash_key, key.source[0], key.destination[0], word, key.protocol);
}

}  // namespace lbd::dataplane
