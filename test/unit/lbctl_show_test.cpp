#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>

#include "lbctl/show.h"

using namespace lbd::lbctl;
using boost::json::parse;

TEST_CASE("services are shown as frontends, then endpoints with why they are not used") {
  CHECK(show_services(parse(R"([
    {"name":"web","port":"80","protocol":"TCP",
     "frontends":[
       {"kind":"vip","address":"203.0.113.10","port":80,"action":"forward",
        "backends":["10.0.0.9:80"]},
       {"kind":"vip","address":"2001:db8::1","port":80,"action":"forward",
        "backends":["10.0.0.9:80"]}],
     "endpoints":[
       {"address":"10.0.0.9:80","state":"up","weight":100,"used":true,"why":null},
       {"address":"[fd00::b]:80","state":"draining","weight":5,"used":false,"why":"drained"}]},
    {"name":"dns","port":"0","protocol":"UDP",
     "frontends":[{"kind":"vip","address":"203.0.113.11","port":0,"action":"drop","backends":[]}],
     "endpoints":[],"refused":"no room in lbd_rings"}])")) ==
        "SERVICE  PORT     FRONTEND          ACTION   BACKENDS\n"
        "web      80/TCP   203.0.113.10:80   forward         1\n"
        "web      80/TCP   [2001:db8::1]:80  forward         1\n"
        "dns      any/UDP  203.0.113.11      drop            0\n"
        "\n"
        "SERVICE  PORT    ENDPOINT      STATE     WEIGHT  USED  WHY NOT\n"
        "web      80/TCP  10.0.0.9:80   up           100  yes   -\n"
        "web      80/TCP  [fd00::b]:80  draining       5  no    drained\n"
        "\n"
        "REFUSED  PORT     REASON\n"
        "dns      any/UDP  no room in lbd_rings\n");
  CHECK(show_services(parse("[]")) == "no services\n");
}

TEST_CASE("backends are shown with readable numbers and their next hop") {
  CHECK(show_backends(parse(R"([
    {"service":"web","address":"10.0.0.9","state":"up","weight":100,"packets":1234,"bytes":1536,
     "nextHop":{"interface":"lan0","mac":"02:00:00:00:00:09"}},
    {"service":"web","address":"fd00::b","state":"down","weight":0,"packets":0,"bytes":0,
     "nextHop":null}])")) ==
        "SERVICE  BACKEND   STATE  WEIGHT  PACKETS    BYTES  NEXT HOP\n"
        "web      10.0.0.9  up        100    1,234  1.5 KiB  lan0 02:00:00:00:00:09\n"
        "web      fd00::b   down        0        0      0 B  -\n");
  CHECK(show_backends(parse("[]")) == "no backends\n");
}

TEST_CASE("stats are shown by service, port and backend, then by reason") {
  CHECK(show_stats(parse(R"(
    {"reasons":{"no-backend":{"packets":2,"bytes":120}},
     "flowMemory":{"entries":3,"starts":0,"startsPerSecond":9,"refused":1200,"yields":0},
     "services":[{"name":"web","port":"80","protocol":"TCP","packets":6,"bytes":600,
                  "backends":[{"address":"10.0.0.9","packets":5,"bytes":500}]}]})")) ==
        "SERVICE  PORT    BACKEND   PACKETS  BYTES\n"
        "web      80/TCP  all             6  600 B\n"
        "web      80/TCP  10.0.0.9        5  500 B\n"
        "\n"
        "NOT FORWARDED  PACKETS  BYTES\n"
        "no-backend           2  120 B\n"
        "\n"
        "FLOWS OF MOVING ROWS  COUNT\n"
        "refused               1,200\n"
        "stored now                3\n");
  CHECK(show_stats(parse(R"({"reasons":{},"services":[]})")) == "nothing counted\n");
}

TEST_CASE("status is shown with the memory of every map and of all") {
  CHECK(show_status(parse(R"(
    {"version":"0.1.0","pid":4711,"uptimeSeconds":7380,
     "interfaces":[{"name":"lan0","mode":"native","programId":42}],
     "maps":[{"name":"lbd_rings","entries":1,"maxEntries":64,"bytes":1048576},
             {"name":"lbd_flows","entries":0,"maxEntries":1048576,"bytes":512}],
     "rows":{"total":65537,"moving":3},"flows":5,
     "flowMemory":{"entriesMax":1048576,"starts":2,"startsPerSecond":98304},
     "config":{"file":"/etc/lbd.yaml","loadedAt":"2001-09-09T01:46:40Z"},
     "refused":[{"service":"big","reason":"no room"}],
     "lastReconcile":{"writes":12,"rowsMoved":3}})")) ==
        "lbd 0.1.0, pid 4711, up 2h 3m\n"
        "configuration  /etc/lbd.yaml, loaded 2001-09-09T01:46:40Z\n"
        "rows           65,537, 3 of them moving\n"
        "flows          5 of 1,048,576 stored, 2 starting, 98,304 new ones a second fit\n"
        "last change    12 map writes, 3 rows moved\n"
        "\n"
        "INTERFACE  MODE    PROGRAM\n"
        "lan0       native       42\n"
        "\n"
        "MAP        ENTRIES        MAX   MEMORY\n"
        "lbd_rings        1         64  1.0 MiB\n"
        "lbd_flows        0  1,048,576    512 B\n"
        "all              -          -  1.0 MiB\n"
        "\n"
        "REFUSED  REASON\n"
        "big      no room\n");
}

TEST_CASE("a reload is shown as what changed, or that nothing did") {
  CHECK(show_reload(parse(R"(
    {"changed":{"servicesAdded":["api"],"servicesRemoved":[],"servicesChanged":[],
                "backendsAdded":["web/10.0.0.11","web/10.0.0.12"],"backendsRemoved":[],
                "backendsChanged":[]},
     "refused":[],"warnings":[],"rowsMoved":6554,"writes":9})")) ==
        "services added    api\n"
        "backends added    web/10.0.0.11, web/10.0.0.12\n"
        "rows moved        6,554\n"
        "map writes        9\n");
  CHECK(
      show_reload(parse(R"({"changed":{},"refused":[],"warnings":[],"rowsMoved":0,"writes":0})")) ==
      "nothing changed\n");
}

TEST_CASE("flows are shown as a table that grows by pages, its titles above the first alone") {
  const auto first = parse(R"({"flows":[
    {"client":"198.51.100.7:1024","vip":"203.0.113.10:80","protocol":"TCP","service":"web",
     "backend":"10.0.0.11","idleSeconds":3,"state":"open","origin":"started","row":"owner"}],
    "next":65536})");
  const auto second = parse(R"({"flows":[
    {"client":"[2001:db8:2::7]:53","vip":"[2001:db8::10]:443","protocol":"UDP","service":"dns",
     "backend":"fd00::b","idleSeconds":125,"state":"closing","origin":"adopted","row":"home"},
    {"client":"198.51.100.7:1","vip":"203.0.113.10:80","protocol":"TCP","service":"web",
     "backend":"10.0.0.11","idleSeconds":0,"state":"open","origin":"started","row":"owner"}],
    "next":null})");
  const auto empty = parse(R"({"flows":[],"next":7})");
  FlowList flows{Output::table};
  CHECK(flows.page(empty) == "");
  CHECK(flows.page(first) ==
        "CLIENT             VIP              PROTOCOL  SERVICE  BACKEND    IDLE  STATE  ORIGIN   "
        "ROW\n"
        "198.51.100.7:1024  203.0.113.10:80  TCP       web      10.0.0.11    3s  open   started  "
        "owner\n");
  CHECK(flows.page(empty) == "");
  CHECK(flows.page(second) ==
        "[2001:db8:2::7]:53  [2001:db8::10]:443  UDP       dns      fd00::b    2m 5s  closing  "
        "adopted  home\n"
        "198.51.100.7:1      203.0.113.10:80     TCP       web      10.0.0.11     0s  open     "
        "started  owner\n");
  CHECK(flows.end() == "");
}

TEST_CASE("flows as JSON are one array with a line a flow, whatever the pages are") {
  const auto pages = {R"({"flows":[],"next":3})", R"({"flows":[{"client":"a"},{"client":"b"}]})",
                      R"({"flows":[]})", R"({"flows":[{"client":"c"}]})"};
  FlowList flows{Output::json};
  std::string whole;
  std::string cut;
  for (const char* page : pages) {
    whole += flows.page(parse(page));
    cut = whole + flows.cut();
    CHECK((cut.empty() || parse(cut).is_array()));
  }
  whole += flows.end();
  CHECK(whole ==
        "[{\"client\":\"a\"},\n"
        "{\"client\":\"b\"},\n"
        "{\"client\":\"c\"}]\n");
  CHECK(cut == whole);
}

TEST_CASE("no flows are shown as such, and nothing where they could not be asked for") {
  CHECK(FlowList{Output::table}.end() == "no flows\n");
  CHECK(FlowList{Output::json}.end() == "[]\n");
  CHECK(FlowList{Output::table}.cut() == "");
  CHECK(FlowList{Output::json}.cut() == "");
}

TEST_CASE("the answer of a daemon of another version is shown as far as it goes") {
  for (const char* odd : {"null", "{}", "[]", "[1]", R"({"maps":[{}],"rows":7,"reasons":[]})",
                          R"([{"frontends":{},"endpoints":[{"used":1}]}])"}) {
    INFO(odd);
    const auto answer = parse(odd);
    CHECK_FALSE(show_status(answer).empty());
    CHECK_FALSE(show_services(answer).empty());
    CHECK_FALSE(show_backends(answer).empty());
    CHECK_FALSE(show_stats(answer).empty());
    CHECK_FALSE(show_reload(answer).empty());
    CHECK(FlowList{Output::table}.page(answer).empty());
    CHECK(FlowList{Output::json}.page(answer).empty());
  }
}
