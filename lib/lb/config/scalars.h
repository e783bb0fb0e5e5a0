// What single values of the file may be, one parser each: a node in, a value or what was expected
// out.
#pragma once
#include <fmt/format.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lb/config/config.h"
#include "lb/config/yaml_tree.h"
#include "lb/model/result.h"

namespace lbd::config {

/// "expected WHAT, got 'x'", or a list, a mapping, nothing, ….
[[nodiscard]] std::string expected(std::string_view what, const yaml::TreeNode&);

/// Text on one line, quoted or plain and not empty.
[[nodiscard]] Result<std::string_view> text(const yaml::TreeNode&, std::string_view what);
/// A plain decimal integer of min…max.
[[nodiscard]] Result<std::uint64_t> integer(const yaml::TreeNode&, std::uint64_t min,
                                            std::uint64_t max);

/// Plain true or false.
[[nodiscard]] Result<bool> boolean(const yaml::TreeNode&);
/// A positive integer and its unit, at most `max`.
[[nodiscard]] Result<std::chrono::milliseconds> duration(const yaml::TreeNode&,
                                                         std::chrono::hours max);
inline constexpr std::chrono::hours duration_max{168};
/// The same up to duration_max, or the word forever: nothing.
[[nodiscard]] Result<std::optional<std::chrono::milliseconds>> duration_or_forever(
    const yaml::TreeNode&);
/// Of times since a flow was last seen: they are kept in seconds modulo 2^16, 18.2 h, and a flow is
/// looked at only now and then.
inline constexpr std::chrono::hours idle_max{17};

/// What the kernel accepts as the name of an interface (dev_valid_name).
[[nodiscard]] Result<std::string> interface_name(const yaml::TreeNode&);
/// What commands and metrics can carry unquoted, and SERVICE_NAME_MAX of xdp/abi.h has room for.
[[nodiscard]] Result<std::string> service_name(const yaml::TreeNode&);
[[nodiscard]] Result<std::filesystem::path> absolute_path(const yaml::TreeNode&);
/// The same, short enough for sun_path of unix(7).
[[nodiscard]] Result<std::filesystem::path> socket_path(const yaml::TreeNode&);
[[nodiscard]] Result<HashKey> hash_key(const yaml::TreeNode&);

/// An address that one host can have and a router forwards to.
[[nodiscard]] Result<IpAddress> host_address(const yaml::TreeNode&);
[[nodiscard]] Result<Prefix> prefix(const yaml::TreeNode&);
/// Primes within the range that maglev builds tables of.
[[nodiscard]] Result<std::uint32_t> table_size(const yaml::TreeNode&);

/// A parser of the integers min…max.
template <std::unsigned_integral T>
[[nodiscard]] auto integer_of(T min, T max) {
  return [min, max](const yaml::TreeNode& node) -> Result<T> {
    auto value = integer(node, min, max);
    if (!value) return std::move(value).error();
    return static_cast<T>(*value);
  };
}

/// A parser of durations up to `max`.
[[nodiscard]] inline auto duration_of(std::chrono::hours max) {
  return [max](const yaml::TreeNode& node) { return duration(node, max); };
}

/// A parser of host_address that takes one family only.
[[nodiscard]] inline auto host_address_of(IpAddress::Family family) {
  return [family](const yaml::TreeNode& node) -> Result<IpAddress> {
    auto address = host_address(node);
    if (address && address->family() != family)
      return Error{
          expected(family == IpAddress::Family::v4 ? "an IPv4 address" : "an IPv6 address", node)};
    return address;
  };
}

template <class T>
struct Word {
  std::string_view text;
  T value;
};

/// A parser of a closed set of words, which outlive it.
template <class T, std::size_t N>
[[nodiscard]] auto word_of(const Word<T> (&words)[N]) {
  return [&words](const yaml::TreeNode& node) -> Result<T> {
    std::string choice;
    for (const Word<T>& word : words) {
      if (!choice.empty()) choice += " or ";
      choice += word.text;
    }
    auto given = text(node, choice);
    if (!given) return std::move(given).error();
    for (const Word<T>& word : words)
      if (word.text == *given) return word.value;
    return Error{expected(choice, node)};
  };
}

}  // namespace lbd::config
