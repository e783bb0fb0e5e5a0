// SipHash-2-4 (Aumasson & Bernstein, "SipHash: a fast short-input PRF"): 64 bits of any bytes
// under a key of 128.
#pragma once
#include <cstdint>
#include <span>

namespace lbd::dataplane {

[[nodiscard]] std::uint64_t siphash24(std::span<const std::uint8_t, 16> key,
                                      std::span<const std::uint8_t> bytes);

}  // namespace lbd::dataplane
