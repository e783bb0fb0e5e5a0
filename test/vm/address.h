// The address space of machines: a region's number above, an offset in it below.
#pragma once
#include <cstdint>

namespace lbd::vm {

enum class Region : std::uint32_t {
  none,  ///< of NULL and of small numbers
  context,
  stack,
  packet,
  map,        ///< maps themselves, as helpers take them
  memory = 8  ///< of map 0; the others follow
};

inline constexpr int offset_bits = 40;
inline constexpr std::uint64_t offset_mask = (std::uint64_t{1} << offset_bits) - 1;

constexpr std::uint64_t address_in(Region region, std::uint64_t offset) {
  return (std::uint64_t{static_cast<std::uint32_t>(region)} << offset_bits) + offset;
}
constexpr std::uint64_t address_in_map(std::uint32_t map, std::uint64_t offset) {
  return address_in(Region::memory, offset) + (std::uint64_t{map} << offset_bits);
}
constexpr std::uint64_t region_of(std::uint64_t address) {
  return address >> offset_bits;
}
constexpr bool is_in(Region region, std::uint64_t address) {
  return region_of(address) == static_cast<std::uint32_t>(region);
}

}  // namespace lbd::vm
