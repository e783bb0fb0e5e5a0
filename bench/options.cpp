#include "options.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace lbd::bench {
namespace {

[[noreturn]] void usage_and_exit(const char* usage, int status) {
  fmt::print(status == 0 ? stdout : stderr, "usage: {}\n", usage);
  std::exit(status);
}

}  // namespace

Options options_of(int argc, char** argv, const char* usage, int rounds, int quick_rounds) {
  Options options;
  const std::string_view known{usage};
  for (int i = 1; i < argc; i++) {
    const std::string_view argument = argv[i];
    const bool more = i + 1 < argc;
    if (argument == "--help") usage_and_exit(usage, 0);
    if (known.find(argument) == std::string_view::npos) usage_and_exit(usage, 2);
    if (argument == "--quick")
      options.quick = true;
    else if (argument == "--check")
      options.check = true;
    else if (argument == "--only" && more)
      options.only = argv[++i];
    else if (argument == "--json" && more)
      options.json = argv[++i];
    else if (argument == "--rounds" && more)
      options.rounds = std::atoi(argv[++i]);
    else
      usage_and_exit(usage, 2);
  }
  if (options.rounds == 0) options.rounds = options.quick ? quick_rounds : rounds;
  if (options.rounds < 1) usage_and_exit(usage, 2);
  return options;
}

}  // namespace lbd::bench
