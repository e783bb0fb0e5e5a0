#include "lb/config/scalars.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

#include "lb/config/reader.h"

namespace lbd::config {
namespace {

using namespace std::chrono_literals;

Error unexpected(std::string_view what, const yaml::TreeNode& node) {
  return Error{expected(what, node)};
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_alphanumeric(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Decimal digits alone; no sign, and no leading zero, which YAML versions read differently.
std::optional<std::uint64_t> decimal(std::string_view digits) {
  const bool well_formed = !digits.empty() && std::all_of(digits.begin(), digits.end(), is_digit) &&
                           (digits.size() == 1 || digits.front() != '0');
  std::uint64_t value = 0;
  if (!well_formed ||
      std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc{})
    return std::nullopt;
  return value;
}

std::string_view plain_text(const yaml::TreeNode& node) {
  return node.content->plain ? std::string_view{node.content->text} : std::string_view{};
}

/// What no host has for itself, or no router forwards to; empty: none of these.
std::string_view not_a_hosts(const IpAddress& address) {
  if (address.is_unspecified()) return "the unspecified address";
  if (address.is_loopback()) return "a loopback address";
  if (address.is_multicast()) return "a multicast address";
  if (address.is_broadcast()) return "the broadcast address";
  if (address.is_link_local()) return "a link-local address";
  // RFC 1122 3.2.1.3: "this host on this network", a source only.
  if (address.is_v4() && address.bytes()[0] == 0) return "an address of network 0";
  return {};
}

std::string form_of_durations(std::chrono::hours max) {
  return fmt::format("a duration of 1ms..{}h, an integer and ms, s, m or h", max / 1h);
}

/// `what`: was to be given, for the error.
Result<std::chrono::milliseconds> duration_as(std::string_view what, const yaml::TreeNode& node,
                                              std::chrono::hours max) {
  const auto given = text(node, what);
  if (!given) return given.error();
  const auto digits = static_cast<std::size_t>(
      std::find_if_not(given->begin(), given->end(), is_digit) - given->begin());
  static constexpr Word<std::chrono::milliseconds> units[] = {
      {"ms", 1ms}, {"s", 1s}, {"m", 1min}, {"h", 1h}};
  const auto count = decimal(given->substr(0, digits));
  for (const auto& unit : units) {
    if (unit.text != given->substr(digits)) continue;
    if (!count || *count == 0 || *count > static_cast<std::uint64_t>(max / unit.value)) break;
    return unit.value * static_cast<std::int64_t>(*count);
  }
  return unexpected(what, node);
}

}  // namespace

std::string expected(std::string_view what, const yaml::TreeNode& node) {
  const yaml::Content& content = *node.content;
  std::string got;
  if (content.tagged)
    got = "a value with a YAML tag";
  else if (content.kind == yaml::Kind::null)
    got = "nothing";
  else if (content.kind == yaml::Kind::sequence)
    got = "a list";
  else if (content.kind == yaml::Kind::mapping)
    got = "a mapping";
  else
    got = fmt::format("'{}'{}", shown(content.text), content.plain ? "" : " in quotes");
  return fmt::format("expected {}, got {}", what, got);
}

Result<std::string_view> text(const yaml::TreeNode& node, std::string_view what) {
  const yaml::Content& content = *node.content;
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
  if (content.kind != yaml::Kind::scalar || content.tagged || content.text.empty() ||
      std::any_of(content.text.begin(), content.text.end(), is_control))
    return unexpected(what, node);
  return std::string_view{content.text};
}

Result<std::uint64_t> integer(const yaml::TreeNode& node, std::uint64_t min, std::uint64_t max) {
  const auto value = decimal(plain_text(node));
  if (!value || *value < min || *value > max)
    return unexpected(fmt::format("an integer of {}..{}", min, max), node);
  return *value;
}

Result<bool> boolean(const yaml::TreeNode& node) {
  const std::string_view given = plain_text(node);
  if (given != "true" && given != "false") return unexpected("true or false", node);
  return given == "true";
}

Result<std::chrono::milliseconds> duration(const yaml::TreeNode& node, std::chrono::hours max) {
  return duration_as(form_of_durations(max), node, max);
}

Result<std::optional<std::chrono::milliseconds>> duration_or_forever(const yaml::TreeNode& node) {
  using Wait = std::optional<std::chrono::milliseconds>;
  const std::string what = "forever or " + form_of_durations(duration_max);
  const auto given = text(node, what);
  if (given && *given == "forever") return Wait{};
  auto wait = duration_as(what, node, duration_max);
  if (!wait) return std::move(wait).error();
  return Wait{*wait};
}

Result<std::string> interface_name(const yaml::TreeNode& node) {
  const std::string_view what = "an interface's name of 1..15 bytes without / : or spaces";
  auto name = text(node, what);
  if (!name) return std::move(name).error();
  if (name->size() > 15 || *name == "." || *name == ".." ||
      name->find_first_of("/: ") != std::string_view::npos)
    return unexpected(what, node);
  return {boost::system::in_place_value, *name};
}

Result<std::string> service_name(const yaml::TreeNode& node) {
  const std::string_view what =
      "a name of 1..63 letters, digits, '.', '_' or '-', beginning and ending with a letter or "
      "digit";
  auto name = text(node, what);
  if (!name) return std::move(name).error();
  const bool good =
      name->size() <= 63 && is_alphanumeric(name->front()) && is_alphanumeric(name->back()) &&
      std::all_of(name->begin(), name->end(),
                  [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
  if (!good) return unexpected(what, node);
  return {boost::system::in_place_value, *name};
}

Result<std::filesystem::path> absolute_path(const yaml::TreeNode& node) {
  const std::string_view what = "an absolute path below /";
  auto path = text(node, what);
  if (!path) return std::move(path).error();
  constexpr std::size_t bytes_max = 4095;  // PATH_MAX of the kernel, less the closing 0
  if (path->front() != '/' || path->size() > bytes_max ||
      path->find_first_not_of("/.") == std::string_view::npos)
    return unexpected(what, node);
  return {boost::system::in_place_value, *path};
}

Result<std::filesystem::path> socket_path(const yaml::TreeNode& node) {
  auto path = absolute_path(node);
  if (path && path->native().size() > 107)
    return unexpected("an absolute path of at most 107 bytes", node);
  return path;
}

Result<HashKey> hash_key(const yaml::TreeNode& node) {
  const std::string_view what = "32 hexadecimal digits";
  auto digits = text(node, what);
  if (!digits) return std::move(digits).error();
  HashKey key{};
  bool good = digits->size() == 2 * key.size();
  for (std::size_t i = 0; good && i < key.size(); i++) {
    const char* pair = digits->data() + 2 * i;
    const auto [end, failure] = std::from_chars(pair, pair + 2, key[i], 16);
    good = failure == std::errc{} && end == pair + 2;
  }
  if (!good) return unexpected(what, node);
  return key;
}

Result<IpAddress> host_address(const yaml::TreeNode& node) {
  const std::string_view what = "an IPv4 or IPv6 address";
  auto given = text(node, what);
  if (!given) return std::move(given).error();
  constexpr std::size_t shown_whole_max = 64;
  if (given->size() > shown_whole_max) return unexpected(what, node);
  auto address = IpAddress::parse(*given);
  if (!address) return Error{fmt::format("expected {}: {}", what, address.error().message())};
  if (const std::string_view kind = not_a_hosts(*address); !kind.empty())
    return Error{fmt::format("expected a host's own address, got {}: {}", kind, address->str())};
  return address;
}

Result<Prefix> prefix(const yaml::TreeNode& node) {
  const std::string_view what =
      "a prefix like 10.0.0.0/8 or fd00::/8 without bits behind its length";
  auto given = text(node, what);
  if (!given) return std::move(given).error();
  auto prefix = Prefix::parse(*given);
  if (!prefix) return unexpected(what, node);
  return prefix;
}

Result<std::uint32_t> table_size(const yaml::TreeNode& node) {
  constexpr std::uint32_t rows_min = 251;
  constexpr std::uint32_t rows_max = 655373;
  const auto rows = integer(node, rows_min, rows_max);
  const auto is_prime = [](std::uint64_t n) {
    for (std::uint64_t divisor = 2; divisor * divisor <= n; divisor++)
      if (n % divisor == 0) return false;
    return true;
  };
  if (!rows || !is_prime(*rows))
    return unexpected(fmt::format("a prime number of {}..{}", rows_min, rows_max), node);
  return static_cast<std::uint32_t>(*rows);
}

}  // namespace lbd::config
