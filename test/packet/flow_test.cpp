// Which backend a flow has: the row that daemon and program both compute, and by weight.
#include <algorithm>
#include <random>

#include "unit/kernel_fixture.h"

namespace {

using namespace lbd;

/// A random TCP flow to the web service's VIP of one family.
dataplane::Tuple random_flow(std::mt19937& random, bool v4) {
  const auto byte = [&] { return static_cast<std::uint8_t>(random()); };
  IpAddress client = IpAddress::v4({198, byte(), byte(), byte()});
  if (!v4) {
    std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
    for (std::size_t i = 4; i < bytes.size(); i++) bytes[i] = byte();
    client = IpAddress::v6(bytes);
  }
  return {client, Port{static_cast<std::uint16_t>(random() | 1)},
          test::ip(v4 ? "203.0.113.10" : "2001:db8::10"), Port{80}, Protocol::tcp};
}

}  // namespace

TEST_CASE("daemon and program find the same row, and flows spread by weight") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  test::Kernel kernel;
  test::Web web =
      test::Web{}.backend("10.0.0.1", 100).backend("10.0.0.2", 200).backend("fd01::3", 300);
  web.service.table_size = 65537;
  kernel.apply(web.config());
  const auto& tables = kernel.plane().tables();
  const auto& ring = tables.services[0].ring[0];
  std::map<std::string, unsigned> counts;
  constexpr unsigned flows = 3000;
  for (unsigned i = 0; i < flows; i++) {
    const auto tuple = random_flow(random, i % 2 == 0);
    const auto frame = test::frame_to(
        tuple.destination, {tuple.source, tuple.source_port.host_order()}, test::Kind::syn);
    const auto backend = kernel.backend_of(frame);
    REQUIRE(backend);
    const auto hash = dataplane::hash_of(kernel.hash_key(), dataplane::flow_key_of(tuple));
    const std::uint16_t slot = tables.row(ring.base + abi::row_of(hash, ring.size));
    REQUIRE(dataplane::address_of(tables.backends[tables.services[0].backend_base + slot]) ==
            *backend);
    counts[backend->str()]++;
  }
  // Five standard deviations of a binomial: once in a million runs.
  CHECK(std::abs(static_cast<int>(counts["10.0.0.1"]) - 500) < 103);
  CHECK(std::abs(static_cast<int>(counts["10.0.0.2"]) - 1000) < 130);
  CHECK(std::abs(static_cast<int>(counts["fd01::3"]) - 1500) < 138);
}

TEST_CASE("a flow's packets share an outer id or flow label, and flows differ in it") {
  test::Kernel kernel;
  for (const char* backend : {"10.0.0.1", "fd01::3"}) {
    INFO(backend);
    kernel.apply(test::Web{}.backend(backend).config());
    std::set<std::uint32_t> all;
    constexpr std::uint16_t flows = 200;
    for (std::uint16_t port = 1000; port < 1000 + flows; port++) {
      std::set<std::uint32_t> of_flow;
      for (const auto kind : {test::Kind::syn, test::Kind::ack}) {
        auto frame =
            test::frame_to(test::ip("203.0.113.10"), {test::ip("198.51.100.1"), port}, kind);
        frame[20] = 0;  // without DF, whose packets need no id
        const auto ran = kernel.plane().run(frame);
        REQUIRE(ran.has_value());
        const auto& out = ran->frame;
        REQUIRE(out.size() > frame.size());
        of_flow.insert(out[14] >> 4 == 4 ? static_cast<std::uint32_t>(out[18] << 8 | out[19])
                                         : static_cast<std::uint32_t>((out[15] & 0xf) << 16 |
                                                                      out[16] << 8 | out[17]));
      }
      CHECK(of_flow.size() == 1);
      all.merge(of_flow);
    }
    CHECK(all.size() > flows * 9 / 10);
  }
}

TEST_CASE("with hash: source-ip all of a client's flows have one backend") {
  test::Kernel kernel;
  test::Web web;
  for (int i = 1; i <= 10; i++) web.backend("10.0.0." + std::to_string(i));
  web.service.hash = HashMode::source_ip;
  kernel.apply(web.config());
  std::set<IpAddress> all;
  for (const char* vip : {"203.0.113.10", "2001:db8::10"})
    for (int client = 1; client <= 40; client++) {
      const auto address =
          test::ip((vip[0] == '2' && vip[3] == '.' ? "198.51.100." : "2001:db8:c::") +
                   std::to_string(client));
      std::set<IpAddress> of_client;
      for (std::uint16_t port = 1000; port < 1020; port++)
        of_client.insert(
            *kernel.backend_of(test::frame_to(test::ip(vip), {address, port}, test::Kind::syn)));
      CHECK(of_client.size() == 1);
      all.merge(of_client);
    }
  CHECK(all.size() > 5);
}

TEST_CASE("of many frontends each is found, in either bucket and either cell of it") {
  test::Kernel kernel;
  test::Web web = test::Web{}.backend("10.0.0.1");
  web.service.addresses.clear();
  for (unsigned i = 0; i < 3000; i++) {
    const auto high = static_cast<std::uint8_t>(i >> 8);
    const auto low = static_cast<std::uint8_t>(i);
    web.service.addresses.push_back(IpAddress::v4({203, 0, high, low}));
    if (i % 8 == 0)
      web.service.addresses.push_back(
          IpAddress::v6({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low}));
  }
  REQUIRE(kernel.apply(web.config()).refused.empty());
  const auto& tables = kernel.plane().tables();
  unsigned second_cells = 0;
  for (const auto& bucket : tables.frontends4) second_cells += bucket.cell[1].key != 0 ? 1 : 0;
  CHECK(second_cells > 1000);
  unsigned away4 = 0;
  unsigned away6 = 0;
  for (const IpAddress& vip : web.service.addresses) {
    const auto client = test::ip(vip.is_v4() ? "198.51.100.1" : "2001:db8:c::1");
    INFO(vip.str());
    REQUIRE(kernel.backend_of(test::frame_to(vip, {client, 1000}, test::Kind::syn)) ==
            test::ip("10.0.0.1"));
    const dataplane::FrontendKey key{vip, Port{80}, 6};
    const auto home = dataplane::buckets_of(key).home;
    if (vip.is_v4()) {
      const auto& cells = tables.frontends4[home].cell;
      const auto wanted = dataplane::key4_of(key);
      away4 += cells[0].key != wanted && cells[1].key != wanted ? 1 : 0;
    } else {
      const auto wanted = dataplane::key6_of(key);
      away6 += std::equal(wanted.begin(), wanted.end(), tables.frontends6[home].key) ? 0 : 1;
    }
  }
  CHECK(away4 > 10);
  CHECK(away6 > 10);
}
