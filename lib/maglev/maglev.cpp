#include "maglev/maglev.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace lbd::maglev {
namespace {

/// SplitMix64's finish (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

/// One member while the table fills up.
struct Filler {
  std::uint32_t row;    // the next of its permutation
  std::uint32_t skip;   // from there to the one after, modulo rows
  std::uint32_t wants;  // rows it still has to get
  std::uint32_t weight;
  std::uint64_t credit;  // of its weight, not yet spent on turns
  std::uint16_t index;   // into `members`
};

/// The members with rows to get, by identity: the order given must not matter.
std::vector<Filler> fillers(std::span<const Member> members, std::uint32_t rows) {
  std::vector<std::uint16_t> order;
  for (std::size_t i = 0; i < members.size(); i++)
    if (members[i].weight > 0) order.push_back(static_cast<std::uint16_t>(i));
  std::sort(order.begin(), order.end(), [&](std::uint16_t a, std::uint16_t b) {
    return members[a].identity < members[b].identity;
  });
  std::vector<Filler> all;
  all.reserve(order.size());
  for (const std::uint16_t i : order) {
    const std::uint64_t first = mix(members[i].identity);
    const std::uint64_t second = mix(first);
    all.push_back({.row = static_cast<std::uint32_t>(first % rows),
                   .skip = static_cast<std::uint32_t>(second % (rows - 1) + 1),
                   .wants = 0,
                   .weight = members[i].weight,
                   .credit = 0,
                   .index = i});
  }
  return all;
}

/// Shares out all rows by weight: whole rows first, what is left to the largest remainders.
void share_out(std::vector<Filler>& all, std::uint32_t rows) {
  std::uint64_t total = 0;
  for (const Filler& filler : all) total += filler.weight;
  std::uint32_t left = rows;
  std::vector<std::pair<std::uint64_t, std::size_t>> remainders;
  for (std::size_t i = 0; i < all.size(); i++) {
    const std::uint64_t product = std::uint64_t{rows} * all[i].weight;
    all[i].wants = static_cast<std::uint32_t>(product / total);
    left -= all[i].wants;
    remainders.emplace_back(product % total, i);
  }
  std::sort(remainders.begin(), remainders.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  for (std::uint32_t i = 0; i < left; i++) all[remainders[i].second].wants++;
}

std::uint64_t heaviest(const std::vector<Filler>& all) {
  return std::max_element(all.begin(), all.end(),
                          [](const Filler& a, const Filler& b) { return a.weight < b.weight; })
      ->weight;
}

/// Which rows have an owner. A bit each: all of it stays in the first-level cache while rows are
/// tried in random order, 12 or so of them for one that is found free at the end.
class Taken {
 public:
  explicit Taken(std::uint32_t rows) : words_((rows + 63) / 64) {}
  /// Whether it was free until now.
  bool take(std::uint32_t row) {
    std::uint64_t& word = words_[row / 64];
    const std::uint64_t bit = std::uint64_t{1} << row % 64;
    if (word & bit) return false;
    word |= bit;
    return true;
  }

 private:
  std::vector<std::uint64_t> words_;
};

}  // namespace

std::uint64_t identity_of(std::span<const std::uint8_t> address, std::uint16_t port) {
  std::uint64_t hash = mix(address.size() << 16 | port);
  for (std::size_t i = 0; i < address.size(); i += 4)
    hash = mix(hash ^ (std::uint64_t{address[i]} << 24 | std::uint64_t{address[i + 1]} << 16 |
                       std::uint64_t{address[i + 2]} << 8 | address[i + 3]));
  return hash;
}

bool is_table_size(std::uint32_t rows) {
  if (rows < table_size_min || rows > table_size_max || rows % 2 == 0) return false;
  for (std::uint32_t divisor = 3; divisor * divisor <= rows; divisor += 2)
    if (rows % divisor == 0) return false;
  return true;
}

std::vector<std::uint16_t> build(std::span<const Member> members, std::uint32_t rows) {
  assert(is_table_size(rows) && members.size() < no_owner);
  std::vector<std::uint16_t> table(rows, no_owner);
  std::vector<Filler> all = fillers(members, rows);
  if (all.empty()) return table;
  share_out(all, rows);
  const std::uint64_t turn = std::bit_ceil(heaviest(all));
  Taken taken{rows};
  for (std::uint32_t left = rows; left > 0;) {
    for (Filler& filler : all) {
      filler.credit += filler.weight;
      if (filler.credit < turn || filler.wants == 0) continue;
      filler.credit -= turn;
      std::uint32_t row = filler.row;
      const auto advance = [&] {
        row += filler.skip;
        if (row >= rows) row -= rows;
      };
      while (!taken.take(row)) advance();
      table[row] = filler.index;
      advance();
      filler.row = row;
      filler.wants--;
      left--;
    }
  }
  return table;
}

}  // namespace lbd::maglev
