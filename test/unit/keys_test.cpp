#include "lb/dataplane/keys.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>

#include "lb/dataplane/siphash.h"

using namespace lbd;
using namespace lbd::dataplane;

TEST_CASE("SipHash-2-4 gives the vectors of its paper") {
  std::array<std::uint8_t, 16> key{};
  std::array<std::uint8_t, 15> input{};
  for (std::uint8_t i = 0; i < key.size(); i++) key[i] = i;
  for (std::uint8_t i = 0; i < input.size(); i++) input[i] = i;
  CHECK(siphash24(key, input) == 0xa129ca6149be45e5U);  // appendix A
  CHECK(siphash24(key, {}) == 0x726fdb47dd0e0e31U);     // first of the authors' vectors
}

TEST_CASE("keys say what they were made from, in the packet's order") {
  const std::array<std::uint8_t, 16> secret{1, 2, 3};
  const abi::hash_key hash_key = hash_key_from(secret);
  for (std::size_t i = 1; i < std::size(hash_key.k); i++) CHECK(hash_key.k[i] % 2 == 1);
  CHECK(hash_key.k[1] != hash_key.k[2]);
  CHECK(to_network(Port{0x1234}) == 0x3412);

  for (const char* text : {"203.0.113.10", "2001:db8::1"}) {
    INFO(text);
    const IpAddress address = *IpAddress::parse(text);
    const FrontendKey frontend{address, Port{8080}, 6 | PROTOCOL_EVERY_PORT};
    CHECK((address.is_v4() ? frontend_from_key4(key4_of(frontend))
                           : frontend_from_key6(key6_of(frontend))) == frontend);
    CHECK(address_of(local_key_of(address)) == address);
    abi::backend backend{};
    backend.flags = abi::BACKEND_USED | (address.is_v4() ? abi::BACKEND_V6 : 0);
    set_address(backend, address);
    CHECK(address_of(backend) == address);
    CHECK((backend.flags & abi::BACKEND_USED) != 0);
    const Prefix prefix{address, 24};
    CHECK((address.is_v4() ? prefix_of(allow_key4_of(7, prefix))
                           : prefix_of(allow_key6_of(7, prefix))) == prefix);
    const Tuple tuple{address, Port{1}, address, Port{2}, Protocol::udp};
    CHECK(tuple_of(flow_key_of(tuple)) == tuple);
    CHECK(hash_of(hash_key, flow_key_of(tuple)) == hash_of(hash_key, flow_key_of(tuple)));
  }

  const Mac destination{{2, 0, 0, 0, 0, 1}};
  const Mac source{{2, 0, 0, 0, 0, 2}};
  abi::next_hop hop{};
  hop.eth0 = ethernet_words(destination, source).eth0;
  hop.eth8 = ethernet_words(destination, source).eth8;
  CHECK(destination_mac(hop) == destination);
  CHECK(source_mac(hop) == source);
  CHECK(reinterpret_cast<const std::uint8_t*>(&hop.eth0)[5] == 1);
}
