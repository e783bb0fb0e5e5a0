// xdp/abi.h and xdp/hash.h as C++ sees them: in a namespace, so that struct service and
// lbd::Service can be told apart.
#pragma once
#include <linux/types.h>

namespace lbd::abi {
#include "hash.h"  // NOLINT(misc-include-cleaner): the BPF side's header, from xdp/
}  // namespace lbd::abi
