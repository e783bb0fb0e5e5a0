#include "lb/reconcile/rows.h"

namespace lbd::reconcile {

std::uint16_t Rows::owner(std::uint32_t row) const {
  return writer_.tables().row(row) & static_cast<std::uint16_t>(~ROW_MOVING);
}

bool Rows::moving(std::uint32_t row) const {
  return (writer_.tables().row(row) & ROW_MOVING) != 0;
}

std::uint16_t Rows::home(std::uint32_t row) const {
  return side(row).home;
}

void Rows::set(std::uint32_t row, std::uint16_t value) {
  writer_.store().put(writer_.tables().row(row), value);
}

void Rows::set_side(std::uint32_t row, std::uint16_t home, std::uint16_t filter) {
  abi::side both{};
  both.home = home;
  both.filter = filter;
  writer_.store().put(side(row).owner, both.owner);
}

void Rows::found(std::uint32_t row, std::uint16_t owner) {
  writer_.store().put_unseen(writer_.tables().row(row), owner);
  abi::side fresh{};
  fresh.previous[0] = fresh.previous[1] = SLOT_NONE;
  writer_.store().put_unseen(writer_.tables().side[row], fresh);
}

void Rows::change(std::uint32_t row, std::uint16_t new_owner, bool protect, Seconds now) {
  const std::uint16_t old = owner(row);
  if (old == new_owner) return;
  if (moving(row) && home(row) != old) {
    // Back to home, it may end: no sooner than the starts of the owner between can be confirmed.
    if (home(row) == new_owner) writer_.store().put(side(row).started, now);
    set(row, new_owner | ROW_MOVING);  // home stays: its unknown flows are still there
    return;
  }
  if (!protect) {
    // Nobody to protect. A row that waits for foreign entries goes on waiting for them.
    if (moving(row)) {
      // Between the next two the row has a home: a clock of long ago must not end that.
      writer_.store().put(side(row).started, now);
      set(row, new_owner | ROW_MOVING);
      set_side(row, new_owner, every_flow);
    } else {
      set(row, new_owner);
    }
    return;
  }
  writer_.store().put(side(row).started, now);
  set_side(row, old, every_flow);
  set(row, new_owner | ROW_MOVING);
}

void Rows::force(std::uint32_t row, std::uint16_t new_owner) {
  set(row, new_owner);
}

void Rows::give_up_home(std::uint32_t row, Seconds now) {
  writer_.store().put(side(row).started, now);
  set_side(row, owner(row), every_flow);
}

bool Rows::may_end(std::uint32_t row, Seconds now) const {
  return home(row) == owner(row) && now - side(row).started > START_LIFE + 1;
}

void Rows::end(std::uint32_t row, std::uint16_t foreign) {
  if (foreign == 0)
    set(row, owner(row));
  else
    set_side(row, owner(row), foreign);
}

}  // namespace lbd::reconcile
