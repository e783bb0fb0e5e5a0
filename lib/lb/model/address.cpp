#include "lb/model/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace lbd {
namespace {

bool starts_with(std::span<const std::uint8_t> bytes, std::initializer_list<std::uint8_t> start) {
  return std::equal(start.begin(), start.end(), bytes.begin());
}

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

/// Whether `bytes` agree with `like` in their first `bits` bits.
bool same_bits(std::span<const std::uint8_t> bytes, std::span<const std::uint8_t> like,
               unsigned bits) {
  const std::size_t whole = bits / 8;
  if (!std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(whole), like.begin()))
    return false;
  const unsigned rest = bits % 8;
  return rest == 0 || ((bytes[whole] ^ like[whole]) >> (8 - rest)) == 0;
}

}  // namespace

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string terminated{text};
  std::array<std::uint8_t, 4> four{};
  if (inet_pton(AF_INET, terminated.c_str(), four.data()) == 1) return v4(four);
  std::array<std::uint8_t, 16> sixteen{};
  if (terminated.size() != text.size() || terminated.find('\0') != std::string::npos ||
      inet_pton(AF_INET6, terminated.c_str(), sixteen.data()) != 1)
    return Error{fmt::format("'{}' is no IP address", text)};
  if (all_zero(std::span{sixteen}.first(10)) && sixteen[10] == 0xff && sixteen[11] == 0xff)
    return Error{fmt::format("'{}' is an IPv4-mapped address; write it as IPv4", text)};
  return v6(sixteen);
}

bool IpAddress::is_unspecified() const {
  return all_zero(bytes());
}

bool IpAddress::is_loopback() const {
  return is_v4() ? bytes_[0] == 127 : all_zero(bytes().first(15)) && bytes_[15] == 1;
}

bool IpAddress::is_multicast() const {
  return is_v4() ? bytes_[0] >> 4 == 14 : bytes_[0] == 0xff;
}

bool IpAddress::is_broadcast() const {
  return is_v4() && starts_with(bytes(), {255, 255, 255, 255});
}

bool IpAddress::is_link_local() const {
  return is_v4() ? starts_with(bytes(), {169, 254}) : bytes_[0] == 0xfe && bytes_[1] >> 6 == 2;
}

std::string IpAddress::str() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text.data(), text.size());
  return text.data();
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::move(address).error();
  Prefix prefix{*address, address->bits()};
  if (slash == std::string_view::npos) return prefix;

  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (failure != std::errc{} || end != digits.data() + digits.size() || length > address->bits())
    return Error{fmt::format("'{}': a prefix length of 0..{} is expected", text, address->bits())};
  prefix.length = static_cast<std::uint8_t>(length);
  for (unsigned bit = length; bit < address->bits(); bit++)
    if (address->bytes()[bit / 8] >> (7 - bit % 8) & 1)
      return Error{fmt::format("'{}' has bits set beyond its prefix length", text)};
  return prefix;
}

bool Prefix::contains(const IpAddress& other) const {
  return other.family() == address.family() && same_bits(other.bytes(), address.bytes(), length);
}

std::string Prefix::str() const {
  return fmt::format("{}/{}", address.str(), length);
}

Result<Mac> Mac::parse(std::string_view text) {
  Mac mac;
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < 6; i++) {
    const char* at = text.data() + i * 3;
    const auto [end, failure] = std::from_chars(at, at + 2, mac.bytes[i], 16);
    good = failure == std::errc{} && end == at + 2 && (i == 5 || *end == ':');
  }
  if (!good) return Error{fmt::format("'{}' is no MAC address", text)};
  return mac;
}

std::string Mac::str() const {
  return fmt::format("{:02x}", fmt::join(bytes, ":"));
}

std::string with_port(const IpAddress& address, Port port) {
  if (address.is_v4()) return fmt::format("{}:{}", address.str(), port.host_order());
  return fmt::format("[{}]:{}", address.str(), port.host_order());
}

}  // namespace lbd
