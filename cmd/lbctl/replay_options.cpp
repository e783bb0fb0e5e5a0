#include "lbctl/replay_options.h"

#include <fmt/format.h>

#include <charconv>
#include <vector>

namespace lbd::lbctl {
namespace {

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto next = text.find(at);
    parts.push_back(text.substr(0, next));
    if (next == std::string_view::npos) return parts;
    text.remove_prefix(next + 1);
  }
}

Result<unsigned> parse_number(std::string_view text, unsigned least, unsigned most) {
  unsigned value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size() || value < least || value > most)
    return Error{fmt::format("'{}': expected {}..{}", text, least, most)};
  return value;
}

/// "10.0.0.2/24", an address of an interface; "-": none.
Result<std::optional<IpAddress>> parse_interface_address(std::string_view text,
                                                         IpAddress::Family family) {
  if (text == "-") return std::optional<IpAddress>{};
  const auto slash = text.find('/');
  auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::move(address).error();
  if (address->family() != family) return Error{fmt::format("'{}' is of the other family", text)};
  if (slash == std::string_view::npos)
    return Error{fmt::format("'{}': expected ADDRESS/LENGTH", text)};
  auto length = parse_number(text.substr(slash + 1), 0, address->bits());
  if (!length) return std::move(length).error();
  return std::optional{*address};
}

Result<> parse_interface(std::string_view text, ReplayOptions& options) {
  const auto equals = text.find('=');
  const auto parts =
      split(equals == std::string_view::npos ? std::string_view{} : text.substr(equals + 1), ',');
  if (equals == 0 || parts.size() != 4)
    return Error{fmt::format("'{}': expected NAME=MAC,MTU,IPV4/LEN,IPV6/LEN", text)};
  options.interface = text.substr(0, equals);
  auto mac = Mac::parse(parts[0]);
  if (!mac) return std::move(mac).error();
  auto mtu = parse_number(parts[1], 68, 65535);
  if (!mtu) return std::move(mtu).error().in("MTU");
  auto ipv4 = parse_interface_address(parts[2], IpAddress::Family::v4);
  if (!ipv4) return std::move(ipv4).error();
  auto ipv6 = parse_interface_address(parts[3], IpAddress::Family::v6);
  if (!ipv6) return std::move(ipv6).error();
  options.mac = *mac;
  options.mtu = static_cast<std::uint16_t>(*mtu);
  options.ipv4 = *ipv4;
  options.ipv6 = *ipv6;
  for (const auto& address : {*ipv4, *ipv6})
    if (address) options.local.insert(*address);
  return {};
}

Result<> parse_local(std::string_view text, ReplayOptions& options) {
  auto address = IpAddress::parse(text);
  if (!address) return std::move(address).error();
  options.local.insert(*address);
  return {};
}

Result<> parse_neighbor(std::string_view text, ReplayOptions& options) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) return Error{fmt::format("'{}': expected IP=MAC", text)};
  auto address = IpAddress::parse(text.substr(0, equals));
  if (!address) return std::move(address).error();
  auto mac = Mac::parse(text.substr(equals + 1));
  if (!mac) return std::move(mac).error();
  options.neighbors.insert_or_assign(*address, *mac);
  return {};
}

Result<> parse_value(std::string_view option, std::string_view value, ReplayOptions& options) {
  if (option == "--interface") return parse_interface(value, options);
  if (option == "--local") return parse_local(value, options);
  if (option == "--neighbor") return parse_neighbor(value, options);
  if (option == "--config") {
    options.config = value;
    return {};
  }
  if (value != "json" && value != "table")
    return Error{fmt::format("'{}': expected json or table", value)};
  options.json = value == "json";
  return {};
}

bool takes_value(std::string_view option) {
  return option == "--interface" || option == "--local" || option == "--neighbor" ||
         option == "--config" || option == "-o" || option == "--output";
}

}  // namespace

Result<ReplayOptions> parse_replay(std::span<const std::string> arguments) {
  ReplayOptions options;
  std::vector<std::string> files;
  for (std::size_t i = 0; i < arguments.size(); i++) {
    std::string_view option = arguments[i];
    if (option == "--help" || option == "-h") {
      options.help = true;
      return options;
    }
    if (option == "--pass") {
      options.pass = true;
    } else if (const auto equals = option.find('=');
               option.starts_with("--") && takes_value(option.substr(0, equals))) {
      const bool joined = equals != std::string_view::npos;
      if (!joined && i + 1 == arguments.size())
        return Error{fmt::format("{}: a value is expected", option)};
      const std::string_view value = joined ? option.substr(equals + 1) : arguments[++i];
      option = option.substr(0, equals);
      if (auto parsed = parse_value(option, value, options); !parsed)
        return std::move(parsed).error().in(option);
    } else if (option == "-o") {
      if (i + 1 == arguments.size()) return Error{"-o: a value is expected"};
      if (auto parsed = parse_value(option, arguments[++i], options); !parsed)
        return std::move(parsed).error().in(option);
    } else if (option.starts_with("-") && option != "-") {
      return Error{fmt::format("unknown option {}", option)};
    } else {
      files.emplace_back(option);
    }
  }
  if (options.config.empty()) return Error{"--config FILE is expected"};
  if (options.interface.empty()) return Error{"--interface is expected"};
  if (files.size() != 2) return Error{"IN.pcap and OUT.pcap are expected"};
  options.in = files[0];
  options.out = files[1];
  return options;
}

std::optional<dataplane::Route> ReplayRoutes::to(const IpAddress& destination) const {
  const auto neighbor = options_.neighbors.find(destination);
  if (neighbor == options_.neighbors.end()) return std::nullopt;
  return dataplane::Route{.ifindex = ifindex_,
                          .interface = options_.interface,
                          .source_mac = options_.mac,
                          .mac = neighbor->second,
                          .mtu = options_.mtu,
                          .source4 = options_.ipv4,
                          .source6 = options_.ipv6};
}

}  // namespace lbd::lbctl
