// Linked into a daemon for tests, lbd-dying: it is killed before its n-th write to the maps, from
// 0, where LBD_DIE_BEFORE_WRITE says n.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "lb/dataplane/fault_point.h"

namespace {

long writes_left;

void die_when_none_is_left() {
  if (writes_left-- == 0) ::kill(::getpid(), SIGKILL);
}

const bool armed = [] {
  const char* before = std::getenv("LBD_DIE_BEFORE_WRITE");
  if (before == nullptr) return false;
  writes_left = std::strtol(before, nullptr, 10);
  lbd::dataplane::before_map_write = die_when_none_is_left;
  return true;
}();

}  // namespace
