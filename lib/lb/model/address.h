// Addresses, prefixes, ports and MACs: values that are valid or not made.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "lb/model/result.h"

namespace lbd {

/// An IPv4 or IPv6 address, as bytes in network order; never an integer. IPv4 sorts first.
/// IPv4-mapped IPv6 addresses (::ffff:a.b.c.d) are refused by parse: on the wire they are neither.
class IpAddress {
 public:
  enum class Family : std::uint8_t { v4 = 4, v6 = 6 };

  /// 0.0.0.0.
  constexpr IpAddress() = default;
  static constexpr IpAddress v4(std::array<std::uint8_t, 4> bytes) {
    IpAddress address;
    for (std::size_t i = 0; i < bytes.size(); i++) address.bytes_[i] = bytes[i];
    return address;
  }
  static constexpr IpAddress v6(std::array<std::uint8_t, 16> bytes) {
    IpAddress address;
    address.family_ = Family::v6;
    address.bytes_ = bytes;
    return address;
  }
  /// Dotted quad or RFC 4291 text, without prefix length, port or zone.
  static Result<IpAddress> parse(std::string_view text);

  [[nodiscard]] constexpr Family family() const { return family_; }
  [[nodiscard]] constexpr bool is_v4() const { return family_ == Family::v4; }
  [[nodiscard]] constexpr bool is_v6() const { return family_ == Family::v6; }
  /// 4 or 16 bytes, network order.
  [[nodiscard]] constexpr std::span<const std::uint8_t> bytes() const {
    return {bytes_.data(), is_v4() ? 4U : 16U};
  }
  [[nodiscard]] constexpr std::uint8_t bits() const { return is_v4() ? 32 : 128; }

  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_loopback() const;    ///< 127/8, ::1
  [[nodiscard]] bool is_multicast() const;   ///< 224/4, ff00::/8
  [[nodiscard]] bool is_broadcast() const;   ///< 255.255.255.255
  [[nodiscard]] bool is_link_local() const;  ///< 169.254/16, fe80::/10

  /// IPv6 by RFC 5952.
  [[nodiscard]] std::string str() const;

  constexpr auto operator<=>(const IpAddress&) const = default;

 private:
  Family family_ = Family::v4;
  std::array<std::uint8_t, 16> bytes_{};  // IPv4: the first four, the rest 0
};

/// An address block. Host bits are 0: parse refuses "10.0.0.1/8".
struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;

  /// "10.0.0.0/8"; an address alone is its own full-length prefix.
  static Result<Prefix> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress&) const;
  [[nodiscard]] std::string str() const;
  constexpr auto operator<=>(const Prefix&) const = default;
};

/// A port in host order. Network order exists in one file: dataplane/keys.cpp.
class Port {
 public:
  constexpr explicit Port(std::uint16_t host_order) : value_{host_order} {}
  [[nodiscard]] constexpr std::uint16_t host_order() const { return value_; }
  constexpr auto operator<=>(const Port&) const = default;

 private:
  std::uint16_t value_;
};

/// An Ethernet address.
struct Mac {
  std::array<std::uint8_t, 6> bytes{};

  /// "02:00:00:00:00:01".
  static Result<Mac> parse(std::string_view text);
  [[nodiscard]] std::string str() const;
  constexpr auto operator<=>(const Mac&) const = default;
};

/// "10.0.0.1:80", "[2001:db8::1]:80".
[[nodiscard]] std::string with_port(const IpAddress&, Port);

}  // namespace lbd

template <>
struct std::hash<lbd::IpAddress> {
  std::size_t operator()(const lbd::IpAddress& address) const noexcept {
    const auto bytes = address.bytes();
    return std::hash<std::string_view>{}(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
};
