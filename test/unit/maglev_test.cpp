#include "maglev/maglev.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <numeric>
#include <random>

using namespace lbd::maglev;

namespace {

constexpr std::uint32_t usual_rows = 65537;

/// Members with random identities, of weight 100 or of 1 to 100.
std::vector<Member> random_members(unsigned count, bool varied, unsigned seed) {
  std::mt19937_64 random{seed};
  std::vector<Member> members(count);
  for (Member& member : members) {
    member.identity = random();
    member.weight = varied ? static_cast<std::uint32_t>(random() % 100 + 1) : 100;
  }
  return members;
}

std::vector<std::uint32_t> rows_of(const std::vector<std::uint16_t>& table, std::size_t members) {
  std::vector<std::uint32_t> rows(members);
  for (const std::uint16_t owner : table) rows.at(owner)++;
  return rows;
}

/// Rows that change their owner, beyond the removed member's own.
unsigned moved_beyond(const std::vector<Member>& members, std::size_t removed, std::uint32_t rows) {
  const auto before = build(members, rows);
  auto without = members;
  without[removed].weight = 0;
  const auto after = build(without, rows);
  unsigned moved = 0;
  for (std::uint32_t row = 0; row < rows; row++)
    if (before[row] != removed && before[row] != after[row]) moved++;
  return moved;
}

std::uint64_t split_mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

/// The paper's algorithm (section 3.4, pseudo-code 1) round by round, each member with as many rows
/// as `shares` says, and a turn whenever its weights sum up to another `price`.
std::vector<std::uint16_t> plain(const std::vector<Member>& members, std::uint32_t rows,
                                 std::vector<std::uint32_t> shares, std::uint64_t price) {
  std::vector<std::uint16_t> order(members.size());
  std::iota(order.begin(), order.end(), std::uint16_t{0});
  std::sort(order.begin(), order.end(), [&](std::uint16_t a, std::uint16_t b) {
    return members[a].identity < members[b].identity;
  });
  std::vector<std::uint64_t> next(members.size());
  std::vector<std::uint16_t> table(rows, no_owner);
  std::uint32_t filled = 0;
  for (std::uint64_t round = 1; filled < rows; round++)
    for (const std::uint16_t i : order) {
      const std::uint64_t weight = members[i].weight;
      if (shares[i] == 0 || round * weight / price == (round - 1) * weight / price) continue;
      const std::uint64_t first = split_mix(members[i].identity);
      const std::uint64_t offset = first % rows;
      const std::uint64_t skip = split_mix(first) % (rows - 1) + 1;
      while (table[(offset + next[i] * skip) % rows] != no_owner) next[i]++;
      table[(offset + next[i] * skip) % rows] = i;
      shares[i]--;
      filled++;
    }
  return table;
}

std::uint64_t fnv1a(const std::vector<std::uint16_t>& table) {
  std::uint64_t hash = 14695981039346656037U;
  for (const std::uint16_t owner : table)
    for (const unsigned byte : {unsigned{owner} & 0xff, unsigned{owner} >> 8})
      hash = (hash ^ byte) * 1099511628211U;
  return hash;
}

std::vector<Member> ten_backends() {
  std::vector<Member> members;
  for (std::uint8_t i = 1; i <= 10; i++) {
    const std::uint8_t address[] = {10, 0, 0, i};
    members.push_back({identity_of(address, 0), i * 10U});
  }
  return members;
}

}  // namespace

TEST_CASE("every member has its share of rows to within a row or one percent") {
  for (const std::uint32_t rows : {table_size_min, 4093U, usual_rows, table_size_max})
    for (const unsigned count : {1U, 2U, 10U, 100U, 1000U})
      for (const bool varied : {false, true}) {
        if (count > rows) continue;
        INFO(rows << " rows, " << count << " members, " << (varied ? "varied" : "equal"));
        const auto members = random_members(count, varied, count + rows);
        const double total =
            std::accumulate(members.begin(), members.end(), 0.0,
                            [](double sum, const Member& member) { return sum + member.weight; });
        const auto got = rows_of(build(members, rows), count);
        for (unsigned i = 0; i < count; i++) {
          const double share = rows * members[i].weight / total;
          REQUIRE(std::abs(got[i] - share) <= std::max(1.0, share / 100));
        }
      }
}

TEST_CASE("a member that goes moves few rows but its own") {
  struct Case {
    unsigned members;
    bool varied;
    double percent;  // of all rows, by the paper's algorithm
  };
  const Case cases[] = {{10, false, 0.24}, {100, false, 0.56}, {1000, false, 0.58},
                        {10, true, 0.20},  {100, true, 0.53},  {1000, true, 0.52}};
  for (const Case& c : cases) {
    INFO(c.members << " members, " << (c.varied ? "varied" : "equal"));
    double moved = 0;
    unsigned runs = 0;
    for (unsigned seed = 1; seed <= 20; seed++) {
      const auto members = random_members(c.members, c.varied, seed);
      for (unsigned removed = 0; removed < c.members; removed += c.members / 5, runs++)
        moved += moved_beyond(members, removed, usual_rows);
    }
    CHECK(moved / runs / usual_rows * 100 <= 1.15 * c.percent);
  }
}

TEST_CASE("a table is the one that going round by round gives") {
  struct Case {
    const char* name;
    std::vector<std::uint32_t> weights;
    std::uint64_t price;  // of a turn: the power of two that the heaviest weight needs
  };
  const Case cases[] = {
      {"equal", {1, 1, 1, 1, 1, 1, 1}, 1},
      {"equal, no power of two", {100, 100, 100}, 128},
      {"the heaviest is a power of two", {64, 63, 1, 32, 33}, 64},
      {"varied", {1, 100, 7, 50, 99, 2, 64, 65, 3, 31}, 128},
      {"one has nearly all", {1, 65535, 1, 2}, 65536},
      {"turns later than there are rows", {150, 260, 65535, 190, 170, 250, 230, 200}, 65536},
      {"some have none", {0, 5, 0, 3}, 8},
  };
  for (const Case& c : cases)
    for (const std::uint32_t rows : {table_size_min, 4093U}) {
      INFO(c.name << ", " << rows << " rows");
      auto members = random_members(static_cast<unsigned>(c.weights.size()), false, 11);
      for (std::size_t i = 0; i < members.size(); i++) members[i].weight = c.weights[i];
      const auto table = build(members, rows);
      CHECK(table == plain(members, rows, rows_of(table, members.size()), c.price));
    }
}

TEST_CASE("of equal remainders the least identities get a row more") {
  const Member members[] = {{30, 1}, {10, 1}, {40, 1}, {20, 1}};
  CHECK(rows_of(build(members, 251), 4) == std::vector<std::uint32_t>{63, 63, 62, 63});
}

TEST_CASE("a member that outweighs all others has its share") {
  auto members = random_members(32766, false, 1);
  for (Member& member : members) member.weight = 1;
  members[0].weight = 65535;
  const auto got = rows_of(build(members, table_size_max), members.size());
  CHECK(got[0] == 436926);  // 655373 * 65535 / 98300 = 436926.4
}

TEST_CASE("owners do not depend on the order in which members are given") {
  auto members = random_members(50, true, 7);
  const auto table = build(members, usual_rows);
  std::vector<std::size_t> order(members.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937{3});
  std::vector<Member> shuffled;
  for (const std::size_t i : order) shuffled.push_back(members[i]);
  const auto other = build(shuffled, usual_rows);
  for (std::uint32_t row = 0; row < usual_rows; row++) REQUIRE(order[other[row]] == table[row]);
}

TEST_CASE("weights count by their proportion alone") {
  auto members = random_members(20, true, 5);
  const auto table = build(members, 4093);
  for (Member& member : members) member.weight *= 4;
  CHECK(build(members, 4093) == table);
}

TEST_CASE("the table of ten known backends never changes") {
  // Nodes of one tier must agree, whatever version each of them runs.
  CHECK(fnv1a(build(ten_backends(), usual_rows)) == 0xb114047b4fe4bf32);
  const std::uint8_t address[] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  CHECK(identity_of(address, 443) == 0x3ba744628bd341a9);
}

TEST_CASE("identities tell addresses, families and ports apart") {
  std::map<std::uint64_t, unsigned> seen;
  for (unsigned i = 0; i < 20000; i++) {
    const std::uint8_t four[] = {10, 0, static_cast<std::uint8_t>(i >> 8),
                                 static_cast<std::uint8_t>(i)};
    seen[identity_of(four, 0)]++;
    seen[identity_of(four, 1)]++;
    std::uint8_t six[16] = {};
    std::copy(std::begin(four), std::end(four), six + 12);
    seen[identity_of(six, 0)]++;
  }
  CHECK(seen.size() == 60000);
}

TEST_CASE("tables at their limits") {
  CHECK(build({}, 251) == std::vector<std::uint16_t>(251, no_owner));
  const Member idle[] = {{1, 0}, {2, 0}};
  CHECK(build(idle, 251) == std::vector<std::uint16_t>(251, no_owner));
  const Member alone[] = {{1, 0}, {2, 65535}};
  CHECK(build(alone, 251) == std::vector<std::uint16_t>(251, 1));
  const Member unequal[] = {{1, 1}, {2, 65535}};
  CHECK(rows_of(build(unequal, 251), 2) == std::vector<std::uint32_t>{0, 251});
  const auto as_many_as_rows = random_members(251, false, 1);
  CHECK(rows_of(build(as_many_as_rows, 251), 251) == std::vector<std::uint32_t>(251, 1));
  const auto most = random_members(65534, false, 1);
  for (const std::uint32_t rows : rows_of(build(most, table_size_max), most.size()))
    REQUIRE((rows == 10 || rows == 11));
}

TEST_CASE("table sizes are primes within bounds") {
  for (const std::uint32_t rows : {251U, 509U, 65537U, 131071U, 655373U})
    CHECK(is_table_size(rows));
  for (const std::uint32_t rows :
       {0U, 1U, 2U, 241U, 252U, 253U, 65535U, 65536U, 655375U, 655379U, 4294967291U})
    CHECK_FALSE(is_table_size(rows));
}
