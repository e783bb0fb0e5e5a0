// Maglev consistent hashing: which backend each row of a table belongs to. No BPF, no I/O.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace lbd::maglev {

inline constexpr std::uint32_t table_size_min = 251;
inline constexpr std::uint32_t table_size_max = 655373;

/// A backend as the table sees it. `identity` alone decides its permutation: a well-mixed 64-bit
/// hash of address and port (identity_of), the same on every node, whatever names or orders are.
struct Member {
  std::uint64_t identity = 0;  ///< unique within a table
  std::uint32_t weight = 1;    ///< 0: no rows
};

/// The identity of a backend from its address (4 or 16 bytes, network order) and port.
[[nodiscard]] std::uint64_t identity_of(std::span<const std::uint8_t> address, std::uint16_t port);

/// A prime within table_size_min…table_size_max.
[[nodiscard]] bool is_table_size(std::uint32_t rows);

/// No row has an owner: `members` is empty or all weights are 0.
inline constexpr std::uint16_t no_owner = 0xffff;

/// The owner of each of `rows` rows, as an index into `members`; no_owner where there is none.
/// `rows` is a table size and at most 65534 members are given (assert). The same set of members
/// gives the same owners in any order of `members`.
[[nodiscard]] std::vector<std::uint16_t> build(std::span<const Member> members, std::uint32_t rows);

}  // namespace lbd::maglev
