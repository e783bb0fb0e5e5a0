// The stored flows as they are listed: which they are, what is said of them, and page by page.
#include "lb/reconcile/flows.h"

#include <algorithm>
#include <set>

#include "unit/kernel_fixture.h"

namespace {

using namespace lbd;
using reconcile::FlowFilter;
using reconcile::FlowReader;
using reconcile::FlowSnapshot;
using reconcile::RowPlace;
using test::Client;
using test::ip;
using test::Kernel;
using test::Kind;
using test::Web;

const IpAddress drained = ip("10.0.0.12");

struct Flow {
  IpAddress vip;
  Client client;
};

std::vector<Flow> some_flows(std::uint16_t first_port = 1024, unsigned count = 120) {
  std::vector<Flow> flows;
  for (unsigned i = 0; i < count; i++) {
    const auto low = static_cast<std::uint8_t>(i);
    const bool v4 = i % 2 == 0;
    flows.push_back({v4 ? ip("203.0.113.10") : ip("2001:db8::10"),
                     {v4 ? IpAddress::v4({198, 51, 100, low})
                         : IpAddress::v6({0xfd, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, low}),
                      static_cast<std::uint16_t>(first_port + i)}});
  }
  return flows;
}

dataplane::Tuple tuple_of(const Flow& flow, Protocol protocol = Protocol::tcp) {
  return {flow.client.address, Port{flow.client.port}, flow.vip, Port{80}, protocol};
}

Web web(AdminState second) {
  return Web{}.backend("10.0.0.11").backend(drained.str(), 100, second).backend("fd01::13");
}

/// Sends a packet of each flow; returns those that go to `backend`.
std::vector<Flow> sent(Kernel& kernel, const std::vector<Flow>& flows, Kind kind,
                       const IpAddress& backend) {
  std::vector<Flow> there;
  for (const Flow& flow : flows)
    if (kernel.backend_of(test::frame_to(flow.vip, flow.client, kind)) == backend)
      there.push_back(flow);
  return there;
}

/// Rows that move because a backend drains, and the flows that it has.
struct Moving {
  Kernel kernel;
  std::vector<Flow> known;  // of the draining backend, adopted
  Moving() {
    kernel.apply(web(AdminState::enabled).config());
    known = sent(kernel, some_flows(), Kind::syn, drained);
    kernel.apply(web(AdminState::drain).config());
    REQUIRE(sent(kernel, known, Kind::ack, drained).size() == known.size());
    REQUIRE(known.size() > 10);
  }
  desired::Desired desired = desired::desire(web(AdminState::drain).config());

  std::vector<FlowSnapshot> listed(const FlowFilter& filter = {}) {
    auto page = kernel.reconciler().flows(desired, filter, 0);
    REQUIRE(page.has_value());
    CHECK_FALSE(page->next);  // it is a small table
    return page->flows;
  }
};

std::set<dataplane::Tuple> tuples_of(const std::vector<FlowSnapshot>& flows) {
  std::set<dataplane::Tuple> tuples;
  for (const FlowSnapshot& flow : flows) tuples.insert(flow.tuple);
  CHECK(tuples.size() == flows.size());
  return tuples;
}

std::set<dataplane::Tuple> tuples_of(const std::vector<Flow>& flows) {
  std::set<dataplane::Tuple> tuples;
  for (const Flow& flow : flows) tuples.insert(tuple_of(flow));
  return tuples;
}

}  // namespace

TEST_CASE("a known flow of a draining backend is listed with it, adopted, while its row is home") {
  Moving m;
  m.kernel.pass(std::chrono::seconds{3});
  const auto flows = m.listed();
  CHECK(tuples_of(flows) == tuples_of(m.known));
  for (const FlowSnapshot& flow : flows) {
    CHECK(flow.service == "web");
    CHECK(flow.backend == drained);
    CHECK(flow.idle == std::chrono::seconds{3});
    CHECK_FALSE(flow.started);
    CHECK_FALSE(flow.closing);
    CHECK(flow.place == RowPlace::home);
  }
}

TEST_CASE("a flow that began on a moving row is listed as started, with the row's owner") {
  Moving m;
  const auto begun = some_flows(4096);
  for (const Kind kind : {Kind::syn, Kind::ack})
    CHECK(sent(m.kernel, begun, kind, drained).empty());
  unsigned started = 0;
  const auto known = tuples_of(m.known);
  for (const FlowSnapshot& flow : m.listed()) {
    if (known.contains(flow.tuple)) continue;
    started++;
    CHECK(flow.started);
    CHECK(flow.backend != drained);
    CHECK(flow.place == RowPlace::owner);
  }
  CHECK(started > 10);
}

TEST_CASE("a flow that has ended is listed as closing until data comes after it") {
  Moving m;
  const Flow& ended = m.known.front();
  const auto closing = [&] {
    std::set<dataplane::Tuple> tuples;
    for (const FlowSnapshot& flow : m.listed())
      if (flow.closing) tuples.insert(flow.tuple);
    return tuples;
  };
  sent(m.kernel, {ended}, Kind::fin, drained);
  CHECK(closing() == std::set{tuple_of(ended)});
  sent(m.kernel, {ended}, Kind::data, drained);
  CHECK(closing().empty());
}

TEST_CASE("a flow whose row's home was given up is held by its entry alone") {
  Moving m;
  const std::chrono::seconds idle{10};
  m.kernel.pass(idle / 2);
  sent(m.kernel, m.known, Kind::ack, drained);
  m.kernel.pass(idle / 2 + std::chrono::seconds{2});
  m.kernel.sweep(idle);
  const auto flows = m.listed();
  CHECK(flows.size() == m.known.size());
  for (const FlowSnapshot& flow : flows) CHECK(flow.place == RowPlace::neither);
}

TEST_CASE("an entry of a row that has settled is listed as such") {
  Moving m;
  auto& tables = m.kernel.plane().tables();
  for (abi::ring_word& word : tables.ring)
    for (auto& row : word.row) row &= static_cast<std::uint16_t>(~ROW_MOVING);
  for (const FlowSnapshot& flow : m.listed()) CHECK(flow.place == RowPlace::settled);
}

TEST_CASE("a flow that is nobody's any more is not listed") {
  Moving m;
  auto& tables = m.kernel.plane().tables();
  const std::uint32_t base = tables.services[0].backend_base;
  for (std::uint32_t slot = 0; slot < tables.services[0].slots; slot++) {
    abi::backend& record = tables.backends[base + slot];
    if (dataplane::address_of(record) != drained) continue;
    SECTION("as its slot has another generation") {
      record.generation++;
      CHECK(m.listed().empty());
    }
    SECTION("as its slot is free") {
      record.flags = 0;
      CHECK(m.listed().empty());
    }
    return;
  }
  FAIL("the draining backend has no slot");
}

TEST_CASE("flows are listed by what they are asked to be, and by all of it together") {
  Moving m;
  const auto udp = some_flows(9000);
  sent(m.kernel, udp, Kind::udp, drained);
  const auto all = m.listed();
  const Flow& v4 = *std::ranges::find_if(m.known, [](auto& f) { return f.vip.is_v4(); });
  const Flow& v6 = *std::ranges::find_if(m.known, [](auto& f) { return f.vip.is_v6(); });
  struct Case {
    const char* name;
    FlowFilter filter;
    bool (*wanted)(const FlowSnapshot&, const Flow&);
    const Flow& flow;
    bool none = false;
  };
  using F = const FlowSnapshot&;
  using X = const Flow&;
  const Case cases[] = {
      {"all", {}, [](F, X) { return true; }, v4},
      {"IPv4's", {.vip = v4.vip}, [](F f, X) { return f.tuple.destination.is_v4(); }, v4},
      {"IPv6's", {.vip = v6.vip}, [](F f, X) { return f.tuple.destination.is_v6(); }, v6},
      {"the port's",
       {.vip = v4.vip, .vip_port = Port{80}},
       [](F f, X) { return f.tuple.destination.is_v4(); },
       v4},
      {"another port's",
       {.vip = v4.vip, .vip_port = Port{81}},
       [](F, X) { return false; },
       v4,
       true},
      {"another VIP's", {.vip = ip("203.0.113.11")}, [](F, X) { return false; }, v4, true},
      {"a client's",
       {.client = Prefix{v6.client.address, 128}},
       [](F f, X x) { return f.tuple.source == x.client.address; },
       v6},
      {"a prefix's",
       {.client = *Prefix::parse("198.51.100.0/26")},
       [](F f, X) { return f.tuple.source.is_v4() && f.tuple.source.bytes()[3] < 64; },
       v4},
      {"a client port's",
       {.client_port = Port{v4.client.port}},
       [](F f, X x) { return f.tuple.source_port == Port{x.client.port}; },
       v4},
      {"a backend's", {.backend = drained}, [](F f, X) { return f.backend == drained; }, v4},
      {"another's", {.backend = ip("10.0.0.99")}, [](F, X) { return false; }, v4, true},
      {"the service's", {.service = "web"}, [](F, X) { return true; }, v4},
      {"TCP",
       {.protocol = Protocol::tcp},
       [](F f, X) { return f.tuple.protocol == Protocol::tcp; },
       v4},
      {"UDP",
       {.protocol = Protocol::udp},
       [](F f, X) { return f.tuple.protocol == Protocol::udp; },
       v4},
      {"all at once",
       {.vip = v4.vip,
        .vip_port = Port{80},
        .client = Prefix{v4.client.address, 32},
        .client_port = Port{v4.client.port},
        .backend = drained,
        .service = "web",
        .protocol = Protocol::tcp},
       [](F f, X x) { return f.tuple == tuple_of(x); },
       v4},
      {"all at once but one",
       {.vip = v4.vip,
        .client = Prefix{v4.client.address, 32},
        .client_port = Port{v4.client.port},
        .protocol = Protocol::udp},
       [](F, X) { return false; },
       v4,
       true},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    std::vector<FlowSnapshot> expected;
    for (const FlowSnapshot& flow : all)
      if (c.wanted(flow, c.flow)) expected.push_back(flow);
    CHECK(expected.empty() == c.none);  // the case says something
    CHECK(tuples_of(m.listed(c.filter)) == tuples_of(expected));
  }
}

TEST_CASE(
    "of several services only the one asked for is listed; one that isn't there is an error") {
  Kernel kernel;
  const auto config = [](AdminState second) {
    config::Config both = web(second).config();
    Service other = both.services[0];
    other.name = "api";
    other.addresses = {ip("203.0.113.20")};
    both.services.push_back(other);
    return both;
  };
  auto flows = some_flows();
  for (std::size_t i = 0; i < flows.size(); i += 4) flows[i].vip = ip("203.0.113.20");
  kernel.apply(config(AdminState::enabled));
  const auto known = sent(kernel, flows, Kind::syn, drained);
  kernel.apply(config(AdminState::drain));
  sent(kernel, known, Kind::ack, drained);
  const auto desired = desired::desire(config(AdminState::drain));
  std::size_t listed = 0;
  for (const char* name : {"web", "api"}) {
    const auto page = kernel.reconciler().flows(desired, {.service = name}, 0);
    REQUIRE(page.has_value());
    CHECK_FALSE(page->flows.empty());
    for (const FlowSnapshot& flow : page->flows) {
      CHECK(flow.service == name);
      CHECK((flow.tuple.destination == ip("203.0.113.20")) == (flow.service == "api"));
    }
    listed += page->flows.size();
  }
  CHECK(listed == known.size());
  const auto none = kernel.reconciler().flows(desired, {.service = "we"}, 0);
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().message() == "no such service: 'we'");
}

TEST_CASE("a removed service's flows are listed until it is forgotten") {
  Moving m;
  m.kernel.apply(config::Config{});
  m.desired = {};
  CHECK(m.listed({.service = "web"}).size() == m.known.size());
}

TEST_CASE("pages of any size list every flow once, and the last one has no next") {
  Moving m;
  const auto& tables = m.kernel.plane().tables();
  const auto held = [&] {
    reconcile::Writer writer{m.kernel.plane()};
    return reconcile::read_held(writer);
  }();
  const FlowReader reader{tables, m.kernel.hash_key(), held, m.kernel.now()};
  const std::uint32_t cells = dataplane::FlowMemory{tables, m.kernel.hash_key()}.cells();
  for (const reconcile::PageLimits limits :
       {reconcile::PageLimits{}, reconcile::PageLimits{cells, 10000},
        reconcile::PageLimits{cells - 1, 10000}, reconcile::PageLimits{7, 10000},
        reconcile::PageLimits{cells, 1}, reconcile::PageLimits{1, 1},
        reconcile::PageLimits{cells, static_cast<std::uint32_t>(m.known.size())}}) {
    INFO(limits.cells << " cells, " << limits.flows << " flows");
    std::vector<FlowSnapshot> all;
    std::uint32_t pages = 0;
    for (std::optional<std::uint32_t> from = 0; from; pages++) {
      const auto page = reader.page({}, *from, limits);
      CHECK(page.flows.size() <= limits.flows);
      if (page.next) {
        REQUIRE(*page.next > *from);
        REQUIRE(*page.next - *from <= limits.cells);
        REQUIRE(*page.next < cells);
        // It ended where one of the limits was reached.
        CHECK((page.flows.size() == limits.flows || *page.next - *from == limits.cells));
      }
      all.insert(all.end(), page.flows.begin(), page.flows.end());
      from = page.next;
    }
    CHECK(tuples_of(all) == tuples_of(m.known));
    CHECK(pages >= (cells + limits.cells - 1) / limits.cells);
  }
}

TEST_CASE("pages that find nothing go on to the end, and there is none behind it") {
  Kernel kernel;
  kernel.apply(web(AdminState::enabled).config());
  reconcile::Writer writer{kernel.plane()};
  const auto held = reconcile::read_held(writer);
  const FlowReader reader{kernel.plane().tables(), kernel.hash_key(), held, kernel.now()};
  const std::uint32_t cells =
      dataplane::FlowMemory{kernel.plane().tables(), kernel.hash_key()}.cells();
  const auto next = [&](std::uint32_t from, std::uint32_t at_once) {
    const auto page = reader.page({}, from, {.cells = at_once, .flows = 10});
    CHECK(page.flows.empty());
    return page.next;
  };
  CHECK(next(0, cells) == std::nullopt);
  CHECK(next(0, cells - 1) == cells - 1);
  CHECK(next(cells - 1, 1) == std::nullopt);
  CHECK(next(0, 100) == 100);
  CHECK(next(cells, 100) == std::nullopt);
  CHECK(next(UINT32_MAX, UINT32_MAX) == std::nullopt);
}
