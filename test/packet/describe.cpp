#include "packet/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace lbd::test {
namespace {

struct Field {
  std::size_t offset;
  const char* name;
};

constexpr Field ethernet[] = {{0, "eth.dst"}, {6, "eth.src"}, {12, "eth.type"}, {14, ""}};
constexpr Field ip4[] = {{0, "ip4.version_ihl"},
                         {1, "ip4.tos"},
                         {2, "ip4.length"},
                         {4, "ip4.id"},
                         {6, "ip4.fragment"},
                         {8, "ip4.ttl"},
                         {9, "ip4.protocol"},
                         {10, "ip4.checksum"},
                         {12, "ip4.src"},
                         {16, "ip4.dst"},
                         {20, ""}};
constexpr Field ip6[] = {{0, "ip6.version_class_label"},
                         {4, "ip6.length"},
                         {6, "ip6.next"},
                         {7, "ip6.hop_limit"},
                         {8, "ip6.src"},
                         {24, "ip6.dst"},
                         {40, ""}};

/// The last field that begins at or before `offset`; "" where that is behind the header.
template <std::size_t N>
std::string_view name_in(const Field (&fields)[N], std::size_t offset) {
  std::string_view name;
  for (const Field& field : fields)
    if (field.offset <= offset) name = field.name;
  return name;
}

std::string marked_hex(std::span<const std::uint8_t> frame, std::span<const std::uint8_t> other) {
  std::string text;
  for (std::size_t i = 0; i < frame.size(); i++) {
    const bool differs = i >= other.size() || frame[i] != other[i];
    text += fmt::format("{}{:02x}{}", differs ? '[' : ' ', frame[i], differs ? ']' : ' ');
    if (i % 16 == 15) text += "\n      ";
  }
  return text;
}

}  // namespace

std::string field_at(std::span<const std::uint8_t> frame, std::size_t offset) {
  if (offset < 14) return std::string{name_in(ethernet, offset)};
  std::size_t start = 14;
  for (const char* which : {"outer ", "inner "}) {
    if (start >= frame.size()) break;
    const bool v6 = frame[start] >> 4 == 6;
    const std::string_view name = v6 ? name_in(ip6, offset - start) : name_in(ip4, offset - start);
    if (!name.empty()) return fmt::format("{}{}", which, name);
    start += v6 ? 40 : 20;
  }
  return fmt::format("byte {}", offset);
}

std::string difference(std::span<const std::uint8_t> want, std::span<const std::uint8_t> got) {
  const auto [in_want, in_got] = std::mismatch(want.begin(), want.end(), got.begin(), got.end());
  if (in_want == want.end() && in_got == got.end()) return {};
  const auto at = static_cast<std::size_t>(in_want - want.begin());
  std::string first = fmt::format("length: want {}, got {}", want.size(), got.size());
  if (in_want != want.end() && in_got != got.end())
    first = fmt::format("{}: want {:#04x}, got {:#04x} (byte {})", field_at(want, at), *in_want,
                        *in_got, at);
  return fmt::format("{}\n want {}\n got  {}", first, marked_hex(want, got), marked_hex(got, want));
}

}  // namespace lbd::test
