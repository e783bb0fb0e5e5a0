#include "invariants.h"

#include <fmt/format.h>

#include <set>

namespace lbd::test {
namespace {

bool is_used(const Memory& memory, std::uint16_t slot) {
  return slot == SLOT_NONE || (memory.record(slot).flags & abi::BACKEND_USED) != 0;
}

bool has_flag(const Memory& memory, std::uint16_t slot, std::uint16_t flag) {
  return slot != SLOT_NONE && (memory.record(slot).flags & flag) != 0;
}

std::string of_row(const Memory& memory, const RowState& row, Moment moment) {
  if (!is_used(memory, row.owner))
    return fmt::format("row {}: its owner's slot is free", row.index);
  if (row.moving && !is_used(memory, row.home))
    return fmt::format("row {}: its home's slot is free", row.index);
  if (moment == Moment::broken_off) return {};
  if (row.owner != SLOT_NONE && !has_flag(memory, row.owner, abi::BACKEND_TAKES_NEW))
    return fmt::format("row {}: its owner takes no new flows", row.index);
  if (row.moving && row.home != row.owner && !has_flag(memory, row.home, abi::BACKEND_SERVES_KNOWN))
    return fmt::format("row {}: its home serves no known flows", row.index);
  return {};
}

std::string of_entry(const Memory& memory, const dataplane::StoredFlow& flow) {
  const auto tuple = dataplane::tuple_of(flow.key);
  const RowState row = memory.row_of(tuple);
  const auto name = [&] {
    return fmt::format("entry of {}:{} to slot {}", tuple.source.str(),
                       tuple.source_port.host_order(), flow.cell.slot);
  };
  if (!is_used(memory, flow.cell.slot)) return name() + ": the slot is free";
  const bool counts = memory.names_its_backend(flow.cell) &&
                      has_flag(memory, flow.cell.slot, abi::BACKEND_SERVES_KNOWN);
  if (!counts || flow.cell.slot == row.owner) return {};
  if (!row.moving) return fmt::format("{}: row {} is settled", name(), row.index);
  if (row.home == row.owner && (row.filter & memory.filter_bit_of(tuple)) == 0)
    return fmt::format("{}: row {} has no filter bit for it", name(), row.index);
  return {};
}

std::string of_entries(const Memory& memory, const std::vector<dataplane::StoredFlow>& flows) {
  std::set<dataplane::Tuple> seen;
  for (const auto& flow : flows) {
    const auto tuple = dataplane::tuple_of(flow.key);
    if (!seen.insert(tuple).second)
      return fmt::format("{}:{} is stored twice", tuple.source.str(),
                         tuple.source_port.host_order());
    if (auto wrong = of_entry(memory, flow); !wrong.empty()) return wrong;
  }
  return {};
}

std::string of_known(const Memory& memory, const Known& known) {
  const auto stored = memory.stored(known.tuple);
  const RowState row = memory.row_of(known.tuple);
  const std::uint16_t to = stored ? *stored : memory.owner_of_unknown(row, known.tuple.protocol);
  if (to != SLOT_NONE && memory.address_of(to) == known.lives) return {};
  return fmt::format(
      "{}:{} lives at {}, and would go to {} ({}); row {}: owner slot {}, moving {}, home slot {}",
      known.tuple.source.str(), known.tuple.source_port.host_order(), known.lives.str(),
      to == SLOT_NONE ? "nobody" : memory.address_of(to).str(), stored ? "stored" : "not stored",
      row.index, row.owner, row.moving, row.home);
}

}  // namespace

std::string violation(const Memory& memory, std::span<const Known> known, Moment moment) {
  for (const RowState& row : memory.rows())
    if (auto wrong = of_row(memory, row, moment); !wrong.empty()) return wrong;
  if (auto wrong = of_entries(memory, memory.flows()); !wrong.empty()) return wrong;
  for (const std::uint16_t slot : memory.started_slots())
    if (!is_used(memory, slot)) return fmt::format("a start names slot {}, which is free", slot);
  for (const Known& flow : known)
    if (auto wrong = of_known(memory, flow); !wrong.empty()) return wrong;
  return {};
}

std::string unsettled(const Memory& memory) {
  unsigned moving = 0;
  for (const RowState& row : memory.rows()) moving += row.moving ? 1 : 0;
  const auto flows = memory.flows().size();
  if (moving == 0 && flows == 0) return {};
  return fmt::format("{} rows move, {} flows are stored", moving, flows);
}

}  // namespace lbd::test
