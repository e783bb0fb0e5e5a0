// What must hold between services, what a reload may change, and what random damage does.
#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "lb/config/config.h"

namespace lbd::config {
namespace {

/// A file whose services, one a line, begin at line 5.
std::string with_services(const std::vector<std::string>& services) {
  std::string text =
      "apiVersion: lbd.io/v1alpha1\n"
      "kind: LoadBalancer\n"
      "node: {interfaces: [lan0]}\n"
      "services:\n";
  for (const std::string& service : services) text += "- {" + service + "}\n";
  return text;
}

std::vector<std::string> places_of(const std::vector<Finding>& findings) {
  std::vector<std::string> places;
  places.reserve(findings.size());
  for (const Finding& f : findings)
    places.push_back(fmt::format("{}:{}: {}", f.line, f.column, f.key));
  return places;
}

std::string content_of(const char* source) {
  std::ifstream file{std::filesystem::path{LBD_SOURCE_DIR} / source, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

std::string backends(int count) {
  std::string list = "backends: [";
  for (int i = 0; i < count; i++)
    list += fmt::format("{}{{address: 10.{}.{}.{}}}", i == 0 ? "" : ", ", 1 + i / 62500,
                        i / 250 % 250, 1 + i % 250);
  return list + "]";
}

}  // namespace

TEST_CASE("services do not take each other's frontends, nor become backends") {
  struct Case {
    const char* name;
    std::vector<std::string> services;
    std::vector<std::string> errors;
    std::string expected;  // of the first error
  };
  const std::vector<Case> cases = {
      {"the same port of one address",
       {"name: a, addresses: [192.0.2.1, 192.0.2.2], ports: [{port: 80}], backends: []",
        "name: b, addresses: [192.0.2.2], ports: [{port: 80}], backends: []"},
       {"6:25: services[1].addresses[0]"},
       "192.0.2.2:80 TCP belongs to service 'a'"},
      {"the same port of one IPv6 address, written otherwise",
       {"name: a, addresses: ['2001:db8::1'], ports: [{port: 80}], backends: []",
        "name: b, addresses: ['2001:DB8:0::1'], ports: [{port: 80}], backends: []"},
       {"6:25: services[1].addresses[0]"},
       "[2001:db8::1]:80 TCP belongs to service 'a'"},
      {"another port, another protocol or another address is no overlap",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 80}], backends: []",
        "name: b, addresses: [192.0.2.1], ports: [{port: 81}], backends: []",
        "name: c, addresses: [192.0.2.1], ports: [{port: 80, protocol: UDP}], backends: []",
        "name: d, addresses: [192.0.2.2], ports: [{port: 80}], backends: []"},
       {},
       ""},
      {"every port beside a specific one is no overlap",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 0}], backends: []",
        "name: b, addresses: [192.0.2.1], ports: [{port: 80}], backends: []"},
       {},
       ""},
      {"every port twice is one",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 0}], backends: []",
        "name: b, addresses: [192.0.2.1], ports: [{port: 80}, {port: 0}], backends: []"},
       {"6:25: services[1].addresses[0]"},
       "192.0.2.1:0 TCP belongs to service 'a'"},
      {"an overlap with each of two services is two errors, many ports with one are one",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 1}, {port: 2}], backends: []",
        "name: b, addresses: [192.0.2.1], ports: [{port: 3}], backends: []",
        "name: c, addresses: [192.0.2.1], ports: [{port: 1}, {port: 2}, {port: 3}], backends: []"},
       {"7:25: services[2].addresses[0]", "7:25: services[2].addresses[0]"},
       "192.0.2.1:1 TCP belongs to service 'a'"},
      {"a name twice",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 80}], backends: []",
        "name: a, addresses: [192.0.2.2], ports: [{port: 80}], backends: []"},
       {"6:4: services[1].name"},
       "'a' is taken"},
      {"an address, a port and a backend twice in one service",
       {"name: a, addresses: [192.0.2.1, 192.0.2.1], ports: [{port: 80}, {port: 80, protocol: "
        "TCP}],"
        " backends: [{address: 10.0.0.1}, {address: 10.0.0.1, weight: 1}]"},
       {"5:36: services[0].addresses[1]", "5:68: services[0].ports[1]",
        "5:129: services[0].backends[1].address"},
       "repeats services[0].addresses[0]"},
      {"one backend of two services is good",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 80}], backends: [{address: 10.0.0.1}]",
        "name: b, addresses: [192.0.2.2], ports: [{port: 80}], backends: [{address: 10.0.0.1}]"},
       {},
       ""},
      {"a VIP as a backend, of its own service and of another",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 80}], backends: [{address: 192.0.2.1}]",
        "name: b, addresses: [192.0.2.2], ports: [{port: 80}], backends: [{address: 192.0.2.1}]"},
       {"5:79: services[0].backends[0].address", "6:79: services[1].backends[0].address"},
       "192.0.2.1 is an address of service 'a'"},
      {"services of one address agree on unknown ports, also by default",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 80}], backends: []",
        "name: b, addresses: [192.0.2.1], ports: [{port: 81}], backends: [], unknownPorts: pass",
        "name: c, addresses: [192.0.2.1], ports: [{port: 82}], backends: [], unknownPorts: drop"},
       {"6:86: services[1].unknownPorts"},
       "the unknownPorts of service 'a', which has address 192.0.2.1 too"},
      {"a disagreement by default is at the name",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 80}], backends: [], unknownPorts: pass",
        "name: b, addresses: [192.0.2.1], ports: [{port: 81}], backends: []"},
       {"6:4: services[1].name"},
       "the unknownPorts of service 'a'"},
      {"a bad unknownPorts is one error, not a disagreement too",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 80}], backends: [], unknownPorts: keep",
        "name: b, addresses: [192.0.2.1], ports: [{port: 81}], backends: [], unknownPorts: pass"},
       {"5:86: services[0].unknownPorts"},
       "drop or pass, got 'keep'"},
      {"a service without a good name is named by its line",
       {"name: /, addresses: [192.0.2.1], ports: [{port: 80}], backends: []",
        "name: b, addresses: [192.0.2.1], ports: [{port: 80}], backends: []"},
       {"5:10: services[0].name", "6:25: services[1].addresses[0]"},
       "got '/'"},
      {"more backends than rows",
       {"name: a, tableSize: 251, addresses: [192.0.2.1], ports: [{port: 1}], " + backends(252)},
       {"5:24: services[0].tableSize"},
       "at least 252"},
      {"more backends than slots",
       {"name: a, addresses: [192.0.2.1], ports: [{port: 1}], " + backends(32767)},
       {"5:67: services[0].backends"},
       "at most 32766 backends, got 32767"},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const Loaded loaded = parse(with_services(c.services));
    CHECK(places_of(loaded.errors) == c.errors);
    if (!loaded.errors.empty()) {
      INFO(loaded.errors[0].expected);
      CHECK(loaded.errors[0].expected.find(c.expected) != std::string::npos);
    }
  }
}

TEST_CASE("frontends are counted before they are compared") {
  std::string addresses = "addresses: [";
  for (int i = 0; i < 1001; i++)
    addresses += fmt::format("{}10.9.{}.{}", i == 0 ? "" : ", ", i / 250, 1 + i % 250);
  std::string ports = "ports: [";
  for (int i = 0; i < 1000; i++) ports += fmt::format("{}{{port: {}}}", i == 0 ? "" : ", ", i);
  const Loaded loaded =
      parse(with_services({"name: a, " + addresses + "], " + ports + "], backends: []"}));
  CHECK(places_of(loaded.errors) == std::vector<std::string>{"5:4: services[0].name"});
}

TEST_CASE("what is allowed and probably not meant is a warning") {
  struct Case {
    const char* name;
    std::string text;
    std::vector<std::string> warnings;
  };
  const std::vector<Case> cases = {
      {"100 rows a backend are enough",
       with_services(
           {"name: a, tableSize: 401, addresses: [192.0.2.1], ports: [{port: 1}], " + backends(4)}),
       {}},
      {"fewer are not",
       with_services(
           {"name: a, tableSize: 401, addresses: [192.0.2.1], ports: [{port: 1}], " + backends(5)}),
       {"5:24: services[0].tableSize"}},
      {"fewer by default are not, at the name",
       with_services({"name: a, addresses: [192.0.2.1], ports: [{port: 1}], " + backends(656)}),
       {"5:4: services[0].name"}},
      {"as many backends as rows are no error",
       with_services({"name: a, tableSize: 251, addresses: [192.0.2.1], ports: [{port: 1}], " +
                      backends(251)}),
       {"5:24: services[0].tableSize"}},
      {"decapsulation for nobody",
       with_services({}) + "  []\ndecap: {enabled: true}\n",
       {"6:18: decap.enabled"}},
      {"decapsulation for an empty list",
       with_services({}) + "  []\ndecap: {allowFrom: [], enabled: true}\n",
       {"6:33: decap.enabled"}},
      {"no decapsulation for nobody", with_services({}) + "  []\ndecap: {enabled: false}\n", {}},
      {"a service for nobody",
       with_services({"name: a, addresses: [192.0.2.1], ports: [{port: 1}],"
                      " allowFrom: [], backends: []"}),
       {}},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const Loaded loaded = parse(c.text);
    CHECK(places_of(loaded.errors).empty());
    CHECK(places_of(loaded.warnings) == c.warnings);
  }
}

TEST_CASE("an empty allow list is nobody, a missing one everybody") {
  const Loaded loaded = parse(with_services(
      {"name: a, addresses: [192.0.2.1], ports: [{port: 1}], allowFrom: [], backends: []",
       "name: b, addresses: [192.0.2.2], ports: [{port: 1}], backends: []"}));
  REQUIRE(loaded.errors.empty());
  CHECK(loaded.config.services[0].allow_from.empty());
  CHECK(loaded.config.services[1].allow_from ==
        std::vector<Prefix>{*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")});
}

TEST_CASE("a finding is printed with the file's name in front") {
  CHECK(to_string(Finding{3, 7, "node.x", "expected y"}, "a/b.yaml") ==
        "a/b.yaml:3:7: node.x: expected y");
}

TEST_CASE("a file that cannot be read is an error, not a crash") {
  const auto expected_of = [](const Loaded& loaded) {
    REQUIRE(loaded.errors.size() == 1);
    CHECK(places_of(loaded.errors)[0] == "1:1: ");
    return loaded.errors[0].expected;
  };
  CHECK(expected_of(load("/nonexistent/lbd.yaml")) ==
        "expected a readable file: No such file or directory");
  CHECK(expected_of(load("/")) == "expected a readable file: Is a directory");
  CHECK(expected_of(load("/dev/null")) == "expected a configuration, got an empty file");
  CHECK(expected_of(load("/dev/zero")) == "expected a file of at most 16 MiB");
}

TEST_CASE("a reload may change all but what a running daemon is built on") {
  const Loaded loaded = parse(with_services(
      {"name: a, addresses: [192.0.2.1], ports: [{port: 1}], backends: [{address: 10.0.0.1}]",
       "name: b, addresses: [192.0.2.2], ports: [{port: 1}], backends: []"}));
  REQUIRE(loaded.errors.empty());
  const Config running = loaded.config;
  struct Case {
    const char* name;
    void (*change)(Config&);
    std::vector<std::string> keys;
  };
  const std::vector<Case> cases = {
      {"nothing", [](Config&) {}, {}},
      {"pinPath", [](Config& c) { c.node.pin_path = "/sys/fs/bpf/x"; }, {"node.pinPath"}},
      {"stateDir", [](Config& c) { c.node.state_dir = "/x"; }, {"node.stateDir"}},
      {"the socket", [](Config& c) { c.admin_socket = "/x"; }, {"admin.socket"}},
      {"hashKey", [](Config& c) { c.hash_key[3] ^= 1; }, {"hashKey"}},
      {"the sizes of the connection table",
       [](Config& c) {
         c.connection_table.entries++;
         c.connection_table.starts++;
       },
       {"connectionTable.entries", "connectionTable.starts"}},
      {"a service's table and hash, though another comes before it",
       [](Config& c) {
         c.services.insert(c.services.begin(), Service{});
         c.services[2].table_size = 251;
         c.services[2].hash = HashMode::source_ip;
       },
       {"services[2].tableSize", "services[2].hash"}},
      {"the table of a service that is renamed: a new one",
       [](Config& c) {
         c.services[0].name = "c";
         c.services[0].table_size = 251;
       },
       {}},
      {"all else",
       [](Config& c) {
         c.node.interfaces = {"lan1"};
         c.node.xdp_mode = XdpMode::generic;
         c.node.tunnel_source.ipv4 = *IpAddress::parse("10.0.0.9");
         c.connection_table.tcp_idle *= 2;
         c.connection_table.tcp_closing *= 2;
         c.connection_table.udp_idle *= 2;
         *c.connection_table.change_wait *= 2;
         c.decap.enabled = true;
         c.decap.allow_from = {*Prefix::parse("10.0.0.0/8")};
         Service& s = c.services[0];
         s.addresses = {*IpAddress::parse("192.0.2.9")};
         s.ports = {{Port{2}, Protocol::udp}};
         s.unknown_ports = UnknownPorts::pass;
         s.connection_tracking = false;
         s.removed_backends = RemovedBackends::reset;
         s.allow_from.clear();
         s.backends.clear();
         c.services.pop_back();
       },
       {}},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    Config next = running;
    c.change(next);
    std::vector<std::string> keys;
    for (const Finding& finding : fixed_keys_changed(running, next)) {
      CHECK(std::pair{finding.line, finding.column} == std::pair{1U, 1U});
      CHECK(finding.expected.starts_with("cannot change while lbd runs: expected "));
      keys.push_back(finding.key);
    }
    CHECK(keys == c.keys);
  }
}

TEST_CASE("JSON is YAML") {
  const Loaded loaded = parse(
      R"({"apiVersion":"lbd.io/v1alpha1","kind":"LoadBalancer","node":{"interfaces":["lan0"]},)"
      "\n\t"
      R"("services":[{"name":"a","addresses":["2001:db8::1"],"ports":[{"port":80}],"backends":[]}]})");
  REQUIRE(loaded.errors.empty());
  CHECK(loaded.config.services.size() == 1);
}

TEST_CASE("the documentation has every key") {
  const std::string docs = content_of("docs/configuration.md");
  const Loaded loaded = parse(
      "x: 1\nnode: {interfaces: [a], x: 1, tunnelSource: {x: 1}}\nconnectionTable: {x: 1}\n"
      "decap: {x: 1}\nadmin: {x: 1}\nservices: [{x: 1, ports: [{x: 1}], backends: [{x: 1}]}]\n");
  std::size_t mappings = 0;
  for (const Finding& finding : loaded.errors) {
    constexpr std::string_view before = "unknown key; expected one of: ";
    if (!finding.expected.starts_with(before)) continue;
    mappings++;
    const std::string parent = finding.key.substr(0, finding.key.size() - 1);
    std::istringstream keys{finding.expected.substr(before.size())};
    for (std::string key; std::getline(keys >> std::ws, key, ',');) {
      // Below lists the tables name keys alone.
      const std::string shown = parent.starts_with("services[") ? key : parent + key;
      INFO(shown);
      CHECK(docs.find("| `" + shown) != std::string::npos);
    }
  }
  CHECK(mappings == 9);
}

TEST_CASE("a damaged file is read or refused, never more") {
  const std::string good = content_of("config/appliance.yaml");
  REQUIRE(good.size() > 500);
  constexpr std::string_view likely = "[]{}:,-&*!|>'\"#%@`~? \n\t\r\\0\xff\x80\xe2";
  std::mt19937 random{20240229};
  const auto below = [&](std::size_t limit) { return random() % limit; };
  std::size_t refused = 0;
  for (int round = 0; round < 4000; round++) {
    std::string text = good;
    for (std::size_t edits = 1 + below(4); edits > 0; edits--) {
      const std::size_t at = below(text.size());
      switch (below(4)) {
        case 0:
          text[at] = likely[below(likely.size())];
          break;
        case 1:
          text.insert(at, 1, likely[below(likely.size())]);
          break;
        case 2:
          text.erase(at, 1 + below(20));
          break;
        default:
          text.insert(at, text.substr(below(text.size()), 1 + below(40)));
          break;
      }
    }
    const Loaded loaded = parse(text);
    for (const Finding& finding : loaded.errors) {
      const std::string line = to_string(finding, "f");
      INFO("round " << round << ": " << line << "\n" << text);
      REQUIRE(finding.line >= 1);
      REQUIRE(finding.line <= 1 + std::count(text.begin(), text.end(), '\n'));
      REQUIRE(finding.column >= 1);
      REQUIRE(line.find('\n') == std::string::npos);
    }
    refused += loaded.errors.empty() ? 0 : 1;
  }
  CHECK(refused > 1000);
  CHECK(refused < 4000);
}

}  // namespace lbd::config
