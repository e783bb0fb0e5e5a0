#include "maglev/maglev.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <numeric>
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
  std::uint32_t wants;  // rows it is to get
  std::uint32_t weight;
  std::uint16_t index;  // into `members`
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

/// The rounds in which one member has its turns: its weight is added up round by round, and each
/// time the sum reaches another multiple of `price` it has a turn. So the turn k (from 1) is in
/// round ceil(k * price / weight), here without a division each.
class Rounds {
 public:
  Rounds(std::uint64_t price, std::uint32_t weight, std::uint64_t round_max)
      : weight_{weight}, whole_{price / weight}, rest_{price % weight}, round_max_{round_max} {}

  std::size_t next() {
    round_ += whole_;
    if (over_ < rest_) {
      round_++;
      over_ += weight_;
    }
    over_ -= rest_;
    return std::min(round_, round_max_);
  }

 private:
  std::uint64_t weight_;
  std::uint64_t whole_;
  std::uint64_t rest_;
  std::uint64_t round_max_;
  std::uint64_t round_ = 0;
  std::uint64_t over_ = 0;  // round_ * weight_ beyond the multiple of the price
};

/// Who has the turn, row after row, as an index into `all`: by round, within a round by identity. A
/// counting sort, since going through all members round by round takes seconds where one member
/// outweighs thousands.
std::vector<std::uint16_t> turns(const std::vector<Filler>& all, std::uint32_t rows) {
  // A power of two, so that the rounds stay as they are when the heaviest goes or changes a little.
  const std::uint64_t price = std::bit_ceil(heaviest(all));
  // No later round exists with weights of 16 bits; larger ones may meet in the last.
  const std::uint64_t round_max = 2 * std::uint64_t{rows} + 65536;
  std::uint64_t last = 0;
  for (const Filler& filler : all)
    last = std::max(last, (filler.wants * price + filler.weight - 1) / filler.weight);
  std::vector<std::uint32_t> place(std::min(last, round_max) + 2);  // of a round's next turn
  for (const Filler& filler : all) {
    Rounds rounds{price, filler.weight, round_max};
    for (std::uint32_t i = 0; i < filler.wants; i++) place[rounds.next() + 1]++;
  }
  std::partial_sum(place.begin(), place.end(), place.begin());
  std::vector<std::uint16_t> owners(rows);
  for (std::size_t who = 0; who < all.size(); who++) {
    Rounds rounds{price, all[who].weight, round_max};
    for (std::uint32_t i = 0; i < all[who].wants; i++)
      owners[place[rounds.next()]++] = static_cast<std::uint16_t>(who);
  }
  return owners;
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
  assert(address.size() == 4 || address.size() == 16);
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
  Taken taken{rows};
  for (const std::uint16_t who : turns(all, rows)) {
    Filler& filler = all[who];
    std::uint32_t row = filler.row;
    const auto advance = [&] {
      row += filler.skip;
      if (row >= rows) row -= rows;
    };
    while (!taken.take(row)) advance();
    table[row] = filler.index;
    advance();
    filler.row = row;
  }
  return table;
}

}  // namespace lbd::maglev
