#include "lb/reconcile/sweep.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "lb/reconcile/counts.h"

namespace lbd::reconcile {
namespace {

/// Cells that one call of go_on() looks at: a few milliseconds where all hold flows.
constexpr std::uint32_t cells_a_step = 16384;

/// A row refuses while its last refusal is no older than this.
constexpr std::uint32_t refusing_for = 10;

/// How long a home that is down may hold its rows against flows that find no room.
constexpr std::uint32_t down_home_holds = 15;

/// Starts and adoptions are looked at once in so many rounds, a second each: a start's age is known
/// modulo 32 s.
constexpr std::uint32_t rounds_for_cells = 8;

bool is_down(const abi::backend& record) {
  constexpr std::uint16_t elsewhere =
      abi::BACKEND_TAKES_NEW | abi::BACKEND_DRAINING | abi::BACKEND_REMOVED;
  return (record.flags & elsewhere) == 0;
}

}  // namespace

Sweep::Sweep(Writer& writer, const abi::hash_key& hash_key, const IdleTimes& idle,
             SweepMemory& memory)
    : writer_{writer},
      rows_{writer},
      hash_key_{hash_key},
      idle_{idle},
      memory_{memory},
      flows_{writer.tables(), hash_key},
      held_{read_held(writer)},
      now_{writer.now()} {
  for (const HeldService& service : held_.services) services_.emplace(service.index, &service);
}

Result<> Sweep::begin(Scan scan) {
  refill_tokens();
  forget_old_cells();
  look_at_rows();
  done_ = scan == Scan::no || (scan == Scan::if_needed && !needed());
  // Nobody stores an entry for these rows, slots and services that is under way before this.
  return done_ ? Result<>{} : writer_.grace();
}

Result<> Sweep::go_on() {
  if (done_) return {};
  now_ = writer_.now();
  const std::uint32_t end = std::min(flows_.cells(), next_ + cells_a_step);
  for (; next_ < end; next_++) look_at_flow(next_);
  return next_ == flows_.cells() ? finish() : Result<>{};
}

Result<> Sweep::finish() {
  done_ = swept_.scanned = true;
  memory_.halves = std::move(halves_);
  end_rows();
  if (auto freed = free_backends(); !freed) return std::move(freed).error();
  free_services();
  return {};
}

bool Sweep::needed() const {
  return swept_.rows_moving != 0 || !unnamed_.empty() ||
         std::ranges::any_of(held_.services, &HeldService::leaving);
}

std::uint32_t Sweep::idle_of(Protocol protocol, std::uint8_t flags) const {
  const auto idle = protocol != Protocol::tcp          ? idle_.udp
                    : (flags & abi::FLOW_CLOSING) != 0 ? std::min(idle_.tcp_closing, idle_.tcp)
                                                       : idle_.tcp;
  return static_cast<std::uint32_t>(idle.count());
}

void Sweep::refill_tokens() {
  if (!memory_.refilled) memory_.refilled = now_;
  const std::int64_t depth =
      dataplane::adopt_tokens_for(static_cast<std::uint32_t>(writer_.tables().flows.size()));
  std::atomic_ref<std::int64_t> tokens{*writer_.tables().adopt_tokens};
  const auto idle = std::max<std::int64_t>(1, idle_.tcp.count());
  const std::int64_t due = depth * (now_ - *memory_.refilled) / idle;
  if (due == 0) return;
  memory_.refilled = now_;
  tokens += std::min(due, depth - std::min(depth, tokens.load()));
}

void Sweep::forget_old_cells() {
  const auto lines = static_cast<std::uint32_t>(writer_.tables().starts.size());
  const std::uint32_t first = memory_.next_cell_line.value_or(0);
  const std::uint32_t some = memory_.next_cell_line ? lines / rounds_for_cells + 1 : lines;
  const std::uint32_t count = std::min(lines - first, some);
  flows_.forget_old_cells(first, count, now_);
  memory_.next_cell_line = (first + count) % lines;
}

/// Gives up homes whose time has come, and finds what rows end and which removed backends no row
/// names.
void Sweep::look_at_rows() {
  for (const HeldService& service : held_.services) {
    if (service.leaving()) continue;
    std::vector<bool> named(SLOT_NONE + 1);
    for (const Protocol protocol : protocols)
      look_at_ring(service, ring_of(service.record, protocol), idle_of(protocol, 0), named);
    for (const auto& [address, slot] : service.slots) {
      const abi::backend& record = writer_.tables().backends[service.record.backend_base + slot];
      if (record.flags & abi::BACKEND_REMOVED && !named[slot] && may_free(record.since) &&
          counts_settled(service))
        unnamed_.emplace(service.index, slot);
    }
  }
}

void Sweep::look_at_ring(const HeldService& service, const abi::ring_desc& ring, std::uint32_t idle,
                         std::vector<bool>& named) {
  for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++) {
    named[rows_.owner(row)] = true;
    if (!rows_.moving(row)) continue;
    swept_.rows_moving++;
    named[rows_.home(row)] = true;
    if (rows_.home(row) != rows_.owner(row))
      look_at_home(service, row, idle);
    else if (rows_.may_end(row, now_))
      ending_.emplace(row, std::uint16_t{0});
  }
}

void Sweep::look_at_home(const HeldService& service, std::uint32_t row, std::uint32_t idle) {
  abi::side& side = writer_.tables().side[row];
  const Seconds last = std::max(side.started, dataplane::load_once(side.refused));
  if (now_ - std::min(now_, last) > idle + 1) {
    rows_.give_up_home(row, now_);
  } else if (yields(service, row)) {
    rows_.give_up_home(row, now_);
    swept_.rows_yielded++;
  }
}

/// Where flows find no room something must give: soon where home is down, and has nobody to
/// protect but those that may return with it; after changeWait where it serves on; never while it
/// drains, since then it goes, and its rows with it.
bool Sweep::yields(const HeldService& service, std::uint32_t row) {
  abi::side& side = writer_.tables().side[row];
  const Seconds refused = dataplane::load_once(side.refused);
  if (refused == 0 || now_ - std::min(now_, refused) > refusing_for) {
    memory_.refusing.erase(row);
    return false;
  }
  const Seconds since = memory_.refusing.try_emplace(row, now_).first->second;
  if (rows_.home(row) == SLOT_NONE) return true;
  const abi::backend& home =
      writer_.tables().backends[service.record.backend_base + rows_.home(row)];
  if (is_down(home)) return now_ - side.started > down_home_holds;
  return (home.flags & abi::BACKEND_TAKES_NEW) != 0 && idle_.change_wait &&
         now_ - since > static_cast<std::uint32_t>(idle_.change_wait->count());
}

void Sweep::look_at_flow(std::uint32_t index) {
  // Where a packet came between look and removal, the flow counts as it is then.
  while (const auto flow = flows_.at(index)) {
    if (stays(*flow)) {
      swept_.flows++;
      return;
    }
    if (!flows_.remove(*flow)) continue;
    writer_.store().count();
    swept_.flows_deleted++;
    return;
  }
  const std::uint64_t half = flows_.half(index);
  if (half == 0) return;
  const auto before = memory_.halves.find(index);
  if (before != memory_.halves.end() && before->second == half)
    flows_.finish_removal(index, half);
  else
    halves_.emplace(index, half);
}

/// Whether an entry is worth keeping; if it is, notes what it names.
bool Sweep::stays(const dataplane::StoredFlow& flow) {
  const auto found = services_.find(flow.key.service);
  if (found == services_.end() || found->second->leaving()) return false;
  const HeldService& service = *found->second;
  const auto protocol = static_cast<Protocol>(flow.key.protocol);
  if (dataplane::seconds_since_seen(flow.cell, now_) > idle_of(protocol, flow.cell.flags))
    return false;
  const abi::ring_desc& ring = ring_of(service.record, protocol);
  const std::uint16_t slot = flow.cell.slot;
  if (ring.size == 0 || slot >= service.record.slots) return false;
  const abi::backend& owner = writer_.tables().backends[service.record.backend_base + slot];
  if (static_cast<std::uint8_t>(owner.generation) != flow.cell.generation) return false;
  const std::uint32_t hash = row_hash(service.record, hash_key_, flow.key);
  const std::uint32_t row = ring.base + abi::row_of(hash, ring.size);
  if (!rows_.moving(row)) return false;
  if (const auto ends = ending_.find(row); ends != ending_.end()) {
    if (slot == rows_.owner(row) || (owner.flags & abi::BACKEND_SERVES_KNOWN) == 0) return false;
    ends->second |= static_cast<std::uint16_t>(abi::filter_bit(hash));
  }
  unnamed_.erase({service.index, slot});
  return true;
}

void Sweep::end_rows() {
  for (const auto& [row, foreign] : ending_) {
    rows_.end(row, foreign);
    if (foreign != 0) continue;
    swept_.rows_settled++;
    swept_.rows_moving--;
  }
}

/// Whether what was let go then is named by no start any more.
bool Sweep::may_free(std::uint32_t since) const {
  return now_ - since > START_LIFE + 1;
}

/// Whether the service's counters are all in one place: not while it moves to a larger stretch.
bool Sweep::counts_settled(const HeldService& service) const {
  return service.record.old_slots == 0 &&
         std::ranges::none_of(service.counter_bases, [&](const auto& port) {
           return PortCounts{writer_, port.second, service.record.slots}.carries_from().has_value();
         });
}

/// A removed backend that no row, entry or packet names: its counts become its service's, its
/// slot is anybody's.
Result<> Sweep::free_backends() {
  for (const auto& [index, slot] : unnamed_) {
    const HeldService& service = *services_.at(index);
    for (const auto& [port, base] : service.counter_bases)
      if (auto folded = PortCounts{writer_, base, service.record.slots}.fold(slot); !folded)
        return folded;
    abi::backend& record = writer_.tables().backends[service.record.backend_base + slot];
    writer_.store().put(record.flags, 0);
    writer_.freed();
    swept_.backends_freed++;
  }
  return {};
}

void Sweep::free_services() {
  for (const HeldService& service : held_.services) {
    if (!service.leaving() || !may_free(service.record.left)) continue;
    writer_.store().put(writer_.tables().services[service.index].name[0], 0);
    writer_.freed();
    swept_.services_freed++;
  }
}

}  // namespace lbd::reconcile
