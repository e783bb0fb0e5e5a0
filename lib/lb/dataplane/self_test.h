// Whether this kernel runs the program as it must: asked before it gets to see traffic.
#pragma once
#include "lb/log/log.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

/// Loads a second copy of the program on maps of its own, gives it one service with one backend and
/// runs it on one packet: it must forward it and count it.
Result<> self_test(const Log&);

}  // namespace lbd::dataplane
