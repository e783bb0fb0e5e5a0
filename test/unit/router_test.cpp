#include "lb/dataplane/router.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <chrono>

#include "router_lab.h"

using lbd::IpAddress;
using lbd::Mac;
using lbd::dataplane::Route;
using lbd::dataplane::Router;
using lbd::test::far_mac;
using lbd::test::Lab;
using lbd::test::near_mac;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

IpAddress ip(std::string_view text) {
  const auto address = IpAddress::parse(text);
  REQUIRE(address.has_value());
  return *address;
}

Mac mac(std::string_view text) {
  const auto parsed = Mac::parse(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

constexpr const char* other_mac = "02:00:00:00:00:03";

/// A router in the lab, and how often it has told of changes.
class Subject {
 public:
  Subject() {
    auto opened = Router::open(io_, log_, [this] { changes++; });
    REQUIRE(opened.has_value());
    router_ = std::move(*opened);
  }

  Router* operator->() { return router_.get(); }
  [[nodiscard]] bool has(const IpAddress& address) const {
    return router_->local_addresses().contains(address);
  }

  template <class Condition>
  bool until(Condition condition, milliseconds limit = milliseconds{3000}) {
    const auto deadline = steady_clock::now() + limit;
    while (!condition()) {
      if (steady_clock::now() >= deadline) return false;
      io_.restart();
      io_.run_one_until(deadline);
    }
    return true;
  }
  bool reaches(const IpAddress& destination, std::string_view next_mac) {
    return until([&] {
      const auto route = router_->to(destination);
      return route && route->mac.str() == next_mac;
    });
  }
  bool loses(const IpAddress& destination) {
    return until([&] { return !router_->to(destination); });
  }
  /// Lets the router do all that it may have to do by now.
  void calm_down() {
    io_.restart();
    io_.run_for(milliseconds{60});
  }
  /// Whether nothing is told meanwhile.
  bool stays_silent() {
    const int before = changes;
    calm_down();
    return changes == before;
  }

  int changes = 0;

 private:
  boost::asio::io_context io_;
  lbd::Log log_{lbd::Level::error};
  std::unique_ptr<Router> router_;
};

Route near0_route() {
  return {.ifindex = 0,
          .interface = "near0",
          .source_mac = mac(near_mac),
          .mac = mac(far_mac),
          .mtu = 1500,
          .source4 = ip("10.1.0.1"),
          .source6 = ip("fd01::1")};
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a destination's next hop is what the kernel would send to") {
  struct Case {
    const char* name;
    const char* setup;  // of routes, by `ip`
    const char* destination;
    std::uint16_t mtu;
    const char* source;
  };
  const Case cases[] = {
      {"IPv4 on link", nullptr, "10.1.0.2", 1500, "10.1.0.1"},
      {"IPv6 on link", nullptr, "fd01::2", 1500, "fd01::1"},
      {"IPv4 by a gateway", "route add 192.0.2.0/24 via 10.1.0.2", "192.0.2.9", 1500, "10.1.0.1"},
      {"IPv6 by a gateway", "route add 2001:db8::/32 via fd01::2", "2001:db8::9", 1500, "fd01::1"},
      {"IPv4 by an IPv6 gateway", "route add 198.51.100.0/24 via inet6 fd01::2 dev near0",
       "198.51.100.9", 1500, "10.1.0.1"},
      {"IPv4 by the default route", "route add default via 10.1.0.2", "203.0.113.1", 1500,
       "10.1.0.1"},
      {"an IPv4 route's MTU", "route add 192.0.3.0/24 via 10.1.0.2 mtu 1400", "192.0.3.1", 1400,
       "10.1.0.1"},
      {"an IPv6 route's MTU", "route add 2001:db9::/32 via fd01::2 mtu 1400", "2001:db9::1", 1400,
       "fd01::1"},
      {"a route's MTU beyond its interface's", "route add 192.0.4.0/24 via 10.1.0.2 mtu 9000",
       "192.0.4.1", 1500, "10.1.0.1"},
      {"an IPv4 route's source", "route add 192.0.5.0/24 via 10.1.0.2 src 10.2.0.1", "192.0.5.1",
       1500, "10.2.0.1"},
      {"one of several IPv4 paths",
       "route add 192.0.6.0/24 nexthop via 10.1.0.2 nexthop dev near0 via 10.1.0.2", "192.0.6.1",
       1500, "10.1.0.1"},
  };
  Lab lab;
  Subject router;
  std::set<IpAddress> wanted;
  for (const Case& c : cases) {
    if (c.setup != nullptr) lab.near(c.setup);
    wanted.insert(ip(c.destination));
  }
  router->want(wanted);
  router->settle(3000);
  for (const Case& c : cases) {
    INFO(c.name);
    const IpAddress destination = ip(c.destination);
    auto route = router->to(destination);
    REQUIRE(route.has_value());
    Route expected = near0_route();
    expected.mtu = c.mtu;
    (destination.is_v4() ? expected.source4 : expected.source6) = ip(c.source);
    CHECK(route->ifindex != 0);
    expected.ifindex = route->ifindex;
    CHECK(*route == expected);
  }
  CHECK_FALSE(router->to(ip("10.1.0.77")).has_value());
}

TEST_CASE("where nothing can be sent to there is no route") {
  struct Case {
    const char* name;
    const char* setup;
    const char* destination;
  };
  const Case cases[] = {
      {"no IPv4 route", nullptr, "192.0.2.1"},
      {"no IPv6 route", nullptr, "2001:db8::1"},
      {"unreachable", "route add unreachable 192.0.3.0/24", "192.0.3.1"},
      {"unreachable, IPv6", "route add unreachable 2001:db9::/32", "2001:db9::1"},
      {"blackhole", "route add blackhole 192.0.4.0/24", "192.0.4.1"},
      {"an own address", nullptr, "10.1.0.1"},
      {"an own address, IPv6", nullptr, "fd01::1"},
      {"a broadcast address", nullptr, "10.1.0.255"},
      {"a multicast address", "route add 224.0.0.0/4 dev near0", "224.0.0.9"},
      {"loopback", nullptr, "127.0.0.2"},
      {"a silent IPv4 neighbour", nullptr, "10.1.0.99"},
      {"a silent IPv6 neighbour", nullptr, "fd01::99"},
      {"a silent gateway", "route add 192.0.5.0/24 via 10.1.0.98", "192.0.5.1"},
  };
  Lab lab;
  Subject router;
  std::set<IpAddress> wanted;
  for (const Case& c : cases) {
    if (c.setup != nullptr) lab.near(c.setup);
    wanted.insert(ip(c.destination));
  }
  const auto begin = steady_clock::now();
  router->want(wanted);
  router->settle(5000);
  CHECK(steady_clock::now() - begin < milliseconds{4000});  // all have failed long before
  for (const Case& c : cases) {
    INFO(c.name);
    CHECK_FALSE(router->to(ip(c.destination)).has_value());
  }
  router.calm_down();
  CHECK(router.stays_silent());
}

TEST_CASE("a neighbour's new MAC is followed") {
  Lab lab;
  lab.await_hearing();
  Subject router;
  const IpAddress four = ip("10.1.0.2");
  const IpAddress six = ip("fd01::2");
  router->want({four, six});
  router->settle(3000);
  REQUIRE(router.reaches(four, far_mac));
  REQUIRE(router.reaches(six, far_mac));
  // The far end announces its new MAC: gratuitous ARP and unsolicited neighbour advertisement.
  lab.far_shell("sh -c 'echo 1 >/proc/sys/net/ipv4/conf/far0/arp_notify'");
  lab.far_shell("sh -c 'echo 1 >/proc/sys/net/ipv6/conf/far0/ndisc_notify'");
  lab.far(fmt::format("link set far0 address {}", other_mac));
  CHECK(router.reaches(four, other_mac));
  CHECK(router.reaches(six, other_mac));
  CHECK(router.changes > 0);
}

TEST_CASE("a gateway's new MAC reaches all that go by it, told once") {
  Lab lab;
  lab.near("route add 192.0.2.0/24 via 10.1.0.2");
  Subject router;
  router->want({ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3")});
  router->settle(3000);
  REQUIRE(router.reaches(ip("192.0.2.1"), far_mac));
  router.calm_down();  // what settle() found is told now
  router.changes = 0;
  lab.near(fmt::format("neigh replace 10.1.0.2 dev near0 lladdr {} nud permanent", other_mac));
  for (const char* destination : {"192.0.2.1", "192.0.2.2", "192.0.2.3"})
    CHECK(router.reaches(ip(destination), other_mac));
  CHECK(router.changes == 1);
}

TEST_CASE("routes, links and addresses are followed") {
  Lab lab;
  lab.near("route add 192.0.2.0/24 via 10.1.0.2 metric 10");
  lab.near("neigh replace 10.1.0.3 lladdr 02:00:00:00:00:03 dev near0");
  const IpAddress destination = ip("192.0.2.1");
  Subject router;
  router->want({destination});
  router->settle(3000);
  REQUIRE(router.reaches(destination, far_mac));
  const auto now = [&] { return router->to(destination); };

  SECTION("another gateway") {
    lab.near("route replace 192.0.2.0/24 via 10.1.0.3 metric 10");
    CHECK(router.reaches(destination, other_mac));
  }
  SECTION("a better route by another interface, and back") {
    lab.near("route add 192.0.2.0/24 via 10.2.0.2 metric 1");
    CHECK(router.until([&] { return now() && now()->interface == "near1"; }));
    CHECK(now()->source4 == ip("10.2.0.1"));
    lab.near("route del 192.0.2.0/24 via 10.2.0.2 metric 1");
    CHECK(router.until([&] { return now() && now()->interface == "near0"; }));
    CHECK(now()->mac == mac(far_mac));
  }
  SECTION("a rule") {
    lab.near("route add 192.0.2.0/24 via 10.2.0.2 table 100");
    lab.await_hearing();
    router.calm_down();  // no other event is to come
    REQUIRE(now()->interface == "near0");
    lab.near("rule add to 192.0.2.1 lookup 100");
    CHECK(router.until([&] { return now() && now()->interface == "near1"; }));
  }
  SECTION("a nexthop object") {
    Lab::set("net/ipv4/nexthop_compat_mode", "0");  // or its routes are told of, too
    lab.near("nexthop add id 7 via 10.1.0.2 dev near0");
    lab.near("route add 192.0.2.0/24 nhid 7 metric 1");
    lab.await_hearing();
    router.calm_down();  // no other event is to come
    REQUIRE(now()->mac == mac(far_mac));
    lab.near("nexthop replace id 7 via 10.1.0.3 dev near0");
    CHECK(router.reaches(destination, other_mac));
  }
  SECTION("the route goes and comes") {
    lab.near("route del 192.0.2.0/24 metric 10");
    CHECK(router.loses(destination));
    lab.near("route add 192.0.2.0/24 via 10.1.0.2");
    CHECK(router.reaches(destination, far_mac));
  }
  SECTION("a route's MTU") {
    lab.near("route replace 192.0.2.0/24 via 10.1.0.2 metric 10 mtu 1300");
    CHECK(router.until([&] { return now() && now()->mtu == 1300; }));
  }
  SECTION("the interface goes down and comes up") {
    lab.near("link set near0 down");
    CHECK(router.loses(destination));
    lab.near("link set near0 up");
    lab.near("route add 192.0.2.0/24 via 10.1.0.2 metric 10");
    CHECK(router.reaches(destination, far_mac));
    CHECK(router.until([&] { return contains(Lab::show("neigh show 10.1.0.2"), "managed"); }));
  }
  SECTION("the far end goes down and comes up") {
    lab.far("link set far0 down");
    CHECK(router.loses(destination));
    lab.far("link set far0 up");
    CHECK(router.reaches(destination, far_mac));
  }
  SECTION("the interface's own MAC") {
    lab.near(fmt::format("link set near0 address {}", other_mac));
    CHECK(router.until([&] { return now() && now()->source_mac == mac(other_mac); }));
    CHECK(now()->mac == mac(far_mac));
  }
  SECTION("the interface's MTU") {
    lab.near("link set near0 mtu 1280");
    CHECK(router.until([&] { return now() && now()->mtu == 1280; }));
  }
  SECTION("the interface's name") {
    lab.near("link set near0 down");
    lab.near("link set near0 name uplink0");
    lab.near("link set uplink0 up");
    lab.near("route add 192.0.2.0/24 via 10.1.0.2 metric 10");
    CHECK(router.until([&] { return now() && now()->interface == "uplink0"; }));
  }
  SECTION("the interface is deleted") {
    lab.near("link del near0");
    CHECK(router.loses(destination));
    CHECK_FALSE(router.has(ip("10.1.0.1")));
  }
  SECTION("a deprecated source is not used for the other family") {
    lab.near("addr change fd01::1/64 dev near0 preferred_lft 0");
    CHECK(router.until([&] { return now() && !now()->source6; }));
    CHECK(now()->source4 == ip("10.1.0.1"));
  }
}

TEST_CASE("what makes no difference is not told") {
  Lab lab;
  Subject router;
  router->want({ip("10.1.0.2")});
  router->settle(3000);
  REQUIRE(router.reaches(ip("10.1.0.2"), far_mac));
  lab.await_hearing();
  router.calm_down();
  lab.near("route add 192.0.2.0/24 via 10.2.0.2");
  CHECK(router.stays_silent());
  lab.near("addr add 10.1.0.1/32 dev lo");  // near0 has it, too
  CHECK(router.stays_silent());
  lab.near("neigh replace 10.1.0.50 lladdr 02:00:00:00:00:50 dev near0");
  CHECK(router.stays_silent());
  lab.near("neigh change 10.1.0.2 lladdr 02:00:00:00:00:02 nud stale dev near0");
  CHECK(router.stays_silent());
}

TEST_CASE("wanted neighbours are managed by the kernel, others released") {
  Lab lab;
  lab.near("route add 192.0.2.0/24 via 10.1.0.2");
  Subject router;
  const auto managed = [](const char* neighbor) {
    return contains(Lab::show(fmt::format("neigh show {} nud all", neighbor)), "managed");
  };
  router->want({ip("192.0.2.1"), ip("192.0.2.2"), ip("fd01::2"), ip("10.1.0.99")});
  router->settle(3000);
  CHECK(managed("10.1.0.2"));
  CHECK(managed("fd01::2"));
  CHECK(managed("10.1.0.99"));  // not there yet, but it may come

  router->want({ip("192.0.2.2")});
  CHECK(managed("10.1.0.2"));
  CHECK_FALSE(managed("fd01::2"));
  CHECK_FALSE(managed("10.1.0.99"));
  CHECK(contains(Lab::show("neigh show fd01::2"), far_mac));
  CHECK(router->to(ip("192.0.2.2")).has_value());
  CHECK_FALSE(router->to(ip("192.0.2.1")).has_value());

  router->want({});
  CHECK_FALSE(managed("10.1.0.2"));
  CHECK_FALSE(router->to(ip("192.0.2.2")).has_value());
}

TEST_CASE("what an earlier process has left managed is taken over or released") {
  Lab lab;
  lab.near("neigh replace 10.1.0.9 dev near0 managed protocol static");  // somebody else's
  const auto managed = [](const char* neighbor) {
    return contains(Lab::show(fmt::format("neigh show {} nud all", neighbor)), "managed");
  };
  {
    Subject earlier;
    earlier->want({ip("10.1.0.2"), ip("fd01::2")});
    earlier->settle(3000);
  }
  REQUIRE(managed("10.1.0.2"));
  REQUIRE(managed("fd01::2"));
  Subject router;
  router->want({ip("10.1.0.2")});
  CHECK(router->to(ip("10.1.0.2")).has_value());  // at once: the kernel has kept it
  CHECK(managed("10.1.0.2"));
  CHECK_FALSE(managed("fd01::2"));
  CHECK(managed("10.1.0.9"));
}

TEST_CASE("a neighbour that comes later is found") {
  Lab lab;
  Subject router;
  const IpAddress four = ip("10.1.0.9");
  const IpAddress six = ip("fd01::9");
  router->want({four, six});
  router->settle(3000);
  REQUIRE_FALSE(router->to(four).has_value());
  REQUIRE_FALSE(router->to(six).has_value());
  lab.far("addr add 10.1.0.9/24 dev far0");
  lab.far("addr add fd01::9/64 dev far0 nodad");
  CHECK(router.until([&] { return router->to(four).has_value(); }, milliseconds{12000}));
  CHECK(router.until([&] { return router->to(six).has_value(); }, milliseconds{12000}));
}

TEST_CASE("static neighbours are the operator's") {
  struct Case {
    const char* name;
    const char* state;
    const char* shown;
  };
  const Case cases[] = {
      {"permanent", "nud permanent", "PERMANENT"},
      {"noarp", "nud noarp", "NOARP"},
      {"of another control plane", "nud reachable extern_learn", "extern_learn"},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    Lab lab;
    lab.near(fmt::format("neigh replace 10.1.0.7 dev near0 lladdr {} {}", other_mac, c.state));
    Subject router;
    router->want({ip("10.1.0.7"), ip("10.1.0.2")});
    router->settle(3000);
    CHECK(router.reaches(ip("10.1.0.7"), other_mac));
    // One that is there already becomes the operator's.
    REQUIRE(router.reaches(ip("10.1.0.2"), far_mac));
    lab.near(fmt::format("neigh replace 10.1.0.2 dev near0 lladdr {} {}", other_mac, c.state));
    CHECK(router.reaches(ip("10.1.0.2"), other_mac));
    router.calm_down();
    for (const char* neighbor : {"10.1.0.7", "10.1.0.2"}) {
      const std::string shown = Lab::show(fmt::format("neigh show {} nud all", neighbor));
      INFO(shown);
      CHECK(contains(shown, c.shown));
      CHECK_FALSE(contains(shown, "managed"));
    }
    router->want({});
    CHECK(contains(Lab::show("neigh show 10.1.0.7 nud all"), c.shown));
    // The static entry is taken away: the kernel's own answer counts again.
    router->want({ip("10.1.0.2")});
    lab.near("neigh del 10.1.0.2 dev near0");
    CHECK(router.reaches(ip("10.1.0.2"), far_mac));
  }
}

TEST_CASE("a neighbour entry that is taken away is made again") {
  Lab lab;
  Subject router;
  router->want({ip("10.1.0.2"), ip("fd01::2")});
  router->settle(3000);
  REQUIRE(router.reaches(ip("10.1.0.2"), far_mac));
  const auto managed = [](const char* neighbor) {
    return contains(Lab::show(fmt::format("neigh show {} nud all", neighbor)), "managed");
  };
  SECTION("deleted") {
    lab.near("neigh flush all");
    CHECK(router.until([&] { return managed("10.1.0.2") && managed("fd01::2"); }));
    CHECK(router.reaches(ip("10.1.0.2"), far_mac));
    CHECK(router.reaches(ip("fd01::2"), far_mac));
  }
  SECTION("no longer managed") {
    lab.near("neigh change 10.1.0.2 dev near0 use");
    REQUIRE_FALSE(managed("10.1.0.2"));
    CHECK(router.until([&] { return managed("10.1.0.2"); }, milliseconds{12000}));
  }
}

TEST_CASE("the node's addresses are known") {
  Lab lab;
  lab.near("addr add 203.0.113.10/32 dev lo");
  Subject router;
  for (const char* address :
       {"127.0.0.1", "::1", "10.1.0.1", "10.2.0.1", "fd01::1", "203.0.113.10"})
    CHECK(router.has(ip(address)));
  for (const char* address : {"10.1.0.2", "fd01::2", "203.0.113.11", "0.0.0.0"})
    CHECK_FALSE(router.has(ip(address)));

  lab.near("addr add 2001:db8::10/128 dev lo");
  CHECK(router.until([&] { return router.has(ip("2001:db8::10")); }));
  lab.near("addr add 203.0.113.10/32 dev near0");
  lab.near("addr del 203.0.113.10/32 dev lo");
  lab.near("addr del 2001:db8::10/128 dev lo");
  CHECK(router.until([&] { return !router.has(ip("2001:db8::10")); }));
  CHECK(router.has(ip("203.0.113.10")));  // near0 still has it
  const int before = router.changes;
  lab.near("addr del 203.0.113.10/32 dev near0");
  CHECK(router.until([&] { return !router.has(ip("203.0.113.10")); }));
  CHECK(router.changes == before + 1);
  CHECK(router->local_addresses().count(ip("203.0.113.10")) == 0);
}

TEST_CASE("lost events are made up for") {
  Lab lab;
  Subject router;
  router->want({ip("10.1.0.2"), ip("192.0.2.1")});
  router->settle(3000);
  REQUIRE(router.reaches(ip("10.1.0.2"), far_mac));
  // More than the socket holds, unread; then what matters.
  std::string lines;
  for (int i = 0; i < 40000; i++)
    lines += fmt::format("route add 172.{}.{}.{}/32 dev near1\n", 16 + i / 65536, i / 256 % 256,
                         i % 256);
  Lab::batch(lines);
  lab.near("addr add 203.0.113.10/32 dev lo");
  lab.near("route add 192.0.2.0/24 via 10.1.0.2");
  lab.near(fmt::format("neigh replace 10.1.0.2 dev near0 lladdr {} nud permanent", other_mac));
  CHECK(router.reaches(ip("10.1.0.2"), other_mac));
  CHECK(router.reaches(ip("192.0.2.1"), other_mac));
  CHECK(router.has(ip("203.0.113.10")));
}

TEST_CASE("ten thousand destinations take no longer than they must") {
  Lab lab;
  lab.near("route add 172.16.0.0/16 via 10.1.0.2");
  Subject router;
  std::set<IpAddress> wanted;
  for (int i = 0; i < 10000; i++)
    wanted.insert(IpAddress::v4(
        {172, 16, static_cast<std::uint8_t>(i / 250), static_cast<std::uint8_t>(i % 250 + 1)}));
  const auto begin = steady_clock::now();
  router->want(wanted);
  router->settle(3000);
  const auto resolved = steady_clock::now();
  for (const IpAddress& destination : wanted) REQUIRE(router->to(destination).has_value());
  lab.near("route replace 172.16.0.0/16 via 10.2.0.2");
  const IpAddress last = *wanted.rbegin();
  CHECK(router.until([&] { return router->to(last) && router->to(last)->interface == "near1"; }));
  const auto followed = steady_clock::now();
  router->want({});
  const auto released = steady_clock::now();
  const auto ms = [](auto span) { return std::chrono::duration_cast<milliseconds>(span).count(); };
  INFO(fmt::format("resolved in {} ms, change followed in {} ms, released in {} ms",
                   ms(resolved - begin), ms(followed - resolved), ms(released - followed)));
  CHECK(resolved - begin < milliseconds{2000});
  CHECK(followed - resolved < milliseconds{2000});
  CHECK(released - followed < milliseconds{1000});
  CHECK_FALSE(router->to(last).has_value());
}

TEST_CASE("a router may end within its own call") {
  Lab lab;
  boost::asio::io_context io;
  const lbd::Log log{lbd::Level::error};
  std::unique_ptr<Router> router;
  auto opened = Router::open(io, log, [&router] { router.reset(); });
  REQUIRE(opened.has_value());
  router = std::move(*opened);
  lab.near("addr add 203.0.113.10/32 dev lo");
  const auto deadline = steady_clock::now() + milliseconds{3000};
  while (router && steady_clock::now() < deadline) io.run_one_until(deadline);
  CHECK_FALSE(router);
  io.run();  // nothing is left that could hold it
}
