#include "dying_daemon.h"

#include "lb/dataplane/fault_point.h"

namespace lbd::test {
namespace {

struct Death {};

std::function<void()> at_write;

void call() {
  at_write();
}

/// The fault point is set for as long as this lives.
struct AtEachWrite {
  explicit AtEachWrite(std::function<void()> what) {
    at_write = std::move(what);
    dataplane::before_map_write = call;
  }
  ~AtEachWrite() {
    dataplane::before_map_write = nullptr;
    at_write = nullptr;
  }
  AtEachWrite(const AtEachWrite&) = delete;
  AtEachWrite& operator=(const AtEachWrite&) = delete;
};

}  // namespace

bool ends_before_write(unsigned n, const std::function<void()>& work) {
  unsigned left = n;
  const AtEachWrite hook{[&left] {
    if (left-- == 0) throw Death{};
  }};
  try {
    work();
  } catch (const Death&) {
    return true;
  }
  return false;
}

void with_packets_between(const std::function<void()>& between, const std::function<void()>& work) {
  const AtEachWrite hook{between};
  work();
}

}  // namespace lbd::test
