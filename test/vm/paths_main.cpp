// lbd-paths: what each path of a packet costs, in counts that do not depend on the machine.
#include <fmt/format.h>

#include <cstdio>
#include <span>
#include <string_view>

#include "vm/paths.h"

int main(int argc, char** argv) {
  const std::span arguments{argv + 1, static_cast<std::size_t>(argc - 1)};
  const bool has_format = arguments.size() == 2 && std::string_view{arguments[0]} == "-o";
  const std::string_view format = has_format ? arguments[1] : "markdown";
  if ((!arguments.empty() && !has_format) || (format != "json" && format != "markdown")) {
    fmt::print(stderr, "usage: lbd-paths [-o markdown|json]\n");
    return 2;
  }
  const auto paths = lbd::vm::measure_paths();
  if (!paths) {
    fmt::print(stderr, "lbd-paths: {}\n", paths.error().message());
    return 1;
  }
  fmt::print("{}\n", format == "json" ? lbd::vm::to_json(*paths) : lbd::vm::to_markdown(*paths));
  return 0;
}
