// What time brings to an end, told from the maps alone: homes of moving rows, idle flows, backends
// and services that left and are named by nothing any more.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "lb/dataplane/abi.h"
#include "lb/dataplane/flow_memory.h"
#include "lb/reconcile/held.h"
#include "lb/reconcile/rows.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

struct IdleTimes {
  std::chrono::seconds tcp{7500};
  std::chrono::seconds tcp_closing{120};  ///< after FIN or RST; never more than `tcp`
  std::chrono::seconds udp{60};
  std::optional<std::chrono::seconds> change_wait{600};  ///< nothing: for ever
};

struct Swept {
  std::uint64_t rows_moving = 0;  ///< that still move
  std::uint64_t rows_settled = 0;
  std::uint64_t rows_yielded = 0;  ///< whose home was given up before its time
  std::uint64_t flows = 0;         ///< that are stored; only where `scanned`
  std::uint64_t flows_deleted = 0;
  std::uint64_t backends_freed = 0;
  std::uint64_t services_freed = 0;
  bool scanned = false;  ///< all flows were looked at
};

/// Whether a round looks at all flows, which takes a grace period and time in proportion to the
/// table: never, where a row, a backend or a service waits for it, or in any case.
enum class Scan : std::uint8_t { no, if_needed, yes };

/// What one round leaves for the next. A successor that has none of it is late, never early.
struct SweepMemory {
  std::unordered_map<std::uint32_t, Seconds> refusing;      // row -> since when it refuses
  std::unordered_map<std::uint32_t, std::uint64_t> halves;  // cell -> owner, on its way in or out
  std::optional<std::uint32_t> next_cell_line;  // none yet: all, or one that often dies sees few
  std::optional<Seconds> refilled;              // the tokens of adoption
};

/// One round: begin() looks at all rows, go_on() at some thousand flows each time it is called. Not
/// to be gone on with after rows were changed by others than it.
class Sweep {
 public:
  Sweep(Writer&, const abi::hash_key&, const IdleTimes&, SweepMemory&);

  Result<> begin(Scan);
  Result<> go_on();
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] const Swept& swept() const { return swept_; }

 private:
  using ServiceSlot = std::pair<std::uint32_t, std::uint16_t>;  // service index, slot

  [[nodiscard]] bool needed() const;
  void refill_tokens();
  void forget_old_cells();
  void look_at_rows();
  void look_at_ring(const HeldService&, const abi::ring_desc&, std::uint32_t idle,
                    std::vector<bool>& named);
  void look_at_home(const HeldService&, std::uint32_t row, std::uint32_t idle);
  [[nodiscard]] bool yields(const HeldService&, std::uint32_t row);
  void look_at_flow(std::uint32_t index);
  [[nodiscard]] bool stays(const dataplane::StoredFlow&);
  [[nodiscard]] std::uint32_t idle_of(Protocol, std::uint8_t flags) const;
  [[nodiscard]] bool may_free(std::uint32_t since) const;
  Result<> finish();
  void end_rows();
  Result<> free_backends();
  [[nodiscard]] bool counts_settled(const HeldService&) const;
  void free_services();

  Writer& writer_;
  Rows rows_;
  const abi::hash_key& hash_key_;
  IdleTimes idle_;
  SweepMemory& memory_;
  dataplane::FlowMemory flows_;
  Held held_;
  Seconds now_;
  std::map<std::uint32_t, const HeldService*> services_;
  std::unordered_map<std::uint32_t, std::uint16_t> ending_;  // row -> bits of foreign entries
  std::set<ServiceSlot> unnamed_;                            // removed backends to be freed
  std::unordered_map<std::uint32_t, std::uint64_t> halves_;
  std::uint32_t next_ = 0;
  bool done_ = false;
  Swept swept_;
};

}  // namespace lbd::reconcile
