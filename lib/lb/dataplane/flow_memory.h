// The flows that programs remember while rows move, as the daemon reads and removes them. The order
// in which both sides write a cell is told at struct flow_cell in abi.h.
#pragma once
#include <cstdint>
#include <optional>

#include "lb/dataplane/abi.h"
#include "lb/dataplane/data_plane.h"

namespace lbd::dataplane {

/// Lines of the flow table for so many flows: half as many cells more, so that hardly a flow finds
/// both of its lines full before there are as many as that (docs/performance.md).
[[nodiscard]] std::uint32_t flow_lines_for(std::uint32_t entries);
/// The flows that so many lines are for.
[[nodiscard]] std::uint64_t flow_entries_of(std::uint32_t flow_lines);
[[nodiscard]] std::uint32_t start_lines_for(std::uint32_t starts);
/// New flows a second that fit while every row moves: cells are kept for START_HOLD seconds, and
/// three in four are taken before one start in a hundred is refused (docs/performance.md).
[[nodiscard]] std::uint64_t starts_per_second(std::uint32_t start_lines);

/// Flows that may be adopted at once, and in the course of an idle time: a quarter of the table.
[[nodiscard]] std::int64_t adopt_tokens_for(std::uint32_t flow_lines);

/// A stored flow as it was at one moment.
struct StoredFlow {
  std::uint32_t index = 0;  ///< of its cell
  abi::flow_cell cell{};
  abi::flow_key key{};
};

/// Since the flow's last packet, give or take one.
[[nodiscard]] std::uint32_t seconds_since_seen(const abi::flow_cell&, std::uint32_t now);

class FlowMemory {
 public:
  FlowMemory(const Tables& tables, const abi::hash_key& hash_key)
      : tables_{tables}, hash_key_{hash_key} {}

  [[nodiscard]] std::uint32_t cells() const {
    return static_cast<std::uint32_t>(tables_.flows.size()) * FLOWS_PER_LINE;
  }
  /// The flow in a cell; nothing where it is free or on its way in or out.
  [[nodiscard]] std::optional<StoredFlow> at(std::uint32_t index) const;
  [[nodiscard]] std::optional<StoredFlow> find(const abi::flow_key&) const;

  /// Removes it unless it was seen since, or changed its owner.
  bool remove(const StoredFlow&) const;
  /// Whether a cell is on its way in or out: one that still is after a grace period was left so by
  /// a daemon that died, and finish_removal() frees it. 0: it is not.
  [[nodiscard]] std::uint64_t half(std::uint32_t index) const;
  void finish_removal(std::uint32_t index, std::uint64_t half) const;

  /// Frees the starts and adoptions of a stretch of lines that nothing will confirm any more.
  void forget_old_cells(std::uint32_t first, std::uint32_t count, std::uint32_t now) const;

  [[nodiscard]] std::uint64_t flows() const;                    ///< walks the table
  [[nodiscard]] std::uint64_t starts(std::uint32_t now) const;  ///< that may be confirmed yet

 private:
  [[nodiscard]] abi::flow_cell& cell(std::uint32_t index) const {
    return tables_.flows[index / FLOWS_PER_LINE].cell[index % FLOWS_PER_LINE];
  }
  const Tables& tables_;
  const abi::hash_key& hash_key_;
};

}  // namespace lbd::dataplane
