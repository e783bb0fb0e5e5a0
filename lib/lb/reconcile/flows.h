// The stored flows, a page at a time: what `lbctl flows` lists. A table has millions of cells, so
// one page looks at a bounded number of them.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "lb/dataplane/flow_memory.h"
#include "lb/dataplane/keys.h"
#include "lb/model/address.h"
#include "lb/model/service.h"
#include "lb/reconcile/held.h"
#include "lb/reconcile/rows.h"

namespace lbd::reconcile {

/// Which flows are wanted: those that all that is set is true of.
struct FlowFilter {
  std::optional<IpAddress> vip;
  std::optional<Port> vip_port;
  std::optional<Prefix> client;
  std::optional<Port> client_port;
  std::optional<IpAddress> backend;
  std::optional<std::string> service;
  std::optional<Protocol> protocol;
  bool operator==(const FlowFilter&) const = default;
};

/// What the flow's backend is to its row.
enum class RowPlace : std::uint8_t {
  owner,    ///< `cur`: the row's new flows go there, too
  home,     ///< the row's flows that are not stored are there, too
  neither,  ///< the entry alone keeps the flow there
  settled,  ///< the row moves no more: packets ask the ring, and the entry is about to go
};

/// A stored flow whose backend is still who was meant.
struct FlowSnapshot {
  dataplane::Tuple tuple;  ///< from the client to the VIP
  std::string service;
  IpAddress backend;
  std::chrono::seconds idle{};  ///< since its last packet
  bool closing = false;         ///< FIN or RST was seen and no data after it
  bool started = false;         ///< it began on its moving row; else it was adopted in its middle
  RowPlace place = RowPlace::owner;
};

struct FlowsPage {
  std::vector<FlowSnapshot> flows;    ///< in the order of their cells
  std::optional<std::uint32_t> next;  ///< cell that the next page begins with; none: the end
};

/// A page ends where one is reached. What a whole one takes, the daemon waits: some milliseconds.
struct PageLimits {
  std::uint32_t cells = 65536;
  std::uint32_t flows = 2048;
};

/// What the maps say at the moment of one page. Of flows that come and go between pages some may be
/// missed; none that stays is.
class FlowReader {
 public:
  FlowReader(const dataplane::Tables&, const abi::hash_key&, const Held&, Seconds now);

  /// The wanted flows from cell `from` on.
  [[nodiscard]] FlowsPage page(const FlowFilter&, std::uint32_t from, PageLimits = {}) const;

 private:
  [[nodiscard]] std::optional<FlowSnapshot> read(std::uint32_t cell, const FlowFilter&) const;
  [[nodiscard]] const abi::backend* backend_of(const abi::service&, const abi::flow_cell&) const;
  [[nodiscard]] RowPlace place_of(const abi::service&, const dataplane::StoredFlow&) const;

  const dataplane::Tables& tables_;
  const abi::hash_key& hash_key_;
  dataplane::FlowMemory flows_;
  Seconds now_;
  std::unordered_map<std::uint32_t, const HeldService*> services_;  // by index
};

}  // namespace lbd::reconcile
