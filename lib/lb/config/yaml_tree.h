// A YAML document as a tree that keeps what a schema needs to complain well: places, the order of
// keys, keys written twice, and whether a scalar was quoted. Bounded in memory and time, whatever
// the text is.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lbd::config::yaml {

/// Lines and characters (not bytes) of the text, from 1.
struct Place {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
  auto operator<=>(const Place&) const = default;
};

// docs/configuration.md, "Limits".
inline constexpr std::size_t bytes_max = 16U << 20;
inline constexpr std::size_t punctuation_max = 2'000'000;
inline constexpr std::size_t depth_max = 32;
inline constexpr std::size_t size_max = 1'000'000;

enum class Kind : std::uint8_t { null, scalar, sequence, mapping };

struct Content;

/// What stands at a place. An alias is a node of its own place that shares its anchor's content.
struct TreeNode {
  Place place;
  const Content* content = nullptr;
};

struct Entry {
  TreeNode key;
  TreeNode value;
};

struct Content {
  Kind kind = Kind::null;
  bool plain = false;   ///< a scalar without quotes, which may be a number or a boolean
  bool tagged = false;  ///< has a tag of its own ("!!str", "!x"), which no schema here knows
  std::string text;     ///< of a scalar
  std::vector<TreeNode> items;  ///< of a sequence
  std::vector<Entry> entries;   ///< of a mapping, in the text's order, repeated keys included
  std::size_t size = 1;         ///< nodes with all aliases expanded; long texts count as several
};

/// One document; nodes point into it, and stay valid when it is moved.
struct Document {
  std::deque<Content> contents;
  TreeNode root;
};

/// Why a text is no document.
struct Refusal {
  Place place;
  std::string expected;
};

/// Reads the one document of `text`. Never throws.
[[nodiscard]] std::variant<Document, Refusal> read(std::string_view text);

}  // namespace lbd::config::yaml
