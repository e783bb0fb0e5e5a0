// How a frame that differs from the wanted one is told: the first field that differs, by name.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace lbd::test {

using Frame = std::span<const std::uint8_t>;

/// The first field that differs, "outer ip4.ttl: want 64, got 63", and both frames in hex with the
/// bytes that differ marked; empty: nothing differs. Headers are found by what `want` says.
[[nodiscard]] std::string difference(Frame want, Frame got);

}  // namespace lbd::test
