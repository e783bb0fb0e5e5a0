// What the maps hold and have counted, as values: what `serve` shows and lbctl prints.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lb/desired/desired.h"
#include "lb/model/address.h"
#include "lb/model/service.h"

namespace lbd::reconcile {

struct Count {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;  ///< of the IP packets before encapsulation
  Count& operator+=(const Count& other) {
    packets += other.packets;
    bytes += other.bytes;
    return *this;
  }
  bool operator==(const Count&) const = default;
};

struct NextHopSnapshot {
  std::string interface;
  Mac mac;
};

struct BackendSnapshot {
  IpAddress address;
  std::uint16_t weight = 0;
  desired::State state = desired::State::up;
  bool used = false;     ///< may get new flows now
  std::string why;       ///< empty: nothing to say
  bool removed = false;  ///< left the configuration, still has known flows
  Count count;           ///< over all ports
  std::optional<NextHopSnapshot> next_hop;
};

struct PortSnapshot {
  ServicePort port;
  Count count;                       ///< all backends', gone ones too
  std::vector<Count> backend_count;  ///< parallel to the service's backends
};

struct ServiceSnapshot {
  std::string name;
  std::vector<IpAddress> addresses;       ///< sorted
  std::vector<PortSnapshot> ports;        ///< in the file's order
  std::vector<BackendSnapshot> backends;  ///< by address; removed ones last
  std::string refused;                    ///< why it is not in the data plane; empty: it is
};

struct ReasonSnapshot {
  std::string reason;  ///< a label of abi.h's list
  Count count;
};

/// The memory of flows on moving rows.
struct FlowsSnapshot {
  std::uint64_t entries = 0;            ///< stored flows
  std::uint64_t entries_max = 0;        ///< that fit
  std::uint64_t starts = 0;             ///< that wait to be confirmed
  std::uint64_t starts_per_second = 0;  ///< that fit while every row moves
  /// Since the maps were made:
  std::uint64_t started = 0;    ///< flows kept as starts
  std::uint64_t confirmed = 0;  ///< starts that became entries
  std::uint64_t adopted = 0;    ///< flows met in their middle that became entries
  std::uint64_t refused = 0;    ///< packets whose flow was not kept for want of room or rate
  /// Rows whose home was given up before its time, since the daemon started.
  std::uint64_t yields = 0;
};

/// The label of enum reason in abi.h; "" for none.
[[nodiscard]] std::string_view reason_label(std::uint32_t reason);
/// What lbctl calls an enum verdict of abi.h: tx, redirect, pass, else drop.
[[nodiscard]] std::string_view verdict_label(std::uint32_t verdict);

struct Snapshot {
  std::vector<ServiceSnapshot> services;  ///< in the file's order
  std::vector<ReasonSnapshot> reasons;    ///< only those that occurred
  std::uint64_t rows_total = 0;
  std::uint64_t rows_moving = 0;
  FlowsSnapshot flows;
};

}  // namespace lbd::reconcile
