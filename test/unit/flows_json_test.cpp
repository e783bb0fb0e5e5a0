#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "lb/serve/flows.h"

using boost::json::serialize;
using namespace lbd;
using reconcile::FlowFilter;
using reconcile::RowPlace;
using serve::FlowsQuestion;

namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

boost::json::object object_of(const char* text) {
  return boost::json::parse(text).as_object();
}

}  // namespace

TEST_CASE("flows: addresses with their ports, IPv6 in brackets, and where the next page begins") {
  const reconcile::FlowSnapshot v4{
      .tuple = {ip("198.51.100.7"), Port{1024}, ip("203.0.113.10"), Port{80}, Protocol::tcp},
      .service = "web",
      .backend = ip("10.0.0.11"),
      .idle = std::chrono::seconds{3},
      .started = true,
      .place = RowPlace::owner};
  const reconcile::FlowSnapshot v6{
      .tuple = {ip("2001:db8:2::7"), Port{53}, ip("2001:db8::10"), Port{443}, Protocol::udp},
      .service = "dns",
      .backend = ip("fd00::b"),
      .closing = true,
      .place = RowPlace::home};
  CHECK(serialize(serve::flows_json({.flows = {v4, v6}, .next = 65536})) ==
        serialize(boost::json::parse(R"({"flows":[
    {"client":"198.51.100.7:1024","vip":"203.0.113.10:80","protocol":"TCP","service":"web",
     "backend":"10.0.0.11","idleSeconds":3,"state":"open","origin":"started","row":"owner"},
    {"client":"[2001:db8:2::7]:53","vip":"[2001:db8::10]:443","protocol":"UDP","service":"dns",
     "backend":"fd00::b","idleSeconds":0,"state":"closing","origin":"adopted","row":"home"}],
    "next":65536})")));
  CHECK(serialize(serve::flows_json({})) == R"({"flows":[],"next":null})");
  struct Place {
    RowPlace place;
    const char* text;
  };
  for (const auto& [place, text] :
       {Place{RowPlace::neither, "neither"}, Place{RowPlace::settled, "settled"}}) {
    reconcile::FlowsPage page;
    page.flows.push_back({.place = place});
    CHECK(serve::flows_json(page).at("flows").at(0).at("row").as_string() == text);
  }
}

TEST_CASE("flows: what lbctl asks is what the daemon understands") {
  const FlowsQuestion questions[] = {
      {},
      {.from = UINT32_MAX},
      {.filter = {.vip = ip("203.0.113.10")}},
      {.filter = {.vip = ip("2001:db8::10"), .vip_port = Port{0}}},
      {.filter = {.client = *Prefix::parse("198.51.100.0/24"), .client_port = Port{65535}}},
      {.filter = {.client = *Prefix::parse("2001:db8::/32"),
                  .backend = ip("fd00::b"),
                  .service = "web",
                  .protocol = Protocol::udp},
       .from = 65536},
  };
  for (const FlowsQuestion& question : questions) {
    const auto request = serve::flows_request(question);
    INFO(serialize(request));
    CHECK(request.at("command") == "flows");
    const auto understood = serve::parse_flows_question(request);
    REQUIRE(understood.has_value());
    CHECK(*understood == question);
  }
  CHECK(*serve::parse_flows_question(object_of(R"({"command":"flows"})")) == FlowsQuestion{});
}

TEST_CASE("flows: a request that is not understood is refused, never answered with more") {
  struct Case {
    const char* request;
    const char* named;
  };
  const Case cases[] = {
      {R"({"from":-1})", "\"from\""},
      {R"({"from":4294967296})", "\"from\""},
      {R"({"from":"0"})", "\"from\""},
      {R"({"from":null})", "\"from\""},
      {R"({"vip":"203.0.113.10:80"})", "203.0.113.10:80"},
      {R"({"vip":7})", "\"vip\""},
      {R"({"vipPort":65536})", "\"vipPort\""},
      {R"({"client":"198.51.100.1/24"})", "198.51.100.1/24"},
      {R"({"clientPort":"80"})", "\"clientPort\""},
      {R"({"backend":""})", "''"},
      {R"({"service":["web"]})", "\"service\""},
      {R"({"protocol":"SCTP"})", "\"protocol\""},
      {R"({"state":"open"})", "\"state\""},
  };
  for (const Case& c : cases) {
    INFO(c.request);
    const auto understood = serve::parse_flows_question(object_of(c.request));
    REQUIRE_FALSE(understood.has_value());
    CHECK_THAT(understood.error().message(), Catch::Matchers::Contains(c.named));
  }
}
