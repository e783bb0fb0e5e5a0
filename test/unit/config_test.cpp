#include "lb/config/config.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

namespace lbd::config {
namespace {

using namespace std::chrono_literals;

/// Lines 1–3 of a file: the rest begins at line 4.
constexpr std::string_view head =
    "apiVersion: lbd.io/v1alpha1\n"
    "kind: LoadBalancer\n"
    "node: {interfaces: [lan0]}\n";

/// Lines 4–8; lines indented by two add to it.
constexpr std::string_view web =
    "services:\n"
    "- name: web\n"
    "  addresses: [203.0.113.10]\n"
    "  ports: [{port: 80}]\n"
    "  backends: [{address: 10.0.0.11}]\n";

std::string text_of(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}

std::filesystem::path sample(const char* name) {
  return std::filesystem::path{LBD_SOURCE_DIR} / "config" / name;
}

/// "LINE:COLUMN: KEY" and a part of what was expected there.
struct Wanted {
  std::string at;
  std::string expected;
};

std::string lines_of(const std::vector<Finding>& findings) {
  std::string lines;
  for (const Finding& finding : findings) lines += to_string(finding, "f") + "\n";
  return lines;
}

void check(const std::vector<Finding>& got, const std::vector<Wanted>& wanted) {
  INFO("got:\n" << lines_of(got));
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); i++) {
    const std::string line = to_string(got[i], "f");
    INFO("wanted: " << wanted[i].at << ": …" << wanted[i].expected);
    CHECK(line.starts_with("f:" + wanted[i].at + ": "));
    CHECK(got[i].expected.find(wanted[i].expected) != std::string::npos);
  }
}

struct Case {
  const char* name;
  std::string text;
  std::vector<Wanted> errors;
  std::vector<Wanted> warnings = {};
};

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.name << "\n" << c.text.substr(0, 1000));
    const Loaded loaded = parse(c.text);
    check(loaded.errors, c.errors);
    check(loaded.warnings, c.warnings);
  }
}

}  // namespace

TEST_CASE("a configuration with every key is read as it is written") {
  const Loaded loaded = load(sample("appliance.yaml"));
  check(loaded.errors, {});
  check(loaded.warnings, {});
  const Config& config = loaded.config;

  CHECK(config.node.interfaces == std::vector<std::string>{"lan0"});
  CHECK(config.node.xdp_mode == XdpMode::automatic);
  CHECK(config.node.tunnel_source == TunnelSource{address("10.0.0.2"), address("fd01::2")});
  CHECK(config.node.pin_path == "/sys/fs/bpf/lbd");
  CHECK(config.node.state_dir == "/var/lib/lbd");
  CHECK(config.hash_key == HashKey{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,  //
                                   0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef});
  CHECK(config.connection_table == ConnectionTable{1048576, 1048576, 125min, 120s, 60s, 10min});
  CHECK(config.decap == Decap{true, {*Prefix::parse("10.0.0.0/8")}});
  CHECK(config.admin_socket == "/run/lbd/lbd.sock");

  REQUIRE(config.services.size() == 1);
  const Service& service = config.services[0];
  CHECK(service.name == "web");
  CHECK(service.addresses ==
        std::vector<IpAddress>{address("203.0.113.10"), address("2001:db8:1::10")});
  CHECK(service.ports == std::vector<ServicePort>{{Port{80}, Protocol::tcp},  //
                                                  {Port{0}, Protocol::udp}});
  CHECK(service.unknown_ports == UnknownPorts::drop);
  CHECK(service.forwarding == Forwarding::ipip);
  CHECK(service.table_size == 65537);
  CHECK(service.hash == HashMode::five_tuple);
  CHECK(service.connection_tracking);
  CHECK(service.removed_backends == RemovedBackends::drain);
  CHECK(service.allow_from ==
        std::vector<Prefix>{*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")});
  CHECK(service.backends == std::vector<Backend>{{address("10.0.0.11"), 100, AdminState::enabled},
                                                 {address("10.0.0.12"), 50, AdminState::drain},
                                                 {address("fd01::13"), 100, AdminState::disabled}});
}

TEST_CASE("what a configuration leaves out has the documented default") {
  const Loaded loaded = load(sample("minimal.yaml"));
  check(loaded.errors, {});
  check(loaded.warnings, {});

  Config wanted;
  wanted.node.interfaces = {"eth0"};
  wanted.hash_key = {0x24, 0x3f, 0x6a, 0x88, 0x85, 0xa3, 0x08, 0xd3,
                     0x13, 0x19, 0x8a, 0x2e, 0x03, 0x70, 0x73, 0x44};
  Service service;
  service.name = "web";
  service.addresses = {address("203.0.113.10")};
  service.ports = {{Port{80}, Protocol::tcp}};
  service.allow_from = {*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")};
  service.backends = {{address("10.0.0.11"), 100, AdminState::enabled},
                      {address("10.0.0.12"), 100, AdminState::enabled}};
  wanted.services = {service};
  CHECK(loaded.config == wanted);
  CHECK(wanted.node.xdp_mode == XdpMode::automatic);
  CHECK(wanted.node.pin_path == "/sys/fs/bpf/lbd");
  CHECK(wanted.node.state_dir == "/var/lib/lbd");
  CHECK(wanted.admin_socket == "/run/lbd/lbd.sock");
  CHECK(wanted.decap == Decap{false, {}});
  CHECK(wanted.connection_table == ConnectionTable{1048576, 1048576, 125min, 120s, 60s, 10min});
}

TEST_CASE("every sample configuration is good") {
  std::size_t samples = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator{std::filesystem::path{LBD_SOURCE_DIR} / "config"}) {
    INFO(entry.path());
    const Loaded loaded = load(entry.path());
    check(loaded.errors, {});
    check(loaded.warnings, {});
    samples++;
  }
  CHECK(samples >= 4);
}

TEST_CASE("an alias stands for what its anchor has") {
  const Loaded loaded = load(sample("many-services.yaml"));
  REQUIRE(loaded.config.services.size() == 3);
  CHECK(loaded.config.services[1].backends.size() == 3);
  CHECK(loaded.config.services[0].backends == loaded.config.services[1].backends);
}

TEST_CASE("all errors of a file are reported at once, in the order of their places") {
  const std::string text =
      "apiVersion: v1\n"                                  // 1
      "node:\n"                                           // 2
      "  interfaces: [lan0, lan0, 'a/b']\n"               // 3
      "  xdpMode: fast\n"                                 // 4
      "  speed: 10\n"                                     // 5
      "hashKey: 0123\n"                                   // 6
      "connectionTable: {entries: '4096', tcpIdle: 5}\n"  // 7
      "services:\n"                                       // 8
      "- name: web\n"                                     // 9
      "  addresses: [203.0.113.10, nowhere]\n"            // 10
      "  ports: [{port: 80}, {port: 70000}, {}]\n"        // 11
      "  tableSize: 65536\n"                              // 12
      "  backends:\n"                                     // 13
      "  - {address: 10.0.0.11, weight: -1}\n"            // 14
      "  - {address: 10.0.0.11, weight: 1, weight: 2}\n"  // 15
      "- name: web\n"                                     // 16
      "  addresses: [203.0.113.10]\n"                     // 17
      "  ports: [{port: 80, protocol: TCP}]\n"            // 18
      "  backends: ~\n";                                  // 19
  check({{"many errors",
          text,
          {{"1:1: kind", "required"},
           {"1:13: apiVersion", "expected lbd.io/v1alpha1, got 'v1'"},
           {"3:22: node.interfaces[1]", "once; it repeats node.interfaces[0]"},
           {"3:28: node.interfaces[2]", "got 'a/b'"},
           {"4:12: node.xdpMode", "auto or native or generic, got 'fast'"},
           {"5:3: node.speed",
            "unknown key; expected one of: interfaces, xdpMode, tunnelSource, pinPath, stateDir"},
           {"6:10: hashKey", "32 hexadecimal digits, got '0123'"},
           {"7:28: connectionTable.entries", "16..67108864, got '4096' in quotes"},
           {"7:45: connectionTable.tcpIdle", "ms, s, m or h, got '5'"},
           {"10:29: services[0].addresses[1]", "'nowhere' is no IP address"},
           {"11:30: services[0].ports[1].port", "an integer of 0..65535, got '70000'"},
           {"11:38: services[0].ports[2].port", "required"},
           {"12:14: services[0].tableSize", "a prime number of 251..655373, got '65536'"},
           {"14:34: services[0].backends[0].weight", "an integer of 0..65535, got '-1'"},
           {"15:6: services[0].backends[1].address", "repeats services[0].backends[0].address"},
           {"15:37: services[0].backends[1].weight", "each key once"},
           {"16:3: services[1].name", "'web' is taken"},
           {"17:15: services[1].addresses[0]", "203.0.113.10:80 TCP belongs to service 'web'"},
           {"19:13: services[1].backends", "a list of backends, got nothing"}}}});
}

TEST_CASE("a text that is no configuration at all is one error") {
  check({
      {"an empty file", "", {{"1:1: (file)", "got an empty file"}}},
      {"comments alone", "# nothing\n", {{"1:1: (file)", "got an empty file"}}},
      {"a scalar", "lbd\n", {{"1:1: (file)", "a mapping of keys to values, got 'lbd'"}}},
      {"a list", "\n- a\n", {{"2:1: (file)", "a mapping of keys to values, got a list"}}},
      {"nothing, written out", "~\n", {{"1:1: (file)", "got nothing"}}},
      {"a syntax error", "apiVersion: x\nkind: [\n", {{"3:1: (file)", "expected YAML: "}}},
      {"a value of a value", "a: b: c\n", {{"1:5: (file)", "expected YAML: illegal map value"}}},
      {"an unknown alias", "a: *b\n", {{"1:4: (file)", "expected YAML: the referenced anchor"}}},
      {"an alias within its own anchor", "a: &b [c, *b]\n", {{"1:11: (file)", "inside its own"}}},
      {"a second document",
       text_of({head, "services: []\n---\na: b\n"}),
       {{"5:1: (file)", "one document"}}},
      {"a NUL byte", std::string{"a: b\nc\0d: e\n", 12}, {{"2:2: (file)", "character 0x00"}}},
      {"Latin-1", "a: caf\xe9\n", {{"1:7: (file)", "UTF-8"}}},
      {"an overlong form", "a: \xc0\xaf\n", {{"1:4: (file)", "UTF-8"}}},
      {"half a character at the end", "a: \xe2\x82", {{"1:4: (file)", "UTF-8"}}},
      {"a surrogate", "a: \xed\xa0\x80\n", {{"1:4: (file)", "UTF-8"}}},
      {"UTF-16",
       std::string{"\xff\xfe"
                   "a\0:\0",
                   6},
       {{"1:1: (file)", "UTF-8"}}},
      {"another major version", "%YAML 3.0\n---\na: b\n", {{"1:1: (file)", "version too large"}}},
  });
}

TEST_CASE("documents that would grow without bounds are one error at the place") {
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int level = 1; level < 10; level++) {
    const std::string below = "*a" + std::to_string(level - 1);
    const std::string name = "a" + std::to_string(level);
    laughs.append(name).append(": &").append(name).append(" [").append(below);
    for (int i = 1; i < 10; i++) laughs += ", " + below;
    laughs += "]\n";
  }
  std::string long_texts = "a: &a '" + std::string(100'000, 'x') + "'\nb:\n";
  for (int i = 0; i < 1000; i++) long_texts += "- *a\n";
  const std::string deep = "a: " + std::string(100, '[') + std::string(100, ']');
  std::string deep_block;
  for (int i = 0; i < 40; i++) deep_block += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  check({
      // 123,353 values are there before the aliases of a5, which add 111,111 each.
      {"a billion laughs", laughs, {{"6:45: (file)", "at most 1000000 values"}}},
      {"aliases of a long text", long_texts, {{"641:3: (file)", "at most 1000000 values"}}},
      {"deep brackets", deep, {{"1:35: (file)", "at most 32 levels of nesting"}}},
      {"deep mappings", deep_block, {{"33:33: (file)", "at most 32 levels of nesting"}}},
      {"values without end",
       [] {
         std::string text = "a:\n";
         for (int i = 0; i < 1'000'000; i++) text += "- 1\n";
         return text;
       }(),
       {{"999999:3: (file)", "at most 1000000 values"}}},
      {"brackets without end",
       "a: " + std::string(2'000'001, '['),
       {{"1:2000003: (file)", "at most 2000000 of"}}},
      {"a file of more than 16 MiB",
       std::string((16U << 20) + 1, '#'),
       {{"1:1: (file)", "at most 16 MiB"}}},
  });
}

TEST_CASE("keys are expected where they belong, once, and those required are there") {
  check({
      {"an empty mapping lacks all that is required",
       "{}\n",
       {{"1:1: apiVersion", "required"},
        {"1:1: kind", "required"},
        {"1:1: node.interfaces", "required"},
        {"1:1: services", "required"}}},
      {"a service, a port and a backend lack theirs",
       text_of({head,
                "services:\n- {}\n- {name: a, addresses: [192.0.2.1], ports: [{}], backends: [{}]}"
                "\n"}),
       {{"5:3: services[0].name", "required"},
        {"5:3: services[0].addresses", "required"},
        {"5:3: services[0].ports", "required"},
        {"5:3: services[0].backends", "required"},
        {"6:45: services[1].ports[0].port", "required"},
        {"6:61: services[1].backends[0].address", "required"}}},
      {"an interface list is missing in node",
       "apiVersion: lbd.io/v1alpha1\nkind: LoadBalancer\nnode: {xdpMode: auto}\nservices: []\n",
       {{"3:7: node.interfaces", "required"}}},
      {"other kinds and versions are not ours",
       "apiVersion: lbd.io/v1\nkind: Service\nnode: {interfaces: [a]}\nservices: []\n",
       {{"1:13: apiVersion", "lbd.io/v1alpha1"}, {"2:7: kind", "LoadBalancer"}}},
      {"a key twice is an error at the second, and at each further",
       text_of({head, "services: []\nkind: LoadBalancer\nkind: x\n"}),
       {{"5:1: kind", "each key once"}, {"6:1: kind", "each key once"}}},
      {"the same key in quotes is the same",
       text_of({head, "services: []\n\"kind\": LoadBalancer\n"}),
       {{"5:1: kind", "each key once"}}},
      {"unknown keys at every level",
       text_of({head, "Services: []\n", web, "  mode: x\n  \"\\n\": 1\n"}),
       {{"4:1: Services", "unknown key; expected one of: apiVersion, kind, node, hashKey"},
        {"10:3: services[0].mode", "unknown key"},
        {"11:3: services[0].\\x0a", "unknown key"}}},
      {"merge keys are not known",
       text_of({head, web, "  <<: {}\n"}),
       {{"9:3: services[0].<<", "unknown key"}}},
      {"a key that is no name",
       text_of({head, "services: []\n? [a]\n: b\n"}),
       {{"5:3: (file)", "a name as key, got a list"}}},
      {"columns count characters, not bytes",
       text_of({head,
                "services: [{\"näme\": a, x: 1, name: web, addresses: [192.0.2.1],"
                " ports: [{port: 1}], backends: []}]\n"}),
       {{"4:13: services[0].näme", "unknown key"}, {"4:24: services[0].x", "unknown key"}}},
      {"a byte order mark and CRLF are no matter",
       "\xef\xbb\xbf"
       "apiVersion: lbd.io/v1alpha1\r\nkind: LoadBalancer\r\n"
       "node: {interfaces: [a]}\r\nservices: []\r\nx: 1\r\n",
       {{"5:1: x", "unknown key"}}},
  });
}

TEST_CASE("values have the type that their key expects") {
  check({
      {"lists, mappings and scalars are told apart",
       text_of({"apiVersion: [a]\nkind: {}\nnode: lan0\nconnectionTable: []\ndecap: true\n"
                "admin: /run\nservices: {}\n"}),
       {{"1:13: apiVersion", "lbd.io/v1alpha1, got a list"},
        {"2:7: kind", "LoadBalancer, got a mapping"},
        {"3:7: node", "a mapping of keys to values, got 'lan0'"},
        {"4:18: connectionTable", "a mapping of keys to values, got a list"},
        {"5:8: decap", "a mapping of keys to values, got 'true'"},
        {"6:8: admin", "a mapping of keys to values, got '/run'"},
        {"7:11: services", "a list of services, got a mapping"}}},
      {"nothing is no list; it is placed at its key where it is not written",
       text_of({head, "services:\n"}),
       {{"4:1: services", "a list of services, got nothing"}}},
      {"nothing in the middle, and nothing written out",
       text_of({"apiVersion: lbd.io/v1alpha1\nkind: LoadBalancer\nnode:\nservices: null\n"}),
       {{"3:1: node", "got nothing"}, {"4:11: services", "got nothing"}}},
      {"items that are nothing",
       text_of({head, "services:\n-\n- ~\n"}),
       {{"5:1: services[0]", "a mapping of keys to values, got nothing"},
        {"6:3: services[1]", "a mapping of keys to values, got nothing"}}},
      {"an integer is plain and decimal",
       text_of({head, web, "  tableSize: '65537'\n"}),
       {{"9:14: services[0].tableSize", "'65537' in quotes"}}},
      {"integers in other forms",
       text_of({head, "services:\n- name: a\n  addresses: [192.0.2.1]\n  backends: []\n  ports:\n",
                "  - {port: 0x50}\n  - {port: +80}\n  - {port: 080}\n  - {port: 80.0}\n",
                "  - {port: 8_0}\n  - {port: ~}\n  - {port: [80]}\n",
                "  - {port: 99999999999999999999}\n  - {port: !!int 80}\n"}),
       {{"9:12: services[0].ports[0].port", "got '0x50'"},
        {"10:12: services[0].ports[1].port", "got '+80'"},
        {"11:12: services[0].ports[2].port", "got '080'"},
        {"12:12: services[0].ports[3].port", "got '80.0'"},
        {"13:12: services[0].ports[4].port", "got '8_0'"},
        {"14:12: services[0].ports[5].port", "got nothing"},
        {"15:12: services[0].ports[6].port", "got a list"},
        {"16:12: services[0].ports[7].port", "got '99999999999999999999'"},
        {"17:12: services[0].ports[8].port", "got a value with a YAML tag"}}},
      {"a boolean is plain true or false",
       text_of({head, web, "  connectionTracking: yes\n"}),
       {{"9:23: services[0].connectionTracking", "true or false, got 'yes'"}}},
      {"a boolean in quotes is text",
       text_of({head, "services: []\ndecap: {enabled: 'true'}\n"}),
       {{"5:18: decap.enabled", "true or false, got 'true' in quotes"}}},
      {"text is not nothing, not empty and on one line",
       text_of({head, "services:\n- {name: , addresses: [], ports: [], backends: []}\n",
                "- {name: '', addresses: 10.0.0.1, ports: 80, backends: 10.0.0.2}\n",
                "- {name: \"a\\nb\", addresses: {}, ports: {}, backends: {}}\n"}),
       {{"5:4: services[0].name", "got nothing"},
        {"5:23: services[0].addresses", "at least one, got none"},
        {"5:34: services[0].ports", "at least one, got none"},
        {"6:10: services[1].name", "got ''"},
        {"6:25: services[1].addresses", "a list of addresses, got '10.0.0.1'"},
        {"6:42: services[1].ports", "a list of ports, got '80'"},
        {"6:56: services[1].backends", "a list of backends, got '10.0.0.2'"},
        {"7:10: services[2].name", "got 'a\\x0ab'"},
        {"7:29: services[2].addresses", "got a mapping"},
        {"7:40: services[2].ports", "got a mapping"},
        {"7:54: services[2].backends", "got a mapping"}}},
      {"long values are shown cut",
       text_of({head, "services: []\nhashKey: ", std::string(1000, 'a'), "\n"}),
       {{"5:10: hashKey", "got '" + std::string(64, 'a') + "…'"}}},
      {"an error inside an anchor is placed there, with each path that leads to it",
       text_of({head, "services:\n", "- {name: a, addresses: [192.0.2.1], ports: [{port: 1}],\n",
                "   backends: &b [{address: x}]}\n",
                "- {name: b, addresses: [192.0.2.2], ports: [{port: 1}], backends: *b}\n"}),
       {{"6:28: services[0].backends[0].address", "'x' is no IP address"},
        {"6:28: services[1].backends[0].address", "'x' is no IP address"}}},
      {"an alias is a value of its own place",
       text_of({head,
                "services:\n- name: a\n  addresses: [&a 192.0.2.1, *a]\n"
                "  ports: [{port: 1}]\n  backends: []\n"}),
       {{"6:29: services[0].addresses[1]", "repeats services[0].addresses[0]"}}},
  });
}

TEST_CASE("words are one of a closed set") {
  check({
      {"wrong words",
       text_of({head, web, "  unknownPorts: reject\n  forwarding: nat\n  hash: 3-tuple\n",
                "  removedBackends: keep\n"}),
       {{"9:17: services[0].unknownPorts", "drop or pass, got 'reject'"},
        {"10:15: services[0].forwarding", "ipip, got 'nat'"},
        {"11:9: services[0].hash", "5-tuple or source-ip, got '3-tuple'"},
        {"12:20: services[0].removedBackends", "drain or reset, got 'keep'"}}},
      {"wrong words of a port and a backend",
       text_of({head, "services:\n- name: a\n  addresses: [192.0.2.1]\n",
                "  ports: [{port: 1, protocol: tcp}, {port: 1, protocol: SCTP}]\n",
                "  backends: [{address: 10.0.0.1, state: Enabled}]\n"}),
       {{"7:31: services[0].ports[0].protocol", "TCP or UDP, got 'tcp'"},
        {"7:57: services[0].ports[1].protocol", "TCP or UDP, got 'SCTP'"},
        {"8:41: services[0].backends[0].state", "enabled or drain or disabled, got 'Enabled'"}}},
      {"gue has to wait",
       text_of({head, web, "  forwarding: gue\n"}),
       {{"9:15: services[0].forwarding", "'gue' is not available yet"}}},
      {"l2 has to wait",
       text_of({head, web, "  forwarding: l2\n"}),
       {{"9:15: services[0].forwarding", "'l2' is not available yet"}}},
      {"every other word is good",
       text_of({"apiVersion: 'lbd.io/v1alpha1'\nkind: \"LoadBalancer\"\n"
                "node: {interfaces: [lan0], xdpMode: generic}\n",
                web, "  unknownPorts: pass\n  hash: source-ip\n  removedBackends: reset\n",
                "  connectionTracking: false\n"}),
       {}},
  });
}

TEST_CASE("numbers and sizes have limits") {
  check({
      {"the ends of every range are good",
       text_of({head,
                "connectionTable: {entries: 16, starts: 67108864, tcpIdle: 1ms, tcpClosing: 17h,\n"
                "  udpIdle: 1020m, changeWait: 604800000ms}\n"
                "services:\n- name: a\n  addresses: [192.0.2.1]\n  tableSize: 251\n",
                "  ports: [{port: 0}, {port: 65535}]\n",
                "  backends: [{address: 10.0.0.1, weight: 0}, {address: 10.0.0.2, weight: 65535}]"
                "\n"}),
       {}},
      {"what is beyond them is not",
       text_of({head, "services: []\nconnectionTable:\n  entries: 15\n  starts: 67108865\n",
                "  tcpIdle: 0s\n  tcpClosing: 18h\n  udpIdle: 61200001ms\n  changeWait: 169h\n"}),
       {{"6:12: connectionTable.entries", "16..67108864, got '15'"},
        {"7:11: connectionTable.starts", "16..67108864, got '67108865'"},
        {"8:12: connectionTable.tcpIdle", "1ms..17h, an integer and ms, s, m or h, got '0s'"},
        {"9:15: connectionTable.tcpClosing", "1ms..17h, an integer and ms, s, m or h, got '18h'"},
        {"10:12: connectionTable.udpIdle",
         "1ms..17h, an integer and ms, s, m or h, got '61200001ms'"},
        {"11:15: connectionTable.changeWait",
         "forever or a duration of 1ms..168h, an integer and ms, s, m or h, got '169h'"}}},
      {"idle times that the stamps of flows can't tell",
       text_of({head, "services: []\nconnectionTable:\n  tcpIdle: 61201s\n  tcpClosing: 1021m\n",
                "  udpIdle: 168h\n  changeWait: -1s\n"}),
       {{"6:12: connectionTable.tcpIdle", "1ms..17h, an integer and ms, s, m or h, got '61201s'"},
        {"7:15: connectionTable.tcpClosing", "got '1021m'"},
        {"8:12: connectionTable.udpIdle", "got '168h'"},
        {"9:15: connectionTable.changeWait", "got '-1s'"}}},
      {"durations in other forms",
       text_of({head, "services: []\nconnectionTable:\n  tcpIdle: 1d\n  tcpClosing: 1 s\n",
                "  udpIdle: 1m30s\n  changeWait: s\n"}),
       {{"6:12: connectionTable.tcpIdle", "got '1d'"},
        {"7:15: connectionTable.tcpClosing", "got '1 s'"},
        {"8:12: connectionTable.udpIdle", "got '1m30s'"},
        {"9:15: connectionTable.changeWait", "got 's'"}}},
      {"table sizes below and above the range, and an even one",
       text_of({head, "services:\n",
                "- {name: a, addresses: [192.0.2.1], ports: [{port: 1}], backends: [],\n",
                "   tableSize: 241}\n",
                "- {name: b, addresses: [192.0.2.2], ports: [{port: 1}], backends: [],\n",
                "   tableSize: 655379}\n",
                "- {name: c, addresses: [192.0.2.3], ports: [{port: 1}], backends: [],\n",
                "   tableSize: 655373}\n",
                "- {name: d, addresses: [192.0.2.4], ports: [{port: 1}], backends: [],\n",
                "   tableSize: 252}\n"}),
       {{"6:15: services[0].tableSize", "got '241'"},
        {"8:15: services[1].tableSize", "got '655379'"},
        {"12:15: services[3].tableSize", "got '252'"}}},
      {"a hash key is 32 digits of either case, also without quotes",
       text_of({head, "services: []\nhashKey: 00112233445566778899AABBCCDDEEFF\n"}),
       {}},
      {"a hash key with another character",
       text_of({head, "services: []\nhashKey: 00112233445566778899aabbccddeefg\n"}),
       {{"5:10: hashKey", "32 hexadecimal digits"}}},
      {"a hash key with a digit too many",
       text_of({head, "services: []\nhashKey: 00112233445566778899aabbccddeeff0\n"}),
       {{"5:10: hashKey", "32 hexadecimal digits"}}},
  });
}

TEST_CASE("durations are read in their units") {
  const Loaded loaded = parse(
      text_of({head,
               "services: []\nconnectionTable: {tcpIdle: 1500ms, tcpClosing: '2s', udpIdle: 3m,"
               " changeWait: 4h}\n"}));
  check(loaded.errors, {});
  CHECK(loaded.config.connection_table.tcp_idle == 1500ms);
  CHECK(loaded.config.connection_table.tcp_closing == 2s);
  CHECK(loaded.config.connection_table.udp_idle == 3min);
  CHECK(loaded.config.connection_table.change_wait == 4h);
}

TEST_CASE("changeWait can be forever, and nothing else can") {
  const Loaded loaded =
      parse(text_of({head, "services: []\nconnectionTable: {changeWait: forever}\n"}));
  check(loaded.errors, {});
  CHECK_FALSE(loaded.config.connection_table.change_wait.has_value());
  check(parse(text_of({head, "services: []\nconnectionTable: {tcpIdle: forever}\n"})).errors,
        {{"5:28: connectionTable.tcpIdle", "got 'forever'"}});
}

TEST_CASE("names, paths and addresses are such that a node can use them") {
  check({
      {"interface names as the kernel has them",
       "apiVersion: lbd.io/v1alpha1\nkind: LoadBalancer\nservices: []\nnode:\n"
       "  interfaces: [abcdefghijklmno, abcdefghijklmnop, ., .., a/b, 'a b', 'a:b', eth0.10]\n",
       {{"5:33: node.interfaces[1]", "1..15 bytes"},
        {"5:51: node.interfaces[2]", "'.'"},
        {"5:54: node.interfaces[3]", "'..'"},
        {"5:58: node.interfaces[4]", "'a/b'"},
        {"5:63: node.interfaces[5]", "'a b'"},
        {"5:70: node.interfaces[6]", "'a:b'"}}},
      {"no interface at all",
       "apiVersion: lbd.io/v1alpha1\nkind: LoadBalancer\nservices: []\nnode: {interfaces: []}\n",
       {{"4:20: node.interfaces", "at least one, got none"}}},
      {"service names",
       text_of({head, "services:\n",
                "- {name: -a, addresses: [192.0.2.1], ports: [{port: 1}], backends: []}\n",
                "- {name: a., addresses: [192.0.2.2], ports: [{port: 1}], backends: []}\n",
                "- {name: a/b, addresses: [192.0.2.3], ports: [{port: 1}], backends: []}\n",
                "- {name: ", std::string(64, 'a'),
                ", addresses: [192.0.2.4], ports: [{port: 1}], backends: []}\n",
                "- {name: ", std::string(63, 'a'),
                ", addresses: [192.0.2.5], ports: [{port: 1}], backends: []}\n",
                "- {name: 8_0.x-Y, addresses: [192.0.2.6], ports: [{port: 1}], backends: []}\n"}),
       {{"5:10: services[0].name", "got '-a'"},
        {"6:10: services[1].name", "got 'a.'"},
        {"7:10: services[2].name", "got 'a/b'"},
        {"8:10: services[3].name", "1..63 letters"}}},
      {"paths are absolute, and a socket's is short",
       "apiVersion: lbd.io/v1alpha1\nkind: LoadBalancer\nservices: []\n"
       "node: {interfaces: [a], pinPath: lbd, stateDir: /}\n"
       "admin: {socket: /" +
           std::string(107, 'a') + "}\n",
       {{"4:34: node.pinPath", "an absolute path below /, got 'lbd'"},
        {"4:49: node.stateDir", "an absolute path below /, got '/'"},
        {"5:17: admin.socket", "at most 107 bytes"}}},
      {"the longest socket path",
       text_of({head, "services: []\nadmin: {socket: /", std::string(106, 'a'), "}\n"}),
       {}},
      {"the outer sources are of their family",
       "apiVersion: lbd.io/v1alpha1\nkind: LoadBalancer\nservices: []\n"
       "node: {interfaces: [a], tunnelSource: {ipv4: 'fd01::2', ipv6: 10.0.0.2, ipv5: x}}\n",
       {{"4:46: node.tunnelSource.ipv4", "an IPv4 address, got 'fd01::2'"},
        {"4:63: node.tunnelSource.ipv6", "an IPv6 address, got '10.0.0.2'"},
        {"4:73: node.tunnelSource.ipv5", "unknown key; expected one of: ipv4, ipv6"}}},
      {"addresses that no one host has, for a VIP",
       text_of({head, "services:\n- name: a\n  ports: [{port: 1}]\n  backends: []\n  addresses:\n",
                "  - 0.0.0.0\n  - 127.0.0.1\n  - 224.0.0.1\n  - 255.255.255.255\n",
                "  - 169.254.1.1\n  - 0.1.2.3\n  - '::'\n  - ::1\n  - ff02::1\n  - fe80::1\n",
                "  - ::ffff:10.0.0.1\n  - 10.0.0.1/32\n  - 10.0.0\n  - 010.0.0.1\n",
                "  - example.org\n"}),
       {{"9:5: services[0].addresses[0]", "the unspecified address"},
        {"10:5: services[0].addresses[1]", "a loopback address"},
        {"11:5: services[0].addresses[2]", "a multicast address"},
        {"12:5: services[0].addresses[3]", "the broadcast address"},
        {"13:5: services[0].addresses[4]", "a link-local address"},
        {"14:5: services[0].addresses[5]", "an address of network 0"},
        {"15:5: services[0].addresses[6]", "the unspecified address"},
        {"16:5: services[0].addresses[7]", "a loopback address"},
        {"17:5: services[0].addresses[8]", "a multicast address"},
        {"18:5: services[0].addresses[9]", "a link-local address"},
        {"19:5: services[0].addresses[10]", "IPv4-mapped"},
        {"20:5: services[0].addresses[11]", "'10.0.0.1/32' is no IP address"},
        {"21:5: services[0].addresses[12]", "'10.0.0' is no IP address"},
        {"22:5: services[0].addresses[13]", "'010.0.0.1' is no IP address"},
        {"23:5: services[0].addresses[14]", "'example.org' is no IP address"}}},
      {"and for a backend",
       text_of({head, "services:\n- name: a\n  ports: [{port: 1}]\n  addresses: [192.0.2.1]\n",
                "  backends: [{address: 127.0.0.1}, {address: 'fe80::1'}]\n"}),
       {{"8:24: services[0].backends[0].address", "a loopback address"},
        {"8:46: services[0].backends[1].address", "a link-local address"}}},
      {"prefixes",
       text_of({head, web,
                "  allowFrom: [10.0.0.1, 10.0.0.1/8, 10.0.0.0/33, 'fd00::/129', any, ~]\n",
                "decap: {enabled: true, allowFrom: [10.0.0.0/8, x/8]}\n"}),
       {{"9:25: services[0].allowFrom[1]", "without bits behind its length, got '10.0.0.1/8'"},
        {"9:37: services[0].allowFrom[2]", "got '10.0.0.0/33'"},
        {"9:50: services[0].allowFrom[3]", "got 'fd00::/129'"},
        {"9:64: services[0].allowFrom[4]", "got 'any'"},
        {"9:69: services[0].allowFrom[5]", "got nothing"},
        {"10:48: decap.allowFrom[1]", "got 'x/8'"}}},
  });
}

}  // namespace lbd::config
