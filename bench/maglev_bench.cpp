// How long a table takes, beside the paper's pseudo-code written plainly, and how long rows take to
// change owners: minima of rounds.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "maglev/maglev.h"
#include "options.h"
#include "report.h"
#include "rewinder.h"
#include "row_moves.h"

namespace {

using namespace lbd::bench;
using lbd::maglev::Member;

/// "Maglev: A Fast and Reliable Software Network Load Balancer", pseudo-code 1 in section 3.4, with
/// permutation[i][j] = (offset + j · skip) mod M computed where it is used.
std::vector<int> plain(const std::vector<Member>& members, std::uint32_t rows) {
  struct Backend {
    std::uint64_t offset;
    std::uint64_t skip;
    std::uint64_t next;
  };
  std::vector<Backend> backends;
  backends.reserve(members.size());
  for (const Member& member : members)
    backends.push_back({member.identity % rows, (member.identity >> 32) % (rows - 1) + 1, 0});
  std::vector<int> entry(rows, -1);
  std::uint32_t filled = 0;
  for (;;) {
    for (std::size_t i = 0; i < backends.size(); i++) {
      Backend& backend = backends[i];
      std::uint64_t row = (backend.offset + backend.next * backend.skip) % rows;
      while (entry[row] >= 0) {
        backend.next++;
        row = (backend.offset + backend.next * backend.skip) % rows;
      }
      entry[row] = static_cast<int>(i);
      backend.next++;
      if (++filled == rows) return entry;
    }
  }
}

/// The least of what it was and what `build` takes, ms.
template <class Build>
void time_build(double& least, Build&& build) {
  const auto begun = std::chrono::steady_clock::now();
  const auto table = build();
  const auto taken = std::chrono::steady_clock::now() - begun;
  if (table.empty()) std::abort();  // keeps the work from being optimized away
  least = std::min(least, std::chrono::duration<double, std::milli>(taken).count());
}

struct Figure {
  unsigned members;
  std::uint32_t rows;
  std::vector<Member> equal{};
  std::vector<Member> varied{};  // weights of 1 to 100
  std::vector<Member> skewed{};  // one of 65535, all others of 1
  double plain_ms = 1e9;
  double ours_ms = 1e9;
  double varied_ms = 1e9;
  double skewed_ms = 1e9;
};

void draw_members(Figure& figure) {
  std::mt19937_64 random{figure.members};
  figure.equal.resize(figure.members);
  for (Member& member : figure.equal) member = {random(), 100};
  figure.varied = figure.skewed = figure.equal;
  for (Member& member : figure.varied)
    member.weight = static_cast<std::uint32_t>(random() % 100 + 1);
  for (Member& member : figure.skewed) member.weight = 1;
  figure.skewed[0].weight = 65535;
}

void measure(Figure& figure) {
  using lbd::maglev::build;
  time_build(figure.plain_ms, [&] { return plain(figure.equal, figure.rows); });
  time_build(figure.ours_ms, [&] { return build(figure.equal, figure.rows); });
  time_build(figure.varied_ms, [&] { return build(figure.varied, figure.rows); });
  time_build(figure.skewed_ms, [&] { return build(figure.skewed, figure.rows); });
}

void print_tables(const std::vector<Figure>& figures) {
  fmt::print("{:<14} {:>8} {:>10} {:>10} {:>7} {:>12} {:>10}\n", "table, ms", "rows", "plain",
             "lbd", "ratio", "weights 1-100", "one heavy");
  for (const Figure& figure : figures)
    fmt::print("{:>5} backends {:>8} {:>10.3f} {:>10.3f} {:>7.2f} {:>12.3f} {:>10.3f}\n",
               figure.members, figure.rows, figure.plain_ms, figure.ours_ms,
               figure.ours_ms / figure.plain_ms, figure.varied_ms, figure.skewed_ms);
}

void print_moves(const std::vector<RowMove>& moves) {
  fmt::print("{:<58} {:>8} {:>10} {:>10}\n", "rows that change owners, us", "rows", "min",
             "median");
  for (const RowMove& move : moves)
    fmt::print("{:<58} {:>8} {:>10.1f} {:>10.1f}\n", move.what, move.rows, minimum(move.us),
               median(move.us));
}

boost::json::value to_json(const std::vector<Figure>& figures, const std::vector<RowMove>& moves,
                           int rounds) {
  boost::json::array builds;
  for (const Figure& figure : figures)
    builds.push_back({{"backends", figure.members},
                      {"rows", figure.rows},
                      {"plainMs", rounded(figure.plain_ms, 4)},
                      {"lbdMs", rounded(figure.ours_ms, 4)},
                      {"ratio", rounded(figure.ours_ms / figure.plain_ms, 3)},
                      {"variedMs", rounded(figure.varied_ms, 4)},
                      {"skewedMs", rounded(figure.skewed_ms, 4)}});
  boost::json::array changes;
  for (const RowMove& move : moves)
    changes.push_back({{"what", move.what},
                       {"rows", move.rows},
                       {"minUs", rounded(minimum(move.us), 2)},
                       {"medianUs", rounded(median(move.us), 2)}});
  return {{"rounds", rounds}, {"builds", std::move(builds)}, {"moves", std::move(changes)}};
}

constexpr double ratio_max = 0.6;  // of the usual table, with --check

}  // namespace

int main(int argc, char** argv) {
  const Options options =
      options_of(argc, argv, "maglev_bench [--quick] [--rounds N] [--check] [--json FILE]", 25, 5);
  stay_on_one_cpu();
  std::vector<Figure> figures{{10, 65537}, {100, 65537}, {1000, 65537}, {10000, 655373}};
  for (Figure& figure : figures) draw_members(figure);
  // A table's variants by turns, but one size after the other: larger tables leave allocator and
  // caches in a state that is no daemon's.
  for (Figure& figure : figures)
    for (int round = 0; round < options.rounds; round++) {
      show_progress(fmt::format("tables of {} backends", figure.members), round, options.rounds);
      measure(figure);
    }
  RowMoves moves;
  for (int round = 0; round < options.rounds; round++) {
    show_progress("rows", round, options.rounds);
    moves.measure();
  }
  end_progress();
  print_tables(figures);
  print_moves(moves.results());
  if (!options.json.empty())
    write_section(options.json, "tables", to_json(figures, moves.results(), options.rounds));
  const Figure& usual = figures[1];
  if (!options.check || usual.ours_ms <= ratio_max * usual.plain_ms) return 0;
  fmt::print(stderr,
             "maglev_bench: the table of {} rows for {} backends takes over {} of the plain "
             "time\n",
             usual.rows, usual.members, ratio_max);
  return 1;
}
