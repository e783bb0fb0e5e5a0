#include "lb/serve/json.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

using boost::json::serialize;
using namespace lbd;
using reconcile::BackendSnapshot;
using reconcile::Count;
using reconcile::PortSnapshot;
using reconcile::ServiceSnapshot;
using reconcile::Snapshot;

namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

/// The text without the line breaks and indentation that make it readable here.
std::string compact(const char* text) {
  return serialize(boost::json::parse(text));
}

BackendSnapshot up(const char* address) {
  return {.address = ip(address),
          .weight = 100,
          .state = desired::State::up,
          .used = true,
          .why = "",
          .removed = false,
          .count = {},
          .next_hop = {}};
}

/// An IPv4 and an IPv6 address; a backend each that is used, drained and removed.
ServiceSnapshot web() {
  BackendSnapshot used = up("10.0.0.9");
  used.count = {7, 700};
  used.next_hop = reconcile::NextHopSnapshot{"lan0", *Mac::parse("02:00:00:00:00:09")};
  BackendSnapshot drained = up("fd00::b");
  drained.state = desired::State::draining;
  drained.used = false;
  drained.why = "drained by the configuration";
  BackendSnapshot removed = up("10.0.0.11");
  removed.state = desired::State::draining;
  removed.used = false;
  removed.removed = true;
  ServiceSnapshot service;
  service.name = "web";
  service.addresses = {ip("203.0.113.10"), ip("2001:db8:1::10")};
  service.ports = {
      PortSnapshot{{Port{80}, Protocol::tcp}, {6, 600}, {{4, 400}, {1, 100}, {1, 100}}},
      PortSnapshot{{Port{0}, Protocol::udp}, {3, 300}, {{3, 300}, {}, {}}}};
  service.backends = {used, drained, removed};
  return service;
}

Snapshot only(ServiceSnapshot service) {
  Snapshot snapshot;
  snapshot.services = {std::move(service)};
  return snapshot;
}

}  // namespace

TEST_CASE("services: one element a port, addresses sorted, IPv6 with a port in brackets") {
  CHECK(serialize(serve::services_json(only(web()))) == compact(R"([
    {"name":"web","port":"80","protocol":"TCP",
     "frontends":[
       {"kind":"vip","address":"203.0.113.10","port":80,"action":"forward",
        "backends":["10.0.0.9:80"]},
       {"kind":"vip","address":"2001:db8:1::10","port":80,"action":"forward",
        "backends":["10.0.0.9:80"]}],
     "endpoints":[
       {"address":"10.0.0.9:80","state":"up","weight":100,"used":true,"why":null},
       {"address":"10.0.0.11:80","state":"draining","weight":100,"used":false,
        "why":"removed from the configuration"},
       {"address":"[fd00::b]:80","state":"draining","weight":100,"used":false,
        "why":"drained by the configuration"}]},
    {"name":"web","port":"0","protocol":"UDP",
     "frontends":[
       {"kind":"vip","address":"203.0.113.10","port":0,"action":"forward",
        "backends":["10.0.0.9:0"]},
       {"kind":"vip","address":"2001:db8:1::10","port":0,"action":"forward",
        "backends":["10.0.0.9:0"]}],
     "endpoints":[
       {"address":"10.0.0.9:0","state":"up","weight":100,"used":true,"why":null},
       {"address":"10.0.0.11:0","state":"draining","weight":100,"used":false,
        "why":"removed from the configuration"},
       {"address":"[fd00::b]:0","state":"draining","weight":100,"used":false,
        "why":"drained by the configuration"}]}])"));
}

TEST_CASE("services: several usable backends are in the order of their addresses") {
  ServiceSnapshot service = web();
  service.ports.resize(1);
  service.addresses = {ip("2001:db8::1")};
  service.backends = {up("fd00::b"), up("fd00::a"), up("10.0.0.11"), up("10.0.0.9")};
  const auto services = serve::services_json(only(service));
  CHECK(serialize(services.at(0).at("frontends").at(0).at("backends")) ==
        R"(["10.0.0.9:80","10.0.0.11:80","[fd00::a]:80","[fd00::b]:80"])");
}

TEST_CASE("services: the order is the file's") {
  Snapshot snapshot;
  for (const char* name : {"web", "api", "dns"}) {
    ServiceSnapshot service;
    service.name = name;
    service.ports = {PortSnapshot{{Port{53}, Protocol::udp}, {}, {}}};
    snapshot.services.push_back(service);
  }
  CHECK(serialize(serve::services_json(snapshot)) == compact(R"([
    {"name":"web","port":"53","protocol":"UDP","frontends":[],"endpoints":[]},
    {"name":"api","port":"53","protocol":"UDP","frontends":[],"endpoints":[]},
    {"name":"dns","port":"53","protocol":"UDP","frontends":[],"endpoints":[]}])"));
}

TEST_CASE("services: a frontend with no usable backend drops") {
  ServiceSnapshot service = web();
  service.ports.resize(1);
  service.addresses = {ip("203.0.113.10")};
  service.backends = {};
  CHECK(serialize(serve::services_json(only(service))) == compact(R"([
    {"name":"web","port":"80","protocol":"TCP",
     "frontends":[{"kind":"vip","address":"203.0.113.10","port":80,"action":"drop","backends":[]}],
     "endpoints":[]}])"));
}

TEST_CASE("services: a refused service says why and forwards nothing") {
  ServiceSnapshot service = web();
  service.ports.resize(1);
  service.addresses = {ip("203.0.113.10")};
  service.backends = {up("10.0.0.9")};
  service.refused = "no room in lbd_rings";
  CHECK(serialize(serve::services_json(only(service))) == compact(R"([
    {"name":"web","port":"80","protocol":"TCP",
     "frontends":[{"kind":"vip","address":"203.0.113.10","port":80,"action":"drop","backends":[]}],
     "endpoints":[{"address":"10.0.0.9:80","state":"up","weight":100,"used":false,
                   "why":"no room in lbd_rings"}],
     "refused":"no room in lbd_rings"}])"));
}

TEST_CASE("backends: addresses without a port, nextHop null where none is known") {
  CHECK(serialize(serve::backends_json(only(web()))) == compact(R"([
    {"service":"web","address":"10.0.0.9","state":"up","weight":100,"packets":7,"bytes":700,
     "nextHop":{"interface":"lan0","mac":"02:00:00:00:00:09"}},
    {"service":"web","address":"10.0.0.11","state":"draining","weight":100,"packets":0,"bytes":0,
     "nextHop":null},
    {"service":"web","address":"fd00::b","state":"draining","weight":100,"packets":0,"bytes":0,
     "nextHop":null}])"));
}

TEST_CASE("stats: a backend keeps its own counts when the list is sorted; reasons occurred") {
  Snapshot snapshot = only(web());
  snapshot.reasons = {{"no-backend", {2, 120}}, {"malformed", {}}, {"not-a-vip", {1, 60}}};
  snapshot.services[0].ports[0].backend_count = {{4, 400}, {1, 101}, {1, 102}};
  CHECK(serialize(serve::stats_json(snapshot)) == compact(R"(
    {"reasons":{"no-backend":{"packets":2,"bytes":120},"not-a-vip":{"packets":1,"bytes":60}},
     "services":[
       {"name":"web","port":"80","protocol":"TCP","packets":6,"bytes":600,"backends":[
         {"address":"10.0.0.9","packets":4,"bytes":400},
         {"address":"10.0.0.11","packets":1,"bytes":102},
         {"address":"fd00::b","packets":1,"bytes":101}]},
       {"name":"web","port":"0","protocol":"UDP","packets":3,"bytes":300,"backends":[
         {"address":"10.0.0.9","packets":3,"bytes":300},
         {"address":"10.0.0.11","packets":0,"bytes":0},
         {"address":"fd00::b","packets":0,"bytes":0}]}],
     "flowMemory":{"entries":0,"entriesMax":0,"starts":0,"startsPerSecond":0,"started":0,"confirmed":0,
                   "adopted":0,"refused":0,"yields":0}})"));
}

const std::string no_flows =
    R"("flowMemory":{"entries":0,"entriesMax":0,"starts":0,"startsPerSecond":0,"started":0,"confirmed":0,)"
    R"("adopted":0,"refused":0,"yields":0}})";

TEST_CASE("stats: counts use all 64 bits") {
  Snapshot snapshot;
  snapshot.reasons = {{"no-backend", {UINT64_MAX, UINT64_MAX - 1}}};
  CHECK(serialize(serve::stats_json(snapshot)) ==
        R"({"reasons":{"no-backend":{"packets":18446744073709551615,)"
        R"("bytes":18446744073709551614}},"services":[],)" +
            no_flows);
}

TEST_CASE("an empty data plane has its shape, too") {
  CHECK(serialize(serve::services_json({})) == "[]");
  CHECK(serialize(serve::backends_json({})) == "[]");
  CHECK(serialize(serve::stats_json({})) == R"({"reasons":{},"services":[],)" + no_flows);
}

TEST_CASE("status: every key in the contract's order, the time in RFC 3339 and UTC") {
  serve::Status status;
  status.version = "0.1.0";
  status.pid = 4711;
  status.uptime = std::chrono::minutes{2};
  status.interfaces = {{"lan0", "native", 42}};
  status.maps = {{"lbd_rings", 1, 64, 1048576}};
  status.rows_total = 65537;
  status.rows_moving = 3;
  status.flows = {.entries = 5,
                  .entries_max = 8,
                  .starts = 4,
                  .starts_per_second = 3,
                  .started = 9,
                  .confirmed = 8,
                  .adopted = 7,
                  .refused = 6,
                  .yields = 2};
  status.config = {"/etc/lbd.yaml", std::chrono::system_clock::from_time_t(1000000000)};
  status.refused = {{"big", "no room in lbd_rings"}};
  status.last_reconcile = {12, 3};
  CHECK(serialize(serve::status_json(status)) == compact(R"(
    {"version":"0.1.0","pid":4711,"uptimeSeconds":120,
     "interfaces":[{"name":"lan0","mode":"native","programId":42}],
     "maps":[{"name":"lbd_rings","entries":1,"maxEntries":64,"bytes":1048576}],
     "rows":{"total":65537,"moving":3},"flows":5,
     "flowMemory":{"entries":5,"entriesMax":8,"starts":4,"startsPerSecond":3,"started":9,"confirmed":8,
                   "adopted":7,"refused":6,"yields":2},
     "config":{"file":"/etc/lbd.yaml","loadedAt":"2001-09-09T01:46:40Z"},
     "refused":[{"service":"big","reason":"no room in lbd_rings"}],
     "lastReconcile":{"writes":12,"rowsMoved":3}})"));
}

TEST_CASE("reload: what changed, by name") {
  serve::Reloaded reloaded;
  reloaded.changed.services_added = {"api"};
  reloaded.changed.backends_removed = {"web/10.0.0.11", "web/fd00::b"};
  reloaded.refused = {{"big", "no room in lbd_rings"}};
  reloaded.warnings = {"lbd.yaml:3:1: node: odd"};
  reloaded.done = {9, 6554};
  CHECK(serialize(serve::reloaded_json(reloaded)) == compact(R"(
    {"changed":{"servicesAdded":["api"],"servicesRemoved":[],"servicesChanged":[],
                "backendsAdded":[],"backendsRemoved":["web/10.0.0.11","web/fd00::b"],
                "backendsChanged":[]},
     "refused":[{"service":"big","reason":"no room in lbd_rings"}],
     "warnings":["lbd.yaml:3:1: node: odd"],"rowsMoved":6554,"writes":9})"));
}
