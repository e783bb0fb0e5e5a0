// How a frame that differs from the wanted one is told: the first field that differs, by name.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace lbd::test {

/// "outer ip4.ttl" for an offset into a frame of Ethernet and one or two IP headers.
[[nodiscard]] std::string field_at(std::span<const std::uint8_t> frame, std::size_t offset);

/// What differs first, and both frames in hex with the bytes that differ marked; empty: nothing.
[[nodiscard]] std::string difference(std::span<const std::uint8_t> want,
                                     std::span<const std::uint8_t> got);

}  // namespace lbd::test
