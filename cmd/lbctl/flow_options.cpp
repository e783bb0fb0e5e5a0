#include "lbctl/flow_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace lbd::lbctl {
namespace {

using reconcile::FlowFilter;

Error unexpected(std::string_view option, std::string_view value, std::string_view expected) {
  return Error{fmt::format("{}: '{}': {} is expected", option, value, expected)};
}

std::optional<Port> parse_port(std::string_view digits) {
  std::uint16_t port = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failure != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return Port{port};
}

/// A value's two halves as they are written: what stands before a port, and the port's digits.
struct Halves {
  std::string_view address;
  std::optional<std::string_view> port;
  bool bracketed = false;
};

/// "10.0.0.1:80", "[2001:db8::1]:80", each also without its port, "2001:db8::1".
std::optional<Halves> split(std::string_view value) {
  if (value.starts_with('[')) {
    const std::size_t end = value.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view rest = value.substr(end + 1);
    Halves halves{.address = value.substr(1, end - 1), .bracketed = true};
    if (rest.empty()) return halves;
    if (!rest.starts_with(':')) return std::nullopt;
    halves.port = rest.substr(1);
    return halves;
  }
  if (std::count(value.begin(), value.end(), ':') != 1) return Halves{.address = value};
  const std::size_t colon = value.find(':');
  return Halves{.address = value.substr(0, colon), .port = value.substr(colon + 1)};
}

/// Reads T (an address or a prefix) and a port; false where the value is something else.
template <class T>
bool read_with_port(std::string_view value, std::optional<T>& to, std::optional<Port>& port) {
  const auto halves = split(value);
  if (!halves) return false;
  auto parsed = T::parse(halves->address);
  if (!parsed) return false;
  if (halves->bracketed && halves->address.find(':') == std::string_view::npos) return false;
  const auto number = halves->port ? parse_port(*halves->port) : std::nullopt;
  if (halves->port && !number) return false;
  to = *parsed;
  port = number;
  return true;
}

Result<> set_vip(std::string_view option, std::string_view value, FlowFilter& filter) {
  if (read_with_port(value, filter.vip, filter.vip_port)) return {};
  return unexpected(option, value,
                    "an address, with or without a port (203.0.113.10:80, [2001:db8::1]:80),");
}

Result<> set_client(std::string_view option, std::string_view value, FlowFilter& filter) {
  if (read_with_port(value, filter.client, filter.client_port)) return {};
  return unexpected(option, value,
                    "an address or a prefix without bits behind its length, with or without a port "
                    "(198.51.100.7:1024, 198.51.100.0/24, [2001:db8::/32]:1024),");
}

Result<> set_backend(std::string_view option, std::string_view value, FlowFilter& filter) {
  auto address = IpAddress::parse(value);
  if (!address) return unexpected(option, value, "an address");
  filter.backend = *address;
  return {};
}

Result<> set_protocol(std::string_view option, std::string_view value, FlowFilter& filter) {
  if (value == "tcp" || value == "TCP")
    filter.protocol = Protocol::tcp;
  else if (value == "udp" || value == "UDP")
    filter.protocol = Protocol::udp;
  else
    return unexpected(option, value, "tcp or udp");
  return {};
}

struct Option {
  std::string_view name;
  Result<> (*set)(std::string_view option, std::string_view value, FlowFilter&);
};
constexpr Option options[] = {
    {"--vip", set_vip},
    {"--client", set_client},
    {"--backend", set_backend},
    {"--protocol", set_protocol},
};

const Option* find_option(std::string_view name) {
  const auto* found = std::ranges::find(options, name, &Option::name);
  return found == std::end(options) ? nullptr : found;
}

}  // namespace

bool is_flow_option(std::string_view name) {
  return find_option(name) != nullptr;
}

Result<> set_flow_option(std::string_view name, const std::string& value, FlowFilter& filter) {
  const Option* option = find_option(name);
  return option == nullptr ? Error{fmt::format("no such option: {}", name)}
                           : option->set(name, value, filter);
}

Result<> set_flow_service(const std::string& value, FlowFilter& filter) {
  if (value.empty()) return unexpected("--service", value, "a service's name");
  filter.service = value;
  return {};
}

}  // namespace lbd::lbctl
