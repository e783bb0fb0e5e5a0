// How long a table takes, beside the paper's pseudo-code written plainly: rounds of both by turns,
// minima, and their ratio.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "maglev/maglev.h"

namespace {

using namespace lbd::maglev;

/// "Maglev: A Fast and Reliable Software Network Load Balancer", pseudo-code 1 in section 3.4, with
/// permutation[i][j] = (offset + j · skip) mod M computed where it is used.
std::vector<int> plain(const std::vector<Member>& members, std::uint32_t rows) {
  struct Backend {
    std::uint64_t offset;
    std::uint64_t skip;
    std::uint64_t next;
  };
  std::vector<Backend> backends;
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

template <class Build>
double milliseconds(Build&& build) {
  const auto begun = std::chrono::steady_clock::now();
  const auto table = build();
  const auto taken = std::chrono::steady_clock::now() - begun;
  if (table.empty()) std::abort();  // keeps the work from being optimized away
  return std::chrono::duration<double, std::milli>(taken).count();
}

struct Figure {
  unsigned members;
  std::uint32_t rows;
  double plain_ms = 1e9;
  double ours_ms = 1e9;
  double weighted_ms = 1e9;
  double skewed_ms = 1e9;  // one of 65535, all others of 1
};

void measure(Figure& figure) {
  std::mt19937_64 random{figure.members};
  std::vector<Member> equal(figure.members);
  for (Member& member : equal) member = {random(), 100};
  auto varied = equal;
  for (Member& member : varied) member.weight = static_cast<std::uint32_t>(random() % 100 + 1);
  auto skewed = equal;
  for (Member& member : skewed) member.weight = 1;
  skewed[0].weight = 65535;
  for (int round = 0; round < 25; round++) {
    figure.plain_ms =
        std::min(figure.plain_ms, milliseconds([&] { return plain(equal, figure.rows); }));
    figure.ours_ms =
        std::min(figure.ours_ms, milliseconds([&] { return build(equal, figure.rows); }));
    figure.weighted_ms =
        std::min(figure.weighted_ms, milliseconds([&] { return build(varied, figure.rows); }));
    figure.skewed_ms =
        std::min(figure.skewed_ms, milliseconds([&] { return build(skewed, figure.rows); }));
  }
}

constexpr double ratio_max = 0.6;  // of the usual table

}  // namespace

int main(int argc, char** argv) {
  bool check = false;
  std::string json;
  for (int i = 1; i < argc; i++) {
    const std::string_view argument = argv[i];
    if (argument == "--check")
      check = true;
    else if (argument == "--json" && i + 1 < argc)
      json = argv[++i];
    else {
      fmt::print(stderr,
                 "usage: maglev_bench [--check] [--json FILE]\n"
                 "  --check  exit 1 where the table of 65537 rows for 100 backends takes "
                 "over {} of the plain time\n",
                 ratio_max);
      return argument == "--help" ? 0 : 2;
    }
  }
  Figure figures[] = {{10, 65537}, {100, 65537}, {1000, 65537}, {10000, 655373}};
  fmt::print("{:>9} {:>8} {:>10} {:>10} {:>7} {:>12} {:>10}\n", "backends", "rows", "plain ms",
             "ours ms", "ratio", "weighted ms", "skewed ms");
  std::string lines;
  for (Figure& figure : figures) {
    measure(figure);
    const double ratio = figure.ours_ms / figure.plain_ms;
    fmt::print("{:>9} {:>8} {:>10.3f} {:>10.3f} {:>7.2f} {:>12.3f} {:>10.3f}\n", figure.members,
               figure.rows, figure.plain_ms, figure.ours_ms, ratio, figure.weighted_ms,
               figure.skewed_ms);
    lines += fmt::format(
        R"({}{{"backends":{},"rows":{},"plain_ms":{:.4f},"ours_ms":{:.4f},"ratio":{:.3f},"weighted_ms":{:.4f},"skewed_ms":{:.4f}}})",
        lines.empty() ? "" : ",\n", figure.members, figure.rows, figure.plain_ms, figure.ours_ms,
        ratio, figure.weighted_ms, figure.skewed_ms);
  }
  if (!json.empty() && !(std::ofstream{json} << "[" << lines << "]\n").flush()) {
    fmt::print(stderr, "write {}: {}\n", json, std::strerror(errno));
    return 2;
  }
  return check && figures[1].ours_ms > ratio_max * figures[1].plain_ms ? 1 : 0;
}
