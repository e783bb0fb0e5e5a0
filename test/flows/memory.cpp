#include "memory.h"

namespace lbd::test {
namespace {

bool start_counts(std::uint64_t cell, std::uint32_t now) {
  const auto second = static_cast<std::uint32_t>(cell >> START_SECOND_SHIFT);
  return cell != 0 && ((now - second) & START_SECOND_MASK) <= START_LIFE;
}

}  // namespace

const abi::service& Memory::service() const {
  return tables().services[0];
}

const abi::ring_desc& Memory::ring(Protocol protocol) const {
  return service().ring[protocol == Protocol::tcp ? 0 : 1];
}

RowState Memory::row(std::uint32_t index) const {
  const std::uint16_t value = tables().row(index);
  const abi::side& side = tables().side[index];
  RowState state{.index = index,
                 .owner = static_cast<std::uint16_t>(value & ~ROW_MOVING),
                 .moving = (value & ROW_MOVING) != 0};
  if (!state.moving) return state;
  state.home = side.home;
  state.filter = side.filter;
  state.started = side.started;
  state.refused = side.refused;
  return state;
}

RowState Memory::row_of(const dataplane::Tuple& tuple) const {
  const abi::ring_desc& of = ring(tuple.protocol);
  const std::uint32_t hash = dataplane::hash_of(kernel_.hash_key(), dataplane::flow_key_of(tuple));
  return row(of.base + abi::row_of(hash, of.size));
}

std::uint16_t Memory::filter_bit_of(const dataplane::Tuple& tuple) const {
  return static_cast<std::uint16_t>(
      abi::filter_bit(dataplane::hash_of(kernel_.hash_key(), dataplane::flow_key_of(tuple))));
}

std::vector<RowState> Memory::rows() const {
  std::vector<RowState> all;
  for (const Protocol protocol : {Protocol::tcp, Protocol::udp})
    for (std::uint32_t i = 0; i < ring(protocol).size; i++)
      all.push_back(row(ring(protocol).base + i));
  return all;
}

const abi::backend& Memory::record(std::uint16_t slot) const {
  return tables().backends[service().backend_base + slot];
}

std::optional<std::uint16_t> Memory::slot_of(const IpAddress& address) const {
  for (std::uint16_t slot = 0; slot < service().slots; slot++)
    if ((record(slot).flags & abi::BACKEND_USED) != 0 && address_of(slot) == address) return slot;
  return std::nullopt;
}

IpAddress Memory::address_of(std::uint16_t slot) const {
  return dataplane::address_of(record(slot));
}

std::vector<dataplane::StoredFlow> Memory::flows() const {
  const dataplane::FlowMemory memory{tables(), kernel_.hash_key()};
  std::vector<dataplane::StoredFlow> all;
  for (std::uint32_t index = 0; index < memory.cells(); index++)
    if (const auto flow = memory.at(index)) all.push_back(*flow);
  return all;
}

bool Memory::names_its_backend(const abi::flow_cell& cell) const {
  const abi::backend& owner = record(cell.slot);
  return (owner.flags & abi::BACKEND_USED) != 0 &&
         static_cast<std::uint8_t>(owner.generation) == cell.generation;
}

std::optional<std::uint16_t> Memory::stored(const dataplane::Tuple& tuple) const {
  const auto flow = kernel_.stored(tuple);
  if (!flow || !names_its_backend(flow->cell) ||
      (record(flow->cell.slot).flags & abi::BACKEND_SERVES_KNOWN) == 0)
    return std::nullopt;
  return flow->cell.slot;
}

std::vector<std::uint16_t> Memory::started_slots() const {
  std::vector<std::uint16_t> slots;
  for (const abi::cell_line& line : tables().starts)
    for (const std::uint64_t cell : line.cell)
      if (start_counts(cell, kernel_.now())) slots.push_back(cell & SLOT_NONE);
  return slots;
}

std::optional<std::uint16_t> Memory::start(const dataplane::Tuple& tuple, std::uint32_t isn) const {
  const abi::flow_key key = dataplane::flow_key_of(tuple);
  const std::uint64_t print = abi::flow_print(&kernel_.hash_key(), &key);
  const auto lines = static_cast<std::uint32_t>(tables().starts.size());
  for (const std::uint32_t line : {abi::print_home(print, lines), abi::print_away(print, lines)})
    for (const std::uint64_t cell : tables().starts[line].cell)
      if (start_counts(cell, kernel_.now()) && cell >> START_ISN_SHIFT == isn &&
          (cell >> START_PRINT_SHIFT & 0xfff) == abi::print_start(print))
        return static_cast<std::uint16_t>(cell & SLOT_NONE);
  return std::nullopt;
}

std::uint16_t Memory::owner_of_unknown(const RowState& row, Protocol protocol) const {
  if (!row.moving || row.home == row.owner || row.home == SLOT_NONE) return row.owner;
  const std::uint16_t needs = protocol == Protocol::tcp
                                  ? abi::BACKEND_SERVES_KNOWN
                                  : abi::BACKEND_TAKES_NEW | abi::BACKEND_DRAINING;
  return (record(row.home).flags & needs) != 0 ? row.home : row.owner;
}

}  // namespace lbd::test
