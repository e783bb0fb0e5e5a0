#include "lbctl/replay.h"

#include <cstdio>

namespace lbd::lbctl {

int replay(std::span<const std::string> /*arguments*/) {
  std::fputs("lbctl: replay: not built yet\n", stderr);
  return 1;
}

}  // namespace lbd::lbctl
