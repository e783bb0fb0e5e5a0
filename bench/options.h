// The command line that all benchmarks have.
#pragma once
#include <string>

namespace lbd::bench {

struct Options {
  int rounds = 0;      ///< as given, else the benchmark's own
  bool quick = false;  ///< few rounds, and not what takes long to prepare
  bool check = false;  ///< fail where a figure is worse than it must be
  std::string only;    ///< cases whose name contains it
  std::string json;    ///< document to write to; empty: none
};

/// Ends the program where the arguments are not understood. `usage`: what the benchmark takes of
/// these, "--check" and "--only" included where it knows them.
[[nodiscard]] Options options_of(int argc, char** argv, const char* usage, int rounds,
                                 int quick_rounds);

}  // namespace lbd::bench
