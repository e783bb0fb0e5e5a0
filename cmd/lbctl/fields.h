// Reads the daemon's JSON without trusting it: what is missing or of another type is empty.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lbd::lbctl {

/// The member `key` of an object; null where there is none.
[[nodiscard]] const boost::json::value& field(const boost::json::value&, std::string_view key);
[[nodiscard]] const boost::json::array& list(const boost::json::value&, std::string_view key);
/// A string as it is, a number or boolean as JSON writes it, "" for null.
[[nodiscard]] std::string text(const boost::json::value&);
[[nodiscard]] std::string text(const boost::json::value&, std::string_view key);
[[nodiscard]] std::optional<std::uint64_t> number(const boost::json::value&, std::string_view key);

}  // namespace lbd::lbctl
