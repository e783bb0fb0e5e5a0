#include "lb/config/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "lb/config/utf8.h"

namespace lbd::config::yaml {
namespace {

constexpr std::string_view yaml_punctuation = "[]{},:?&*!'\"";

/// Thrown through the parser by the tree's builder.
struct Stop {
  Refusal refusal;
};

/// Turns the parser's marks, which count bytes, into places.
class Places {
 public:
  explicit Places(std::string_view text) : text_{text} {
    for (std::size_t at = 0; at < text.size(); at++)
      if (text[at] == '\n') line_starts_.push_back(at + 1);
  }

  Place at(const YAML::Mark& mark) { return at(byte(mark)); }

  Place at(std::size_t byte) {
    const auto next_line = std::upper_bound(line_starts_.begin(), line_starts_.end(), byte);
    const auto line = static_cast<std::uint32_t>(next_line - line_starts_.begin());
    // Marks mostly go forward: a line of many values is walked once, not once a value.
    if (line != place_.line || byte < byte_) {
      place_ = {line, 1};
      byte_ = line_starts_[line - 1];
    }
    for (; byte_ < byte; byte_++)
      if (!utf8::continues(text_[byte_])) place_.column++;
    return place_;
  }

  [[nodiscard]] std::size_t byte(const YAML::Mark& mark) const {
    return std::min(static_cast<std::size_t>(std::max(mark.pos, 0)), text_.size());
  }
  [[nodiscard]] std::string_view text() const { return text_; }

 private:
  std::string_view text_;
  std::vector<std::size_t> line_starts_{0};
  std::size_t byte_ = 0;  // of place_
  Place place_;
};

/// Builds the tree from the parser's events.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(std::string_view text) : places_{text} {}

  [[nodiscard]] bool has_document() const { return documents_ > 0; }
  Document take() { return std::move(document_); }
  Place at(const YAML::Mark& mark) { return places_.at(mark); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Stop{{at(mark), "expected one document, not a second one"}};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Content& content = make(mark, Kind::null, "?");
    remember(anchor, content);
    add({place_of_null(mark), &content});
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end() || found->second == nullptr)
      throw Stop{{at(mark),
                  "expected an alias to something complete: this one is inside its own "
                  "anchor"}};
    charge(mark, found->second->size);
    add({at(mark), found->second});
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Content& content = make(mark, Kind::scalar, tag);
    content.plain = tag == "?";
    content.text = value;
    // Aliases of one long text must cost as much as many of short ones.
    constexpr std::size_t text_bytes_per_node = 64;
    charge(mark, value.size() / text_bytes_per_node);
    content.size += value.size() / text_bytes_per_node;
    remember(anchor, content);
    add({at(mark), &content});
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, Kind::sequence, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, Kind::mapping, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  /// A sequence or mapping that has not ended.
  struct Open {
    Place place;
    Content* content;
    YAML::anchor_t anchor;
    std::optional<TreeNode> key;  // of a mapping: waits for its value
  };

  Content& make(const YAML::Mark& mark, Kind kind, const std::string& tag) {
    charge(mark, 1);
    Content& content = document_.contents.emplace_back();
    content.kind = kind;
    content.tagged = !tag.empty() && tag != "?" && tag != "!";
    return content;
  }

  void charge(const YAML::Mark& mark, std::size_t nodes) {
    spent_ += nodes;
    if (spent_ > size_max)
      throw Stop{
          {at(mark), fmt::format("expected at most {} values in all, aliases expanded", size_max)}};
  }

  void remember(YAML::anchor_t anchor, const Content& content) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = &content;
  }

  void open(const YAML::Mark& mark, Kind kind, const std::string& tag, YAML::anchor_t anchor) {
    if (open_.size() == depth_max)
      throw Stop{{at(mark), fmt::format("expected at most {} levels of nesting", depth_max)}};
    if (anchor != YAML::NullAnchor) anchors_[anchor] = nullptr;
    open_.push_back({at(mark), &make(mark, kind, tag), anchor, std::nullopt});
  }

  void close() {
    const Open done = open_.back();
    open_.pop_back();
    remember(done.anchor, *done.content);
    add({done.place, done.content});
  }

  void add(const TreeNode& node) {
    if (open_.empty()) {
      document_.root = node;
      return;
    }
    Open& parent = open_.back();
    parent.content->size += node.content->size;
    if (parent.content->kind == Kind::sequence) {
      parent.content->items.push_back(node);
    } else if (parent.key) {
      parent.content->entries.push_back({*parent.key, node});
      parent.key.reset();
    } else {
      parent.key = node;
    }
  }

  /// The parser marks what is left out by the token behind it, perhaps lines below. A value that is
  /// left out is placed at its key, an item at its dash.
  Place place_of_null(const YAML::Mark& mark) {
    const Place marked = at(mark);
    if (open_.empty()) return marked;
    const Open& parent = open_.back();
    const std::string_view text = places_.text();
    const std::size_t byte = places_.byte(mark);
    const bool written = text.substr(byte, 1).find_first_of("~nN") == 0;
    Place owner = marked;
    if (parent.key) {
      owner = parent.key->place;
    } else {
      const auto before = text.substr(0, byte).find_last_not_of(" \t\r\n");
      if (before != std::string_view::npos && text[before] == '-') owner = places_.at(before);
    }
    return written && owner.line == marked.line ? marked : owner;
  }

  Places places_;
  Document document_;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, const Content*> anchors_;  // null: has not ended
  std::size_t spent_ = 0;
  int documents_ = 0;
};

/// What must hold of the bytes before a parser sees them.
std::optional<Refusal> refuse_bytes(std::string_view text) {
  if (text.size() > bytes_max)
    return Refusal{{}, fmt::format("expected a file of at most {} MiB", bytes_max >> 20)};
  Place place;
  std::size_t punctuation = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8::length_at(text, at);
    const char byte = text[at];
    if (length == 0) return Refusal{place, "expected UTF-8 text"};
    if (static_cast<unsigned char>(byte) < ' ' && byte != '\t' && byte != '\n' && byte != '\r')
      return Refusal{place, fmt::format("expected text, got the control character 0x{:02x}", byte)};
    // The scanner holds a bracket's tokens, 240 bytes each, until it closes, and no two tokens
    // stand there without one of these.
    if (yaml_punctuation.find(byte) != std::string_view::npos && ++punctuation > punctuation_max)
      return Refusal{place,
                     fmt::format("expected at most {} of {}", punctuation_max, yaml_punctuation)};
    place = byte == '\n' ? Place{place.line + 1, 1} : Place{place.line, place.column + 1};
    at += length;
  }
  return std::nullopt;
}

std::variant<Document, Refusal> build(std::string_view text) {
  Builder builder{text};
  try {
    std::istringstream stream{std::string{text}};
    YAML::Parser parser{stream};
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    return stop.refusal;
  } catch (const YAML::DeepRecursion& failure) {
    return Refusal{builder.at(failure.mark),
                   fmt::format("expected at most {} levels of nesting", depth_max)};
  } catch (const YAML::Exception& failure) {
    return Refusal{builder.at(failure.mark), fmt::format("expected YAML: {}", failure.msg)};
  } catch (const std::exception& failure) {
    return Refusal{{}, fmt::format("expected YAML: {}", failure.what())};
  }
  if (!builder.has_document()) return Refusal{{}, "expected a configuration, got an empty file"};
  return builder.take();
}

}  // namespace

std::variant<Document, Refusal> read(std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  if (auto refusal = refuse_bytes(text)) return *std::move(refusal);
  return build(text);
}

}  // namespace lbd::config::yaml
