#include "lb/reconcile/flows.h"

#include <fmt/format.h>

#include <algorithm>

#include "lb/reconcile/reconciler.h"

namespace lbd::reconcile {
namespace {

template <class T>
bool is_or_unset(const std::optional<T>& wanted, const T& value) {
  return !wanted || *wanted == value;
}

bool matches(const FlowFilter& filter, const dataplane::Tuple& tuple) {
  return is_or_unset(filter.protocol, tuple.protocol) &&
         is_or_unset(filter.vip, tuple.destination) &&
         is_or_unset(filter.vip_port, tuple.destination_port) &&
         is_or_unset(filter.client_port, tuple.source_port) &&
         (!filter.client || filter.client->contains(tuple.source));
}

/// Whether a service of that name is wanted or has left and is not forgotten yet.
bool is_known(const desired::Desired& desired, const Held& held, const std::string& name) {
  return std::ranges::any_of(desired.services,
                             [&](const auto& wanted) { return wanted.policy.name == name; }) ||
         std::ranges::any_of(held.services,
                             [&](const HeldService& service) { return service.name == name; });
}

}  // namespace

FlowReader::FlowReader(const dataplane::Tables& tables, const abi::hash_key& hash_key,
                       const Held& held, Seconds now)
    : tables_{tables}, hash_key_{hash_key}, flows_{tables, hash_key}, now_{now} {
  for (const HeldService& service : held.services) services_.emplace(service.index, &service);
}

FlowsPage FlowReader::page(const FlowFilter& filter, std::uint32_t from, PageLimits limits) const {
  FlowsPage page;
  const std::uint32_t end = flows_.cells();
  std::uint32_t cell = std::min(from, end);
  const std::uint32_t stop = cell + std::min(limits.cells, end - cell);
  for (; cell < stop && page.flows.size() < limits.flows; cell++)
    if (auto flow = read(cell, filter)) page.flows.push_back(std::move(*flow));
  if (cell < end) page.next = cell;
  return page;
}

std::optional<FlowSnapshot> FlowReader::read(std::uint32_t cell, const FlowFilter& filter) const {
  const auto stored = flows_.at(cell);
  if (!stored) return std::nullopt;
  const auto found = services_.find(stored->key.service);
  if (found == services_.end() || !is_or_unset(filter.service, found->second->name))
    return std::nullopt;
  const auto tuple = dataplane::tuple_of(stored->key);
  if (!matches(filter, tuple)) return std::nullopt;
  const abi::service& service = found->second->record;
  const abi::backend* backend = backend_of(service, stored->cell);
  if (backend == nullptr) return std::nullopt;
  const IpAddress address = dataplane::address_of(*backend);
  if (!is_or_unset(filter.backend, address)) return std::nullopt;
  return FlowSnapshot{
      .tuple = tuple,
      .service = found->second->name,
      .backend = address,
      .idle = std::chrono::seconds{dataplane::seconds_since_seen(stored->cell, now_)},
      .closing = (stored->cell.flags & abi::FLOW_CLOSING) != 0,
      .started = (stored->cell.flags & abi::FLOW_START) != 0,
      .place = place_of(service, *stored)};
}

/// Null where the slot is another's by now: the next packet finds that the flow is nobody's.
const abi::backend* FlowReader::backend_of(const abi::service& service,
                                           const abi::flow_cell& cell) const {
  if (cell.slot >= service.slots) return nullptr;
  const abi::backend& backend = tables_.backends[service.backend_base + cell.slot];
  const bool same = static_cast<std::uint8_t>(backend.generation) == cell.generation;
  return same && (backend.flags & abi::BACKEND_USED) != 0 ? &backend : nullptr;
}

RowPlace FlowReader::place_of(const abi::service& service,
                              const dataplane::StoredFlow& flow) const {
  const abi::ring_desc& ring = ring_of(service, static_cast<Protocol>(flow.key.protocol));
  if (ring.size == 0) return RowPlace::settled;
  const std::uint32_t row =
      ring.base + abi::row_of(row_hash(service, hash_key_, flow.key), ring.size);
  const std::uint16_t now = tables_.row(row);
  if ((now & ROW_MOVING) == 0) return RowPlace::settled;
  if (flow.cell.slot == (now & SLOT_NONE)) return RowPlace::owner;
  return flow.cell.slot == tables_.side[row].home ? RowPlace::home : RowPlace::neither;
}

Result<FlowsPage> Reconciler::flows(const desired::Desired& desired, const FlowFilter& filter,
                                    std::uint32_t from) {
  const Held held = read_held(writer_);
  if (from == 0 && filter.service && !is_known(desired, held, *filter.service))
    return Error{fmt::format("no such service: '{}'", *filter.service)};
  return FlowReader{writer_.tables(), hash_key_, held, writer_.now()}.page(filter, from);
}

}  // namespace lbd::reconcile
