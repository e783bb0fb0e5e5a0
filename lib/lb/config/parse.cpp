#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "lb/config/checks.h"
#include "lb/config/config.h"
#include "lb/config/reader.h"
#include "lb/config/scalars.h"
#include "lb/config/yaml_tree.h"

namespace lbd::config {
namespace {

// Public, and so no secret: the leading hexadecimal digits of pi's fraction.
constexpr HashKey built_in_hash_key = {0x24, 0x3f, 0x6a, 0x88, 0x85, 0xa3, 0x08, 0xd3,
                                       0x13, 0x19, 0x8a, 0x2e, 0x03, 0x70, 0x73, 0x44};

// A table takes about 100 bytes an entry, a start 8: some GB at the most.
constexpr std::uint32_t table_entries_min = 16;
constexpr std::uint32_t table_entries_max = 1U << 26;
constexpr auto table_entries = [](const yaml::TreeNode& node) {
  return integer_of(table_entries_min, table_entries_max)(node);
};

constexpr std::uint16_t u16_max = 65535;

constexpr Word<XdpMode> xdp_modes[] = {
    {"auto", XdpMode::automatic}, {"native", XdpMode::native}, {"generic", XdpMode::generic}};
constexpr Word<Protocol> protocols[] = {{"TCP", Protocol::tcp}, {"UDP", Protocol::udp}};
constexpr Word<UnknownPorts> unknown_ports[] = {{"drop", UnknownPorts::drop},
                                                {"pass", UnknownPorts::pass}};
constexpr Word<HashMode> hash_modes[] = {{"5-tuple", HashMode::five_tuple},
                                         {"source-ip", HashMode::source_ip}};
constexpr Word<RemovedBackends> removed_backends[] = {{"drain", RemovedBackends::drain},
                                                      {"reset", RemovedBackends::reset}};
constexpr Word<AdminState> states[] = {{"enabled", AdminState::enabled},
                                       {"drain", AdminState::drain},
                                       {"disabled", AdminState::disabled}};

Result<Forwarding> forwarding(const yaml::TreeNode& node) {
  auto given = text(node, "ipip");
  if (!given) return std::move(given).error();
  if (*given == "ipip") return Forwarding::ipip;
  if (*given == "gue" || *given == "l2")
    return Error{fmt::format("expected ipip: '{}' is not available yet", *given)};
  return Error{expected("ipip", node)};
}

/// A parser of one word that changes nothing: what kind of file this is.
auto exactly(std::string_view word) {
  return [word](const yaml::TreeNode& node) -> Result<std::string_view> {
    auto given = text(node, word);
    if (given && *given != word) return Error{expected(word, node)};
    return given;
  };
}

template <class T>
std::vector<T> values_of(std::vector<Placed<T>> placed) {
  std::vector<T> values;
  values.reserve(placed.size());
  for (Placed<T>& one : placed) values.push_back(std::move(one.value));
  return values;
}

template <class T>
const T& itself(const T& value) {
  return value;
}

void read_tunnel_source(const Value& value, Findings& findings, TunnelSource& source) {
  Mapping keys{value, findings};
  keys.optional("ipv4", host_address_of(IpAddress::Family::v4), source.ipv4);
  keys.optional("ipv6", host_address_of(IpAddress::Family::v6), source.ipv6);
  keys.refuse_other_keys();
}

void read_node(const Value& value, Findings& findings, Node& node) {
  Mapping keys{value, findings};
  if (const auto interfaces = keys.required("interfaces")) {
    auto names = read_items(*interfaces, "interfaces", Empty::refused, interface_name, findings);
    refuse_repeats(names, itself<std::string>, "interface", findings);
    node.interfaces = values_of(std::move(names));
  }
  keys.optional("xdpMode", word_of(xdp_modes), node.xdp_mode);
  if (const auto source = keys.optional("tunnelSource"))
    read_tunnel_source(*source, findings, node.tunnel_source);
  keys.optional("pinPath", absolute_path, node.pin_path);
  keys.optional("stateDir", absolute_path, node.state_dir);
  keys.refuse_other_keys();
}

void read_connection_table(const Value& value, Findings& findings, ConnectionTable& table) {
  Mapping keys{value, findings};
  keys.optional("entries", table_entries, table.entries);
  keys.optional("starts", table_entries, table.starts);
  keys.optional("tcpIdle", duration_of(idle_max), table.tcp_idle);
  keys.optional("tcpClosing", duration_of(idle_max), table.tcp_closing);
  keys.optional("udpIdle", duration_of(idle_max), table.udp_idle);
  keys.optional("changeWait", duration_or_forever, table.change_wait);
  keys.refuse_other_keys();
}

std::vector<Prefix> read_prefixes(const Value& value, Findings& findings) {
  return values_of(read_items(value, "prefixes", Empty::allowed, prefix, findings));
}

void read_decap(const Value& value, Findings& findings, Decap& decap) {
  Mapping keys{value, findings};
  const auto enabled = keys.optional("enabled", boolean, decap.enabled);
  const auto allow_from = keys.optional("allowFrom");
  if (allow_from) decap.allow_from = read_prefixes(*allow_from, findings);
  keys.refuse_other_keys();
  const bool nobody = !allow_from || (allow_from->node.content->kind == yaml::Kind::sequence &&
                                      allow_from->node.content->items.empty());
  if (decap.enabled && nobody)
    findings.warning(enabled->at(), "decapsulates for nobody: decap.allowFrom lists no sender");
}

void read_admin(const Value& value, Findings& findings, Config& config) {
  Mapping keys{value, findings};
  keys.optional("socket", socket_path, config.admin_socket);
  keys.refuse_other_keys();
}

std::vector<ServicePort> read_ports(const Value& value, Findings& findings) {
  std::vector<Placed<ServicePort>> ports;
  for (const Value& item : items(value, "ports", Empty::refused, findings)) {
    Mapping keys{item, findings};
    std::optional<std::uint16_t> number;
    std::optional<Protocol> protocol;
    keys.required("port", integer_of<std::uint16_t>(0, u16_max), number);
    if (!keys.optional("protocol", word_of(protocols), protocol)) protocol = ServicePort{}.protocol;
    keys.refuse_other_keys();
    if (number && protocol) ports.push_back({{Port{*number}, *protocol}, item.at()});
  }
  refuse_repeats(ports, itself<ServicePort>, "port and protocol", findings);
  return values_of(std::move(ports));
}

/// Without an address there is no backend, and nothing more to check of it. It is placed at its
/// address's key; `addresses` gets where the address itself stands.
std::optional<Placed<Backend>> read_backend(const Value& value, Findings& findings,
                                            std::vector<At>& addresses) {
  Mapping keys{value, findings};
  Backend backend;
  std::optional<IpAddress> good_address;
  const auto address = keys.required("address", host_address, good_address);
  keys.optional("weight", integer_of<std::uint16_t>(0, u16_max), backend.weight);
  keys.optional("state", word_of(states), backend.state);
  keys.refuse_other_keys();
  if (!good_address) return std::nullopt;
  backend.address = *good_address;
  addresses.push_back(address->at());
  return Placed<Backend>{backend, address->at_key()};
}

void read_backends(const Value& value, Findings& findings, PlacedService& placed) {
  std::vector<Placed<Backend>> backends;
  const std::vector<Value> given = items(value, "backends", Empty::allowed, findings);
  if (given.size() > backends_max)
    findings.error(value.at(),
                   fmt::format("expected at most {} backends, got {}", backends_max, given.size()));
  for (const Value& item : given)
    if (auto backend = read_backend(item, findings, placed.backends))
      backends.push_back(*std::move(backend));
  refuse_repeats(
      backends, [](const Backend& backend) { return backend.address; }, "backend address",
      findings);
  placed.service.backends = values_of(std::move(backends));
}

void read_addresses(const Value& value, Findings& findings, PlacedService& placed) {
  auto addresses = read_items(value, "addresses", Empty::refused, host_address, findings);
  refuse_repeats(addresses, itself<IpAddress>, "address", findings);
  for (const auto& address : addresses) placed.addresses.push_back(address.at);
  placed.service.addresses = values_of(std::move(addresses));
}

/// Reads `key` into `into`, and says where: without the key that is `or_at`, and what is not good
/// is no value.
template <class Parse, class T>
Placed<std::optional<T>> read_placed(Mapping& keys, std::string_view key, const Parse& parse,
                                     T& into, const At& or_at) {
  std::optional<T> read;
  const auto given = keys.optional(key, parse, read);
  if (!given) return {into, or_at};
  if (read) into = *read;
  return {read, given->at()};
}

PlacedService read_service(const Value& value, Findings& findings) {
  PlacedService placed;
  Service& service = placed.service;
  service.allow_from = {Prefix{IpAddress::v4({}), 0}, Prefix{IpAddress::v6({}), 0}};

  Mapping keys{value, findings};
  const auto name = keys.required("name", service_name, service.name);
  placed.at = name ? name->at_key() : value.at();
  if (const auto list = keys.required("addresses")) read_addresses(*list, findings, placed);
  if (const auto list = keys.required("ports")) service.ports = read_ports(*list, findings);
  placed.unknown_ports =
      read_placed(keys, "unknownPorts", word_of(unknown_ports), service.unknown_ports, placed.at);
  keys.optional("forwarding", forwarding, service.forwarding);
  placed.table_size = read_placed(keys, "tableSize", table_size, service.table_size, placed.at);
  keys.optional("hash", word_of(hash_modes), service.hash);
  keys.optional("connectionTracking", boolean, service.connection_tracking);
  keys.optional("removedBackends", word_of(removed_backends), service.removed_backends);
  if (const auto list = keys.optional("allowFrom"))
    service.allow_from = read_prefixes(*list, findings);
  if (const auto list = keys.required("backends")) read_backends(*list, findings, placed);
  keys.refuse_other_keys();
  return placed;
}

std::vector<Service> read_services(const Value& value, Findings& findings) {
  std::vector<PlacedService> placed;
  for (const Value& item : items(value, "services", Empty::allowed, findings))
    placed.push_back(read_service(item, findings));
  check_services(placed, findings);
  std::vector<Service> services;
  services.reserve(placed.size());
  for (PlacedService& one : placed) services.push_back(std::move(one.service));
  return services;
}

Config read_config(const Value& root, Findings& findings) {
  Config config;
  config.hash_key = built_in_hash_key;
  Mapping keys{root, findings};
  std::string_view read_and_checked;
  keys.required("apiVersion", exactly("lbd.io/v1alpha1"), read_and_checked);
  keys.required("kind", exactly("LoadBalancer"), read_and_checked);
  if (const auto node = keys.optional("node"))
    read_node(*node, findings, config.node);
  else if (root.node.content->kind == yaml::Kind::mapping)
    findings.error({root.node.place, "node.interfaces"}, "expected this key, which is required");
  keys.optional("hashKey", hash_key, config.hash_key);
  if (const auto table = keys.optional("connectionTable"))
    read_connection_table(*table, findings, config.connection_table);
  if (const auto decap = keys.optional("decap")) read_decap(*decap, findings, config.decap);
  if (const auto admin = keys.optional("admin")) read_admin(*admin, findings, config);
  if (const auto services = keys.required("services"))
    config.services = read_services(*services, findings);
  keys.refuse_other_keys();
  return config;
}

Loaded refused(const yaml::Place& place, std::string expected) {
  Loaded loaded;
  loaded.errors.push_back({place.line, place.column, "", std::move(expected)});
  return loaded;
}

}  // namespace

std::string to_string(const Finding& finding, std::string_view file) {
  return fmt::format("{}:{}:{}: {}: {}", file, finding.line, finding.column,
                     finding.key.empty() ? "(file)" : finding.key, finding.expected);
}

Loaded parse(std::string_view text) {
  const auto read = yaml::read(text);
  if (const auto* refusal = std::get_if<yaml::Refusal>(&read))
    return refused(refusal->place, refusal->expected);
  Findings findings;
  Loaded loaded;
  loaded.config = read_config({std::get<yaml::Document>(read).root, ""}, findings);
  loaded.errors = findings.take_errors();
  loaded.warnings = findings.take_warnings();
  return loaded;
}

Loaded load(const std::filesystem::path& path) {
  const auto unreadable = [](int reason) {
    return refused({}, errno_error("expected a readable file", reason).message());
  };
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file{std::fopen(path.c_str(), "rbe")};
  if (!file) return unreadable(errno);
  // One byte more than allowed shows that a file is too long, be it endless.
  std::string text;
  std::size_t count = 1;
  while (count > 0 && text.size() <= yaml::bytes_max) {
    constexpr std::size_t chunk = 64U << 10;
    const std::size_t before = text.size();
    text.resize(before + chunk);
    count = std::fread(text.data() + before, 1, chunk, file.get());
    text.resize(before + count);
  }
  if (std::ferror(file.get()) != 0) return unreadable(errno);
  return parse(text);
}

}  // namespace lbd::config
