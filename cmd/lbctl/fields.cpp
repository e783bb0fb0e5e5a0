#include "lbctl/fields.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

namespace lbd::lbctl {

using boost::json::array;
using boost::json::value;

const value& field(const value& from, std::string_view key) {
  static const value null;
  const auto* object = from.if_object();
  const value* found = object != nullptr ? object->if_contains(key) : nullptr;
  return found != nullptr ? *found : null;
}

const array& list(const value& from, std::string_view key) {
  static const array none;
  const array* found = field(from, key).if_array();
  return found != nullptr ? *found : none;
}

std::string text(const value& from) {
  if (from.is_null()) return {};
  if (const auto* string = from.if_string()) return {string->data(), string->size()};
  return boost::json::serialize(from);
}

std::string text(const value& from, std::string_view key) {
  return text(field(from, key));
}

std::optional<std::uint64_t> number(const value& from, std::string_view key) {
  boost::json::error_code error;
  const auto count = field(from, key).to_number<std::uint64_t>(error);
  if (error) return std::nullopt;
  return count;
}

}  // namespace lbd::lbctl
