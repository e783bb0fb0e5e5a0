// What reconcile writes, seen by the shipped program: no packet goes to a wrong backend while
// services, backends, weights and daemons change.
#include "lb/reconcile/reconciler.h"

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "kernel_fixture.h"

namespace {

using namespace lbd;
using test::Client;
using test::ip;
using test::Kernel;
using test::Kind;
using test::Web;

/// Clients of both families, by turns, with the VIP each dials.
struct Flow {
  IpAddress vip;
  Client client;
};

std::vector<Flow> some_flows(unsigned count) {
  std::vector<Flow> flows;
  for (unsigned i = 0; i < count; i++) {
    const auto low = static_cast<std::uint8_t>(i);
    const auto high = static_cast<std::uint8_t>(i >> 8);
    const bool v4 = i % 2 == 0;
    flows.push_back({v4 ? ip("203.0.113.10") : ip("2001:db8::10"),
                     {v4 ? IpAddress::v4({198, 51, high, low})
                         : IpAddress::v6({0xfd, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low}),
                      static_cast<std::uint16_t>(1024 + i * 7)}});
  }
  return flows;
}

/// Where the flows' SYNs go.
std::vector<IpAddress> begin(Kernel& kernel, const std::vector<Flow>& flows) {
  std::vector<IpAddress> owners;
  for (const Flow& flow : flows) {
    const auto owner = kernel.backend_of(test::frame_to(flow.vip, flow.client, Kind::syn));
    REQUIRE(owner);
    owners.push_back(*owner);
  }
  return owners;
}

/// How many flows' next packets go elsewhere than to `owners`.
unsigned broken(Kernel& kernel, const std::vector<Flow>& flows,
                const std::vector<IpAddress>& owners) {
  unsigned count = 0;
  for (std::size_t i = 0; i < flows.size(); i++) {
    const auto now = kernel.backend_of(test::frame_to(flows[i].vip, flows[i].client, Kind::ack));
    if (now != owners[i]) count++;
  }
  return count;
}

unsigned count_of(const std::vector<IpAddress>& owners, std::string_view address) {
  return static_cast<unsigned>(std::count(owners.begin(), owners.end(), ip(address)));
}

/// Three backends, the second one as an operator has it.
Web three(AdminState second = AdminState::enabled) {
  return Web{}.backend("10.0.0.11").backend("10.0.0.12", 100, second).backend("fd01::13");
}

}  // namespace

TEST_CASE("a state that is there already is not written again") {
  Kernel kernel;
  CHECK(kernel.apply(three().config()).writes > 0);
  CHECK(kernel.apply(three().config()).writes == 0);
  SECTION("by a daemon that just started either") {
    kernel.restart();
    CHECK(kernel.apply(three().config()).writes == 0);
  }
}

TEST_CASE("known flows stay where they live whatever happens to the ring") {
  struct Case {
    const char* name;
    Web after;
  };
  Web without = Web{}.backend("10.0.0.11").backend("fd01::13");
  const Case cases[] = {
      {"a backend is added", three().backend("10.0.0.14")},
      {"one is drained", three(AdminState::drain)},
      {"one gets weight 0", Web{}.backend("10.0.0.11").backend("10.0.0.12", 0).backend("fd01::13")},
      {"one is removed", without},
      {"weights change",
       Web{}.backend("10.0.0.11", 10).backend("10.0.0.12").backend("fd01::13", 90)},
      {"all are drained", Web{}
                              .backend("10.0.0.11", 100, AdminState::drain)
                              .backend("10.0.0.12", 100, AdminState::drain)
                              .backend("fd01::13", 100, AdminState::drain)},
      {"their order changes", Web{}.backend("fd01::13").backend("10.0.0.12").backend("10.0.0.11")},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    Kernel kernel;
    kernel.apply(three().config());
    const auto flows = some_flows(400);
    const auto owners = begin(kernel, flows);
    kernel.apply(c.after.config());
    CHECK(broken(kernel, flows, owners) == 0);
    kernel.restart();
    CHECK(kernel.apply(c.after.config()).writes == 0);
    CHECK(broken(kernel, flows, owners) == 0);
  }
}

TEST_CASE("new flows go where the ring says from the change on") {
  Kernel kernel;
  kernel.apply(three().config());
  begin(kernel, some_flows(100));
  kernel.apply(three(AdminState::drain).config());
  auto later = some_flows(600);
  later.erase(later.begin(), later.begin() + 200);  // clients that are new
  const auto owners = begin(kernel, later);
  CHECK(count_of(owners, "10.0.0.12") == 0);
  CHECK(count_of(owners, "10.0.0.11") > 100);
  CHECK(broken(kernel, later, owners) == 0);
}

TEST_CASE("a tuple used again after a drain is a new flow, once it is confirmed") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(300);
  const auto owners = begin(kernel, flows);
  kernel.apply(three(AdminState::drain).config());
  CHECK(broken(kernel, flows, owners) == 0);  // they are stored now
  for (std::size_t i = 0; i < flows.size(); i++) {
    if (owners[i] != ip("10.0.0.12")) continue;
    const Flow& flow = flows[i];
    constexpr std::uint32_t isn = 5'000'000;
    const auto next = kernel.backend_of(test::frame_to(flow.vip, flow.client, Kind::syn, isn));
    REQUIRE(next);
    CHECK(*next != ip("10.0.0.12"));
    SECTION("the old flow goes on: the SYN may be spoofed") {
      CHECK(kernel.backend_of(test::frame_to(flow.vip, flow.client, Kind::ack, isn - 70000)) ==
            owners[i]);
    }
    SECTION("its handshake's end makes it the new one's") {
      CHECK(kernel.backend_of(test::frame_to(flow.vip, flow.client, Kind::ack, isn + 1)) == next);
      CHECK(kernel.backend_of(test::frame_to(flow.vip, flow.client, Kind::ack, isn + 900000)) ==
            next);
    }
  }
}

TEST_CASE("a flow that ended is forgotten sooner, and only by its own end") {
  struct Packet {
    Kind kind;
    std::uint32_t sequence;
  };
  struct Case {
    const char* name;
    std::vector<Packet> packets;  // after one of sequence number 1000
    bool forgotten;
  };
  const Case cases[] = {
      {"no end", {{Kind::ack, 1001}}, false},
      {"a FIN", {{Kind::fin, 1001}}, true},
      {"an RST", {{Kind::rst, 1001}}, true},
      {"a FIN 16 MiB above, less one", {{Kind::fin, 1000 + (16 << 20) - 1}}, true},
      {"a FIN 16 MiB above", {{Kind::fin, 1000 + (16 << 20)}}, false},
      {"a FIN from below", {{Kind::fin, 999}}, false},
      {"data after a FIN", {{Kind::fin, 1001}, {Kind::data, 1001}}, false},
      {"ACKs after a FIN, of a half-closed connection",
       {{Kind::fin, 1001}, {Kind::ack, 1002}},
       true},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    Kernel kernel;
    kernel.apply(three().config());
    const auto flows = some_flows(60);
    const auto owners = begin(kernel, flows);
    kernel.apply(three().backend("10.0.0.14").config());
    const auto send = [&](Kind kind, std::uint32_t sequence) {
      for (std::size_t i = 0; i < flows.size(); i++)
        CHECK(kernel.backend_of(test::frame_to(flows[i].vip, flows[i].client, kind, sequence)) ==
              owners[i]);
    };
    send(Kind::ack, 1000);
    const auto stored = kernel.snapshot().flows.entries;
    REQUIRE(stored > 0);
    for (const Packet& packet : c.packets) send(packet.kind, packet.sequence);
    kernel.pass(std::chrono::seconds{5});
    const auto swept = kernel.sweep({.tcp = std::chrono::hours{1},
                                     .tcp_closing = std::chrono::seconds{3},
                                     .udp = std::chrono::hours{1}});
    CHECK(swept.flows == (c.forgotten ? 0 : stored));
  }
}

TEST_CASE("an end of an unknown flow goes home and is not stored") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(100);
  const auto owners = begin(kernel, flows);
  kernel.apply(three().backend("10.0.0.14").config());
  for (const Kind kind : {Kind::fin, Kind::rst})
    for (std::size_t i = 0; i < flows.size(); i++)
      CHECK(kernel.backend_of(test::frame_to(flows[i].vip, flows[i].client, kind)) == owners[i]);
  CHECK(kernel.snapshot().flows.entries == 0);
}

TEST_CASE("a disabled backend gets nothing, and its flows have another at once") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(300);
  const auto owners = begin(kernel, flows);
  kernel.apply(three(AdminState::disabled).config());
  for (std::size_t i = 0; i < flows.size(); i++) {
    const auto now = kernel.backend_of(test::frame_to(flows[i].vip, flows[i].client, Kind::ack));
    REQUIRE(now);
    CHECK(*now != ip("10.0.0.12"));
    if (owners[i] != ip("10.0.0.12")) CHECK(*now == owners[i]);
  }
  for (std::uint32_t row = 0; row < 2 * 251; row++)  // nobody is to be protected there
    CHECK((kernel.plane().tables().side[row].home != 1 ||
           kernel.plane().tables().side[row].started == 0));
}

TEST_CASE("flows of a removed backend are drained or reset as its service says") {
  for (const RemovedBackends removed : {RemovedBackends::drain, RemovedBackends::reset}) {
    Kernel kernel;
    Web before = three();
    before.service.removed_backends = removed;
    kernel.apply(before.config());
    const auto flows = some_flows(300);
    const auto owners = begin(kernel, flows);
    Web after = Web{}.backend("10.0.0.11").backend("fd01::13");
    after.service.removed_backends = removed;
    kernel.apply(after.config());
    const unsigned lived = count_of(owners, "10.0.0.12");
    REQUIRE(lived > 0);
    CHECK(broken(kernel, flows, owners) == (removed == RemovedBackends::drain ? 0 : lived));
  }
}

TEST_CASE("rows settle once their homes have been idle, and known flows stay") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(200);
  const auto owners = begin(kernel, flows);
  kernel.apply(three().backend("10.0.0.14").config());
  const auto moving = kernel.snapshot().rows_moving;
  CHECK(moving > 0);
  CHECK(broken(kernel, flows, owners) == 0);  // adopts them
  CHECK(kernel.sweep(std::chrono::seconds{3600}).rows_moving == moving);

  constexpr std::chrono::seconds idle{30};
  kernel.pass(std::chrono::seconds{20});
  CHECK(broken(kernel, flows, owners) == 0);  // they live on
  kernel.pass(std::chrono::seconds{12});
  CHECK(kernel.sweep(idle).rows_settled == 0);  // homes are given up
  kernel.pass(std::chrono::seconds{18});
  CHECK(broken(kernel, flows, owners) == 0);
  const auto swept = kernel.sweep(idle);
  CHECK(swept.rows_settled > 0);
  CHECK(swept.flows > 0);  // of home, on rows that wait for them
  CHECK(swept.rows_moving == kernel.snapshot().rows_moving);
  CHECK(broken(kernel, flows, owners) == 0);
}

TEST_CASE("after changes and traffic have ended every row settles and no flow is stored") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(200);
  const auto owners = begin(kernel, flows);
  kernel.apply(three().backend("10.0.0.14").config());
  kernel.apply(Web{}.backend("10.0.0.11").backend("10.0.0.14").config());
  CHECK(broken(kernel, flows, owners) == 0);
  kernel.pass(std::chrono::seconds{5});
  CHECK(kernel.sweep(std::chrono::seconds{3}).rows_moving > 0);
  kernel.pass(std::chrono::seconds{18});
  const auto swept = kernel.sweep(std::chrono::seconds{3});
  CHECK(swept.rows_moving == 0);
  CHECK(swept.flows == 0);
  CHECK(swept.backends_freed == 2);  // nothing names them now
  CHECK(kernel.snapshot().rows_moving == 0);
  CHECK(kernel.snapshot().services.at(0).backends.size() == 2);
}

TEST_CASE("a backend that comes back has its old slot, and its flows") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(300);
  const auto owners = begin(kernel, flows);
  kernel.apply(Web{}.backend("10.0.0.11").backend("fd01::13").config());
  kernel.apply(Web{}.backend("10.0.0.11").backend("fd01::13").backend("10.0.0.12").config());
  CHECK(broken(kernel, flows, owners) == 0);
  kernel.restart();
  CHECK(kernel.apply(three().config()).writes == 0);
}

TEST_CASE("a slot that another service uses now never gets an old packet") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(200);
  begin(kernel, flows);
  kernel.apply(three().backend("10.0.0.14").config());
  begin(kernel, flows);

  Web other = Web{}.backend("10.9.9.9");
  other.service.name = "other";
  other.service.addresses = {ip("203.0.113.77"), ip("2001:db8::77")};
  kernel.apply(other.config());  // web goes, its entries are still there
  CHECK(kernel.sweep(std::chrono::seconds{3600}).services_freed == 0);  // starts may name it
  kernel.pass(std::chrono::seconds{18});
  CHECK(kernel.sweep(std::chrono::seconds{3600}).services_freed == 1);
  Web third = Web{}.backend("10.8.8.8");
  third.service.name = "third";
  auto config = other.config();
  config.services.push_back(third.service);  // web's addresses, ports and space
  kernel.apply(config);
  for (const Flow& flow : flows) {
    const auto now = kernel.backend_of(test::frame_to(flow.vip, flow.client, Kind::ack));
    REQUIRE(now == ip("10.8.8.8"));
  }
}

TEST_CASE("an address that moves from one service to another is always one's or the other's") {
  Kernel kernel;
  kernel.apply(three().config());
  Web other = Web{}.backend("10.9.9.9");
  other.service.name = "other";
  kernel.apply(other.config());
  for (const Flow& flow : some_flows(20))
    CHECK(kernel.backend_of(test::frame_to(flow.vip, flow.client, Kind::syn)) == ip("10.9.9.9"));
}

TEST_CASE("without connection tracking the ring alone decides") {
  Kernel kernel;
  Web before = three();
  before.service.connection_tracking = false;
  kernel.apply(before.config());
  const auto flows = some_flows(300);
  const auto owners = begin(kernel, flows);
  Web after = Web{}.backend("10.0.0.11").backend("fd01::13");
  after.service.connection_tracking = false;
  kernel.apply(after.config());
  CHECK(broken(kernel, flows, owners) >= count_of(owners, "10.0.0.12"));
  CHECK(kernel.snapshot().rows_moving == 0);
  CHECK(kernel.snapshot().flows.entries == 0);
}

TEST_CASE("where the flow table is full, flows that can't be stored stay with their home") {
  Kernel kernel{16};
  kernel.apply(three().config());
  const auto flows = some_flows(400);
  const auto owners = begin(kernel, flows);
  kernel.apply(three().backend("10.0.0.14").config());
  CHECK(broken(kernel, flows, owners) == 0);
  CHECK(kernel.snapshot().flows.entries <= 24);
  unsigned stamped = 0;
  for (const auto& side : kernel.plane().tables().side) stamped += side.refused != 0 ? 1 : 0;
  CHECK(stamped > 0);
}

TEST_CASE("counts survive the backend, and growing") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(100);
  begin(kernel, flows);
  const auto total = [&] { return kernel.snapshot().services.at(0).ports.at(0).count; };
  const auto before = total();
  CHECK(before.packets == 100);
  CHECK(before.bytes == 50 * 40 + 50 * 60);

  Web many = three();
  for (int i = 1; i <= 60; i++) many.backend("10.1.0." + std::to_string(i));
  kernel.apply(many.config());  // more slots than the service had
  CHECK(total() == before);
  const auto backends = kernel.snapshot().services.at(0).backends;
  CHECK(backends.size() == 63);
  std::uint64_t sum = 0;
  for (const auto& backend : backends) sum += backend.count.packets;
  CHECK(sum == 100);
}

TEST_CASE("while a service outgrows its place no packet strays to its neighbor") {
  Kernel kernel;
  Web web = three();
  web.service.table_size = 65537;  // so that the change takes a while
  auto config = web.config();
  Web other;  // its records lie behind web's
  other.service.name = "other";
  other.service.addresses = {ip("203.0.113.77")};
  for (int i = 1; i <= 16; i++) other.backend("10.9.9." + std::to_string(i));
  config.services.push_back(other.service);
  kernel.apply(config);

  std::atomic<unsigned> packets = 0;
  std::atomic<unsigned> strayed = 0;
  std::atomic<bool> stop = false;
  std::thread traffic{[&] {
    for (std::uint16_t port = 1024; !stop; port++, packets++) {
      const auto ran = kernel.plane().run(
          test::frame_to(ip("203.0.113.10"), {ip("198.51.100.7"), port}, Kind::syn));
      // The outer IPv4 destination's second byte.
      if (ran && ran->frame[12] == 0x08 && ran->frame[23] == 4 && ran->frame[31] == 9) strayed++;
    }
  }};
  while (packets < 100) std::this_thread::yield();
  for (int i = 1; i <= 60; i++) web.backend("10.1.0." + std::to_string(i));
  config.services[0] = web.service;
  kernel.apply(config);
  stop = true;
  traffic.join();
  CHECK(strayed == 0);
}

TEST_CASE("services that don't fit the maps make them larger") {
  Kernel kernel;
  auto config = three().config();
  kernel.apply(config);
  const auto flows = some_flows(200);
  const auto owners = begin(kernel, flows);
  for (int i = 0; i < 40; i++) {
    Web more = Web{}.backend("10.2.0.1");
    more.service.name = "more" + std::to_string(i);
    more.service.table_size = 509;
    more.service.addresses = {IpAddress::v4({203, 0, 114, static_cast<std::uint8_t>(i)})};
    config.services.push_back(more.service);
  }
  const auto applied = kernel.apply(config);
  CHECK(applied.refused.empty());
  CHECK(broken(kernel, flows, owners) == 0);
  CHECK(kernel.backend_of(test::frame_to(ip("203.0.114.39"), flows[0].client, Kind::syn)) ==
        ip("10.2.0.1"));
  CHECK(kernel.snapshot().services.at(0).ports.at(0).count.packets == 400);
}

TEST_CASE("a service that can't fit is refused by name and the rest goes ahead") {
  Kernel kernel;
  kernel.apply(three().config());
  Web huge = Web{}.backend("10.3.0.1");
  huge.service.name = "huge";
  huge.service.addresses.clear();
  for (int i = 0; i < 8000; i++)
    huge.service.addresses.push_back(
        IpAddress::v4({203, 1, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}));
  Web small = Web{}.backend("10.3.0.2");
  small.service.name = "small";
  small.service.addresses = {ip("203.0.113.99")};
  auto config = three().backend("10.0.0.14").config();
  config.services.push_back(huge.service);
  config.services.push_back(small.service);
  const auto applied = kernel.apply(config);
  REQUIRE(applied.refused.size() == 1);
  CHECK(applied.refused[0].service == "huge");
  CHECK(kernel.backend_of(test::frame_to(ip("203.0.113.99"), {ip("198.51.100.1"), 1}, Kind::syn)) ==
        ip("10.3.0.2"));
  CHECK_FALSE(
      kernel.backend_of(test::frame_to(ip("203.1.0.1"), {ip("198.51.100.1"), 1}, Kind::syn)));
  const auto snapshot = kernel.snapshot();
  CHECK(snapshot.services.at(0).backends.size() == 4);
  CHECK_FALSE(snapshot.services.at(1).refused.empty());
}

TEST_CASE("a neighbor's new MAC is one store, whoever is behind it") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto desired = desired::desire(three().config());
  const Mac other = *Mac::parse("02:00:00:00:00:77");
  for (const char* address : {"10.0.0.11", "10.0.0.12"}) kernel.neighbors.macs[ip(address)] = other;
  const auto followed = kernel.reconciler().follow(desired, kernel.neighbors);
  REQUIRE(followed.has_value());
  CHECK(followed->writes == 1);
  for (const Flow& flow : some_flows(60)) {
    const auto frame = test::frame_to(flow.vip, flow.client, Kind::syn);
    const auto owner = kernel.backend_of(frame);
    const auto ran = kernel.plane().run(frame);
    REQUIRE(ran.has_value());
    const Mac to{
        {ran->frame[0], ran->frame[1], ran->frame[2], ran->frame[3], ran->frame[4], ran->frame[5]}};
    CHECK((to == other) == (owner != ip("fd01::13")));
  }
}

TEST_CASE("a backend without a next hop gets nothing, and its packets are dropped with a reason") {
  Kernel kernel;
  kernel.neighbors.unreachable.insert(ip("10.0.0.11"));
  kernel.apply(Web{}.backend("10.0.0.11").config());
  CHECK_FALSE(
      kernel.backend_of(test::frame_to(ip("203.0.113.10"), {ip("198.51.100.1"), 1}, Kind::syn)));
  CHECK(kernel.trace().reason == abi::REASON_NO_NEIGHBOR);
  kernel.neighbors.unreachable.clear();
  const auto followed = kernel.reconciler().follow(
      desired::desire(Web{}.backend("10.0.0.11").config()), kernel.neighbors);
  REQUIRE(followed.has_value());
  CHECK(kernel.backend_of(test::frame_to(ip("203.0.113.10"), {ip("198.51.100.1"), 1}, Kind::syn)));
}

TEST_CASE("random changes under random flows break none whose backend lives") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  const auto up_to = [&](unsigned n) {
    return std::uniform_int_distribution<unsigned>{0, n}(random);
  };
  Kernel kernel;
  const auto flows = some_flows(300);
  std::map<std::size_t, IpAddress> lives;  // flow -> where its SYN went
  for (int round = 0; round < 40; round++) {
    Web web;
    for (unsigned i = 1; i <= 6; i++) {
      if (up_to(3) == 0) continue;  // not in the configuration this time: drained
      const auto state = up_to(4) == 0 ? AdminState::drain : AdminState::enabled;
      web.backend("10.0.0." + std::to_string(i), static_cast<std::uint16_t>(up_to(3) * 50), state);
    }
    if (up_to(3) == 0) kernel.restart();
    kernel.apply(web.config());
    if (up_to(2) == 0) kernel.sweep(std::chrono::seconds{3600});
    for (std::size_t i = 0; i < flows.size(); i++) {
      const auto known = lives.find(i);
      if (known == lives.end()) {
        if (up_to(3) != 0) continue;
        const auto owner =
            kernel.backend_of(test::frame_to(flows[i].vip, flows[i].client, Kind::syn));
        if (owner) lives.emplace(i, *owner);
        continue;
      }
      if (up_to(1) != 0) continue;
      const auto now = kernel.backend_of(test::frame_to(flows[i].vip, flows[i].client, Kind::ack));
      REQUIRE(now == known->second);
    }
  }
  CHECK(lives.size() > 200);
}

TEST_CASE(
    "a tableSize that would break flows is refused by name, and the service stays as it was") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(100);
  const auto owners = begin(kernel, flows);
  Web other = three();
  other.service.table_size = 509;
  kernel.restart();  // as after a crash of a reload with --break-flows
  const auto applied = kernel.apply(other.config());
  REQUIRE(applied.refused.size() == 1);
  CHECK(applied.refused[0].reason.find("tableSize") != std::string::npos);
  CHECK(broken(kernel, flows, owners) == 0);
  CHECK(kernel.apply(three().config()).writes == 0);
}

TEST_CASE("a frontend that a crash left twice becomes one again") {
  Kernel kernel;
  kernel.apply(three().config());
  auto& buckets = kernel.plane().tables().frontends6;
  const dataplane::FrontendKey key{ip("2001:db8::10"), Port{80}, 6};
  const auto [home, away] = dataplane::buckets_of(key);
  const std::uint32_t held = buckets[home].key[2] != 0 ? home : away;
  buckets[held == home ? away : home] = buckets[held];  // filled, and not yet cleared

  Web other = Web{}.backend("10.9.9.9");
  other.service.name = "other";
  kernel.apply(other.config());
  for (const Flow& flow : some_flows(20))
    CHECK(kernel.backend_of(test::frame_to(flow.vip, flow.client, Kind::syn)) == ip("10.9.9.9"));
  const auto copies = std::count_if(buckets.begin(), buckets.end(), [&](const auto& bucket) {
    return bucket.key[2] != 0 && dataplane::frontend_from_key6(bucket.key) == key;
  });
  CHECK(copies == 1);
}

TEST_CASE("entries of a disabled backend don't come back to life with it") {
  Kernel kernel;
  kernel.apply(three().config());
  const auto flows = some_flows(300);
  const auto owners = begin(kernel, flows);
  kernel.apply(three(AdminState::drain).config());
  CHECK(broken(kernel, flows, owners) == 0);  // stored with their homes
  kernel.apply(three(AdminState::disabled).config());
  const auto later = begin(kernel, flows);  // the tuples are used again
  kernel.apply(three().config());
  CHECK(broken(kernel, flows, later) == 0);
}
