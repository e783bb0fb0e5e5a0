#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "lbctl/arguments.h"

using namespace lbd::lbctl;
using Words = std::vector<std::string>;

TEST_CASE("a command line is read into its command and options") {
  struct Case {
    Words words;
    Arguments expected;
  };
  const auto made = [](Command command, auto change) {
    Arguments arguments;
    arguments.command = command;
    change(arguments);
    return arguments;
  };
  const auto plain = [](Arguments&) {};
  const auto json = [](Arguments& a) { a.output = Output::json; };
  const auto socket = [](Arguments& a) { a.socket = "/x"; };
  const auto about_reload = [](Arguments& a) { a.help_about = Command::reload; };
  const Case cases[] = {
      {{"status"}, made(Command::status, plain)},
      {{"services"}, made(Command::services, plain)},
      {{"stats"}, made(Command::stats, plain)},
      {{"status", "-o", "json"}, made(Command::status, json)},
      {{"-o", "json", "status"}, made(Command::status, json)},
      {{"status", "-ojson"}, made(Command::status, json)},
      {{"status", "--output=json"}, made(Command::status, json)},
      {{"status", "-o", "json", "-o", "table"}, made(Command::status, plain)},
      {{"--socket", "/x", "status"}, made(Command::status, socket)},
      {{"status", "--socket=/x"}, made(Command::status, socket)},
      {{"backends", "--service", "web"},
       made(Command::backends, [](Arguments& a) { a.service = "web"; })},
      {{"backends", "--service="}, made(Command::backends, [](Arguments& a) { a.service = ""; })},
      {{"reload", "--break-flows"},
       made(Command::reload, [](Arguments& a) { a.break_flows = true; })},
      {{"help"}, made(Command::help, plain)},
      {{"--help"}, made(Command::help, plain)},
      {{"help", "reload"}, made(Command::help, about_reload)},
      {{"reload", "--help"}, made(Command::help, about_reload)},
      {{"-h", "reload"}, made(Command::help, about_reload)},
      {{"help", "reload", "--help"}, made(Command::help, about_reload)},
      {{"--version"}, made(Command::version, plain)},
      {{"replay", "--config", "f", "-o", "json", "a", "b"},
       made(Command::replay,
            [](Arguments& a) { a.replay = {"--config", "f", "-o", "json", "a", "b"}; })},
      {{"-o", "json", "replay", "a", "b"},
       made(Command::replay,
            [](Arguments& a) {
              a.output = Output::json;
              a.replay = {"-o", "json", "a", "b"};
            })},
  };
  for (const Case& c : cases) {
    INFO(Catch::Detail::stringify(c.words));
    const auto arguments = parse_arguments(c.words);
    REQUIRE(arguments.has_value());
    CHECK(arguments->command == c.expected.command);
    CHECK(arguments->socket == c.expected.socket);
    CHECK(arguments->output == c.expected.output);
    CHECK(arguments->break_flows == c.expected.break_flows);
    CHECK(arguments->service == c.expected.service);
    CHECK(arguments->help_about == c.expected.help_about);
    CHECK(arguments->replay == c.expected.replay);
  }
  CHECK(parse_arguments(Words{"replay", "a", "--help"})->help_about == Command::replay);
}

TEST_CASE("a wrong command line is refused, and the message names what is wrong") {
  struct Case {
    Words words;
    const char* named;
  };
  const Case cases[] = {
      {{}, "a command is expected"},
      {{"-o", "json"}, "a command is expected"},
      {{"stat"}, "'stat'"},
      {{""}, "''"},
      {{"-"}, "'-'"},
      {{"status", "services"}, "'services'"},
      {{"help", "reload", "status"}, "'status'"},
      {{"help", "nothing"}, "'nothing'"},
      {{"status", "-x"}, "-x"},
      {{"status", "--"}, "--"},
      {{"status", "-o"}, "-o needs a value"},
      {{"status", "--socket"}, "--socket needs a value"},
      {{"status", "-o", "yaml"}, "'yaml'"},
      {{"reload", "--break-flows=yes"}, "--break-flows takes no value"},
      {{"status", "--break-flows"}, "--break-flows belongs to reload"},
      {{"stats", "--service", "web"}, "--service belongs to backends and flows"},
      {{"backends", "--vip", "203.0.113.10"}, "--vip belongs to flows"},
      {{"--protocol", "udp", "status"}, "--protocol belongs to flows"},
      {{"flows", "--vip"}, "--vip needs a value"},
      {{"flows", "--service="}, "--service: '': a service's name is expected"},
  };
  for (const Case& c : cases) {
    INFO(Catch::Detail::stringify(c.words));
    const auto arguments = parse_arguments(c.words);
    REQUIRE_FALSE(arguments.has_value());
    CHECK_THAT(arguments.error().message(), Catch::Matchers::Contains(c.named));
  }
}

namespace {

const auto ip = [](const char* text) { return *lbd::IpAddress::parse(text); };
const auto prefix = [](const char* text) { return *lbd::Prefix::parse(text); };

}  // namespace

TEST_CASE("what flows are asked to be is read from its options") {
  using Filter = lbd::reconcile::FlowFilter;
  using lbd::Port;
  using lbd::Protocol;
  struct Case {
    Words words;
    Filter expected;
  };
  const Case cases[] = {
      {{}, {}},
      {{"--vip", "203.0.113.10"}, {.vip = ip("203.0.113.10")}},
      {{"--vip=203.0.113.10:80"}, {.vip = ip("203.0.113.10"), .vip_port = Port{80}}},
      {{"--vip", "2001:db8::10"}, {.vip = ip("2001:db8::10")}},
      {{"--vip", "[2001:db8::10]"}, {.vip = ip("2001:db8::10")}},
      {{"--vip", "[2001:db8::10]:65535"}, {.vip = ip("2001:db8::10"), .vip_port = Port{65535}}},
      {{"--client", "198.51.100.7"}, {.client = prefix("198.51.100.7/32")}},
      {{"--client", "198.51.100.7:0"},
       {.client = prefix("198.51.100.7/32"), .client_port = Port{0}}},
      {{"--client", "198.51.100.0/24"}, {.client = prefix("198.51.100.0/24")}},
      {{"--client", "198.51.100.0/24:1024"},
       {.client = prefix("198.51.100.0/24"), .client_port = Port{1024}}},
      {{"--client", "2001:db8::/32"}, {.client = prefix("2001:db8::/32")}},
      {{"--client", "[2001:db8::/32]:1024"},
       {.client = prefix("2001:db8::/32"), .client_port = Port{1024}}},
      {{"--backend", "fd00::b"}, {.backend = ip("fd00::b")}},
      {{"--service", "web"}, {.service = "web"}},
      {{"--protocol", "tcp"}, {.protocol = Protocol::tcp}},
      {{"--protocol=UDP"}, {.protocol = Protocol::udp}},
      {{"--vip", "203.0.113.10:80", "--client", "198.51.100.7:9", "--backend", "10.0.0.1",
        "--service", "web", "--protocol", "udp"},
       {.vip = ip("203.0.113.10"),
        .vip_port = Port{80},
        .client = prefix("198.51.100.7/32"),
        .client_port = Port{9},
        .backend = ip("10.0.0.1"),
        .service = "web",
        .protocol = Protocol::udp}},
      {{"--vip", "203.0.113.10:80", "--vip", "203.0.113.11"}, {.vip = ip("203.0.113.11")}},
  };
  for (const Case& c : cases) {
    INFO(Catch::Detail::stringify(c.words));
    Words words = c.words;
    words.insert(words.begin(), "flows");
    const auto arguments = parse_arguments(words);
    REQUIRE(arguments.has_value());
    CHECK(arguments->command == Command::flows);
    CHECK(arguments->flows == c.expected);
  }
}

TEST_CASE("a bad value of an option of flows is refused, naming it and what was expected") {
  struct Case {
    const char* option;
    const char* expected;
    std::vector<const char*> values;
  };
  const Case cases[] = {
      {"--vip",
       "an address, with or without a port",
       {"",
        "web",
        "203.0.113",
        "203.0.113.10:",
        "203.0.113.10:65536",
        "203.0.113.10:-1",
        "203.0.113.10:+1",
        "203.0.113.10: 80",
        "203.0.113.10:0x50",
        ":80",
        "[203.0.113.10]:80",
        "203.0.113.0/24",
        "[2001:db8::10",
        "[2001:db8::10]80",
        "[2001:db8::10]:",
        "[]:80",
        "2001:db8::10]:80",
        "[[2001:db8::10]]:80",
        "2001:db8::10%eth0",
        "::ffff:203.0.113.10"}},
      {"--client",
       "an address or a prefix without bits behind its length",
       {"", "198.51.100.7/24", "198.51.100.0/33", "198.51.100.0/", "/24", "198.51.100.0/24:x",
        "2001:db8::/32:80", "[2001:db8::1/32]:80", "[2001:db8::]/32"}},
      {"--backend", "an address", {"", "10.0.0.1:80", "[fd00::b]", "10.0.0.0/8", "b1"}},
      {"--protocol", "tcp or udp", {"", "sctp", "6", "Tcp"}},
  };
  for (const Case& c : cases)
    for (const char* value : c.values) {
      INFO(c.option << " " << value);
      const auto arguments = parse_arguments(Words{"flows", c.option, value});
      REQUIRE_FALSE(arguments.has_value());
      CHECK_THAT(
          arguments.error().message(),
          Catch::Matchers::StartsWith(std::string{c.option} + ": '" + value + "': " + c.expected));
    }
}

TEST_CASE("every command has a help that starts with its usage") {
  CHECK(help_text({}).starts_with("usage: lbctl [--socket PATH] COMMAND"));
  for (const char* name :
       {"status", "services", "backends", "stats", "flows", "reload", "replay"}) {
    const auto arguments = parse_arguments(Words{name, "--help"});
    REQUIRE(arguments.has_value());
    const std::string first{help_text(arguments->help_about).substr(0, 60)};
    CHECK_THAT(first, Catch::Matchers::StartsWith("usage: lbctl ") &&
                          Catch::Matchers::Contains(std::string{" "} + name + " "));
  }
}
