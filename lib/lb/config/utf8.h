// UTF-8: where characters begin and whether they are valid (RFC 3629).
#pragma once
#include <cstddef>
#include <string_view>

namespace lbd::config::utf8 {

/// Whether a byte belongs to the character that an earlier one began.
[[nodiscard]] constexpr bool continues(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

/// Bytes of the character that begins at `at`, 0 where none does: overlong forms, surrogates and
/// what is beyond U+10FFFF are none.
[[nodiscard]] constexpr std::size_t length_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length == 0 || first > 0xf4 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; i++)
    if (!continues(text[at + i])) return 0;
  const unsigned char second = byte(1);
  const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                   (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return bad ? 0 : length;
}

}  // namespace lbd::config::utf8
