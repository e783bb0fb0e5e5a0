// Space in an array: which stretch of elements is free, given those that are in use.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace lbd::reconcile {

/// Elements [base, base + size).
struct Extent {
  std::uint32_t base = 0;
  std::uint32_t size = 0;
  bool operator==(const Extent&) const = default;
};

class Extents {
 public:
  explicit Extents(std::uint32_t capacity) : capacity_{capacity} {}

  void extend(std::uint32_t capacity) { capacity_ = capacity; }
  /// Marks a stretch as in use; ones that overlap are joined.
  void use(Extent);
  /// The smallest free stretch that holds `size` elements from a multiple of `align`, then in use;
  /// nothing where none does.
  std::optional<std::uint32_t> take(std::uint32_t size, std::uint32_t align = 1);
  /// Elements after the last one in use that are needed to take `size` more, whatever the holes.
  [[nodiscard]] std::uint64_t end_with(std::uint32_t size, std::uint32_t align = 1) const;

 private:
  std::uint32_t capacity_;
  std::vector<Extent> used_;  // sorted by base, apart from each other
};

}  // namespace lbd::reconcile
