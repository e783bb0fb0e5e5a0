// Typed access to a document: what is read is checked on the way, and what is wrong is collected
// with its place and the full path of its key, so that one run finds all that is wrong.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "lb/config/config.h"
#include "lb/config/yaml_tree.h"
#include "lb/model/result.h"

namespace lbd::config {

/// Where the file says something.
struct At {
  yaml::Place place;
  std::string key;  ///< full path
};

struct Value {
  yaml::TreeNode node;
  std::string key;                       ///< full path
  std::optional<yaml::Place> key_place;  ///< of a mapping's key; a list's item has none

  [[nodiscard]] At at() const { return {node.place, key}; }
  /// Where what repeats or overlaps is reported.
  [[nodiscard]] At at_key() const { return {key_place.value_or(node.place), key}; }
};

/// What was read, and where.
template <class T>
struct Placed {
  T value;
  At at;
};

/// Text from a file as a message shows it: on one line, and not endless.
[[nodiscard]] std::string shown(std::string_view text);

/// Collects what is wrong.
class Findings {
 public:
  void error(const At& at, std::string expected) { add(errors_, at, std::move(expected)); }
  void warning(const At& at, std::string expected) { add(warnings_, at, std::move(expected)); }

  /// In the order of their places.
  [[nodiscard]] std::vector<Finding> take_errors() { return in_order(std::move(errors_)); }
  [[nodiscard]] std::vector<Finding> take_warnings() { return in_order(std::move(warnings_)); }

 private:
  static void add(std::vector<Finding>&, const At&, std::string expected);
  static std::vector<Finding> in_order(std::vector<Finding>);

  std::vector<Finding> errors_;
  std::vector<Finding> warnings_;
};

/// A mapping whose keys are asked for by name. What is no mapping is an error and reads as empty; a
/// repeated key is an error at the later one, and its first value counts.
class Mapping {
 public:
  Mapping(Value, Findings&);

  [[nodiscard]] std::optional<Value> optional(std::string_view key);
  /// The same; a missing key is an error at the mapping, unless that is none.
  [[nodiscard]] std::optional<Value> required(std::string_view key);

  /// Reads `key` with `parse` (node → Result); what is not there or not good leaves `into` alone.
  template <class Parse, class T>
  std::optional<Value> optional(std::string_view key, const Parse& parse, T& into) {
    auto value = optional(key);
    if (value) read(*value, parse, into);
    return value;
  }
  template <class Parse, class T>
  std::optional<Value> required(std::string_view key, const Parse& parse, T& into) {
    auto value = required(key);
    if (value) read(*value, parse, into);
    return value;
  }

  /// Every key that was not asked for so far is an error.
  void refuse_other_keys();

 private:
  template <class Parse, class T>
  void read(const Value& value, const Parse& parse, T& into) {
    if (auto read = parse(value.node))
      into = *std::move(read);
    else
      findings_.error(value.at(), read.error().message());
  }

  [[nodiscard]] std::string path(std::string_view key) const;

  Value mapping_;
  bool good_;
  Findings& findings_;
  std::map<std::string_view, const yaml::Entry*> entries_;  // the first of each key
  std::vector<std::string_view> known_;
};

enum class Empty : std::uint8_t { allowed, refused };

/// The items of a list; what is no list, or empty and should not be, is an error. `of_what` ends
/// "expected a list of …".
[[nodiscard]] std::vector<Value> items(const Value& list, std::string_view of_what, Empty,
                                       Findings&);

/// The good ones of a list of scalars.
template <class Parse>
[[nodiscard]] auto read_items(const Value& list, std::string_view of_what, Empty empty,
                              const Parse& parse, Findings& findings) {
  std::vector<Placed<typename decltype(parse(list.node))::value_type>> good;
  for (const Value& item : items(list, of_what, empty, findings)) {
    if (auto read = parse(item.node))
      good.push_back({*std::move(read), item.at()});
    else
      findings.error(item.at(), read.error().message());
  }
  return good;
}

/// Of what has the same `key_of` as something before it, each is an error.
template <class T, class KeyOf>
void refuse_repeats(const std::vector<Placed<T>>& all, const KeyOf& key_of, std::string_view what,
                    Findings& findings) {
  std::map<std::decay_t<decltype(key_of(all.front().value))>, const At*> seen;
  for (const Placed<T>& one : all) {
    const auto [first, is_new] = seen.emplace(key_of(one.value), &one.at);
    if (!is_new)
      findings.error(one.at,
                     std::string{"expected each "}.append(what).append(" once; it repeats ") +
                         first->second->key);
  }
}

}  // namespace lbd::config
