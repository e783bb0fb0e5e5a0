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
      {{"stats", "--service", "web"}, "--service belongs to backends"},
  };
  for (const Case& c : cases) {
    INFO(Catch::Detail::stringify(c.words));
    const auto arguments = parse_arguments(c.words);
    REQUIRE_FALSE(arguments.has_value());
    CHECK_THAT(arguments.error().message(), Catch::Matchers::Contains(c.named));
  }
}

TEST_CASE("every command has a help that starts with its usage") {
  CHECK(help_text({}).starts_with("usage: lbctl [--socket PATH] COMMAND"));
  for (const char* name : {"status", "services", "backends", "stats", "reload", "replay"}) {
    const auto arguments = parse_arguments(Words{name, "--help"});
    REQUIRE(arguments.has_value());
    const std::string first{help_text(arguments->help_about).substr(0, 60)};
    CHECK_THAT(first, Catch::Matchers::StartsWith("usage: lbctl ") &&
                          Catch::Matchers::Contains(std::string{" "} + name + " "));
  }
}
