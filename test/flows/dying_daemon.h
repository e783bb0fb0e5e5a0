// A daemon that dies before one of its writes, in this process: what it had in memory is lost with
// Kernel::restart().
#pragma once
#include <functional>

namespace lbd::test {

/// Runs `work` until it is about to do its n-th write, from 0, and ends it there. False: it had
/// fewer. The kernel must be restarted after it.
bool ends_before_write(unsigned n, const std::function<void()>& work);

/// Runs `work` and calls `between` before each of its writes.
void with_packets_between(const std::function<void()>& between, const std::function<void()>& work);

}  // namespace lbd::test
