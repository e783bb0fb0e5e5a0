#include "lb/reconcile/sweep.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lb/dataplane/keys.h"
#include "lb/reconcile/held.h"
#include "lb/reconcile/rows.h"
#include "lb/reconcile/services.h"

namespace lbd::reconcile {
namespace {

using ServiceSlot = std::pair<std::uint32_t, std::uint16_t>;  // service index, slot

class Sweep {
 public:
  Sweep(Writer& writer, const abi::hash_key& hash_key, const IdleTimes& idle)
      : writer_{writer}, rows_{writer}, hash_key_{hash_key}, idle_{idle}, held_{read_held(writer)} {
    for (const HeldService& service : held_.services) services_.emplace(service.index, &service);
  }

  Result<Swept> run(Scan scan) {
    look_at_rows();
    if (scan == Scan::no || (scan == Scan::if_needed && !needed())) return swept_;
    // Nobody stores an entry for these rows, slots and services that is under way before this.
    if (auto waited = writer_.grace(); !waited) return std::move(waited).error();
    if (auto scanned = look_at_flows(); !scanned) return std::move(scanned).error();
    end_rows();
    if (auto freed = free_backends(); !freed) return std::move(freed).error();
    free_services();
    return swept_;
  }

 private:
  [[nodiscard]] std::uint32_t idle_of(Protocol protocol) const {
    return static_cast<std::uint32_t>((protocol == Protocol::tcp ? idle_.tcp : idle_.udp).count());
  }

  [[nodiscard]] bool needed() const {
    return swept_.rows_moving != 0 || !unnamed_.empty() ||
           std::any_of(held_.services.begin(), held_.services.end(),
                       [](const HeldService& service) { return service.leaving(); });
  }

  /// Gives up homes whose time has come, and finds what rows end and which removed backends no row
  /// names.
  void look_at_rows() {
    for (const HeldService& service : held_.services) {
      if (service.leaving()) continue;
      std::vector<bool> named(SLOT_NONE + 1);
      for (const Protocol protocol : protocols)
        look_at_ring(ring_of(service.record, protocol), idle_of(protocol), named);
      for (const auto& [address, slot] : service.slots) {
        const abi::backend& record = writer_.tables().backends[service.record.backend_base + slot];
        if (record.flags & abi::BACKEND_REMOVED && !named[slot])
          unnamed_.emplace(service.index, slot);
      }
    }
  }

  void look_at_ring(const abi::ring_desc& ring, std::uint32_t idle, std::vector<bool>& named) {
    for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++) {
      named[rows_.owner(row)] = true;
      if (!rows_.moving(row)) continue;
      swept_.rows_moving++;
      named[rows_.home(row)] = true;
      if (rows_.home(row) != rows_.owner(row)) {
        abi::side& side = writer_.tables().side[row];
        const Seconds last = std::max(side.started, dataplane::load_once(side.refused));
        if (now_ - std::min(now_, last) <= idle + 1) continue;
        rows_.give_up_home(row);
      }
      ending_.emplace(row, std::uint16_t{0});
    }
  }

  Result<> look_at_flows() {
    swept_.scanned = true;
    Result<> failure;
    auto walked =
        writer_.tables().flows.for_each([&](const abi::flow_key& key, const abi::flow& flow) {
          if (stays(key, flow)) {
            swept_.flows++;
            return;
          }
          auto erased = writer_.tables().flows.erase(key);
          if (!erased) failure = std::move(erased).error();
          writer_.store().count();
          swept_.flows_deleted++;
        });
    return walked ? failure : std::move(walked);
  }

  /// Whether an entry is worth keeping; if it is, notes what it names.
  bool stays(const abi::flow_key& key, const abi::flow& flow) {
    const auto found = services_.find(flow.service);
    if (found == services_.end() || found->second->leaving()) return false;
    const HeldService& service = *found->second;
    const auto protocol = static_cast<Protocol>(key.protocol);
    const std::uint32_t idle =
        flow.flags & abi::FLOW_CLOSING
            ? static_cast<std::uint32_t>(std::min(idle_.tcp_closing, idle_.tcp).count())
            : idle_of(protocol);
    if (now_ - std::min(now_, flow.seen) > idle) return false;
    const abi::ring_desc& ring = ring_of(service.record, protocol);
    if (ring.size == 0 || flow.slot >= service.record.slots) return false;
    if (writer_.tables().backends[service.record.backend_base + flow.slot].generation !=
        flow.generation)
      return false;
    const std::uint32_t hash = hash_in(service, key);
    const std::uint32_t row = ring.base + abi::row_of(hash, ring.size);
    if (!rows_.moving(row)) return false;
    if (const auto ends = ending_.find(row); ends != ending_.end()) {
      if (flow.slot == rows_.owner(row) || !serves_known(service, flow.slot)) return false;
      ends->second |= static_cast<std::uint16_t>(abi::filter_bit(hash));
    }
    unnamed_.erase({service.index, flow.slot});
    return true;
  }

  [[nodiscard]] bool serves_known(const HeldService& service, std::uint16_t slot) const {
    return (writer_.tables().backends[service.record.backend_base + slot].flags &
            abi::BACKEND_SERVES_KNOWN) != 0;
  }

  [[nodiscard]] std::uint32_t hash_in(const HeldService& service, const abi::flow_key& key) const {
    if ((service.record.flags & abi::FRONTEND_SOURCE_IP) == 0)
      return dataplane::hash_of(hash_key_, key);
    abi::flow_key source_only{};
    std::copy(std::begin(key.source), std::end(key.source), std::begin(source_only.source));
    source_only.protocol = key.protocol;
    source_only.v6 = key.v6;
    return dataplane::hash_of(hash_key_, source_only);
  }

  void end_rows() {
    for (const auto& [row, foreign] : ending_) {
      rows_.end(row, foreign);
      if (foreign != 0) continue;
      swept_.rows_settled++;
      swept_.rows_moving--;
    }
  }

  /// A removed backend that no row, entry or packet names: its counts become its service's, its
  /// slot is anybody's.
  Result<> free_backends() {
    for (const auto& [index, slot] : unnamed_) {
      const HeldService& service = *services_.at(index);
      for (const auto& [port, base] : service.counter_bases)
        if (auto folded = fold(base, slot, service.record.slots); !folded) return folded;
      abi::backend& record = writer_.tables().backends[service.record.backend_base + slot];
      writer_.store().put(record.flags, 0);
      writer_.freed();
      swept_.backends_freed++;
    }
    return {};
  }

  Result<> fold(std::uint32_t base, std::uint16_t slot, std::uint32_t gone) {
    auto sum = writer_.tables().counters.sum(base + slot);
    if (!sum) return std::move(sum).error();
    abi::counter& counted = writer_.tables().counted[base + slot];
    abi::counter& total = writer_.tables().counted[base + gone];
    Store& store = writer_.store();
    store.put(total.packets, total.packets + counted.packets + sum->packets);
    store.put(total.bytes, total.bytes + counted.bytes + sum->bytes);
    store.put(counted.packets, 0);
    store.put(counted.bytes, 0);
    if (sum->packets == 0) return {};
    store.count();
    return writer_.tables().counters.zero(base + slot);
  }

  void free_services() {
    for (const HeldService& service : held_.services) {
      if (!service.leaving()) continue;
      writer_.store().put(writer_.tables().services[service.index].name[0], 0);
      writer_.freed();
      swept_.services_freed++;
    }
  }

  Writer& writer_;
  Rows rows_;
  const abi::hash_key& hash_key_;
  const IdleTimes& idle_;
  const Held held_;
  const Seconds now_ = now_seconds();
  std::map<std::uint32_t, const HeldService*> services_;
  std::unordered_map<std::uint32_t, std::uint16_t> ending_;  // row -> bits of foreign entries
  std::set<ServiceSlot> unnamed_;                            // removed backends to be freed
  Swept swept_;
};

}  // namespace

Result<Swept> sweep_once(Writer& writer, const abi::hash_key& hash_key, const IdleTimes& idle,
                         Scan scan) {
  return Sweep{writer, hash_key, idle}.run(scan);
}

}  // namespace lbd::reconcile
