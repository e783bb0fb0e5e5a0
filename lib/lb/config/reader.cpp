#include "lb/config/reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>

#include "lb/config/scalars.h"
#include "lb/config/utf8.h"

namespace lbd::config {

std::string shown(std::string_view text) {
  constexpr std::size_t characters_max = 64;
  std::string result;
  std::size_t characters = 0;
  for (const char byte : text) {
    if (!utf8::continues(byte) && ++characters > characters_max) return result + "…";
    if (static_cast<unsigned char>(byte) < ' ' || byte == '\x7f')
      fmt::format_to(std::back_inserter(result), "\\x{:02x}", byte);
    else
      result += byte;
  }
  return result;
}

void Findings::add(std::vector<Finding>& to, const At& at, std::string expected) {
  to.push_back({at.place.line, at.place.column, at.key, std::move(expected)});
}

std::vector<Finding> Findings::in_order(std::vector<Finding> findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  return findings;
}

Mapping::Mapping(Value mapping, Findings& findings)
    : mapping_{std::move(mapping)},
      good_{mapping_.node.content->kind == yaml::Kind::mapping && !mapping_.node.content->tagged},
      findings_{findings} {
  if (!good_) {
    findings_.error(mapping_.at(), expected("a mapping of keys to values", mapping_.node));
    return;
  }
  for (const yaml::Entry& entry : mapping_.node.content->entries) {
    const yaml::Content& key = *entry.key.content;
    if (key.kind != yaml::Kind::scalar)
      findings_.error({entry.key.place, mapping_.key}, expected("a name as key", entry.key));
    else if (!entries_.emplace(key.text, &entry).second)
      findings_.error({entry.key.place, path(key.text)}, "expected each key once");
  }
}

std::optional<Value> Mapping::optional(std::string_view key) {
  known_.push_back(key);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return Value{found->second->value, path(key), found->second->key.place};
}

std::optional<Value> Mapping::required(std::string_view key) {
  auto value = optional(key);
  if (!value && good_)
    findings_.error({mapping_.node.place, path(key)}, "expected this key, which is required");
  return value;
}

void Mapping::refuse_other_keys() {
  for (const auto& [key, entry] : entries_)
    if (std::find(known_.begin(), known_.end(), key) == known_.end())
      findings_.error({entry->key.place, path(key)},
                      fmt::format("unknown key; expected one of: {}", fmt::join(known_, ", ")));
}

std::string Mapping::path(std::string_view key) const {
  return mapping_.key.empty() ? shown(key) : fmt::format("{}.{}", mapping_.key, shown(key));
}

std::vector<Value> items(const Value& list, std::string_view of_what, Empty empty,
                         Findings& findings) {
  const yaml::Content& content = *list.node.content;
  const std::string wanted = fmt::format("a list of {}", of_what);
  std::vector<Value> result;
  if (content.kind != yaml::Kind::sequence || content.tagged)
    findings.error(list.at(), expected(wanted, list.node));
  else if (content.items.empty() && empty == Empty::refused)
    findings.error(list.at(), fmt::format("expected {}, at least one, got none", wanted));
  for (const yaml::TreeNode& item : content.items)
    result.push_back({item, fmt::format("{}[{}]", list.key, result.size())});
  return result;
}

}  // namespace lbd::config
