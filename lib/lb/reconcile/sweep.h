// What time brings to an end, told from the maps alone: homes of moving rows, idle flows, backends
// and services that left and are named by nothing any more.
#pragma once
#include <chrono>
#include <cstdint>

#include "lb/dataplane/abi.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

struct IdleTimes {
  std::chrono::seconds tcp{7500};
  std::chrono::seconds tcp_closing{120};  ///< after FIN or RST
  std::chrono::seconds udp{60};
};

struct Swept {
  std::uint64_t rows_moving = 0;  ///< that still move
  std::uint64_t rows_settled = 0;
  std::uint64_t flows = 0;  ///< that are stored; only where `scanned`
  std::uint64_t flows_deleted = 0;
  std::uint64_t backends_freed = 0;
  std::uint64_t services_freed = 0;
  bool scanned = false;  ///< all flows were looked at
};

/// Whether a round looks at all flows, which takes a grace period and time in proportion to the
/// table: never, where a row, a backend or a service waits for it, or in any case.
enum class Scan : std::uint8_t { no, if_needed, yes };

/// One round. Looks at all rows of the services there are, then at flows by `scan`.
Result<Swept> sweep_once(Writer&, const abi::hash_key&, const IdleTimes&, Scan scan);

}  // namespace lbd::reconcile
