#include "lb/reconcile/frontend_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace lbd::reconcile {
namespace {

constexpr std::uint32_t cells4 = 2;  // of a bucket; IPv6 buckets have one
/// Cells looked at before a table counts as full: at 85% load a handful is the rule.
constexpr std::size_t search_max = 2000;

bool same_rows(const abi::frontend& a, const abi::frontend& b) {
  return a.service == b.service && a.ring_base == b.ring_base && a.ring_size == b.ring_size;
}

}  // namespace

std::vector<FrontendTable::Cell> FrontendTable::candidates(const FrontendKey& key) const {
  const auto [home, away] = dataplane::buckets_of(key);
  const bool v6 = key.address.is_v6();
  std::vector<Cell> cells;
  for (const std::uint32_t bucket : {home, away}) {
    if (bucket == away && home == away && !cells.empty()) break;
    for (std::uint32_t i = 0; i < (v6 ? 1 : cells4); i++) cells.push_back({v6, bucket, i});
  }
  return cells;
}

bool FrontendTable::is_free(const Cell& cell) const {
  const auto& tables = writer_.tables();
  return cell.v6 ? tables.frontends6[cell.bucket].key[2] == 0
                 : tables.frontends4[cell.bucket].cell[cell.index].key == 0;
}

FrontendKey FrontendTable::key_at(const Cell& cell) const {
  const auto& tables = writer_.tables();
  return cell.v6
             ? dataplane::frontend_from_key6(tables.frontends6[cell.bucket].key)
             : dataplane::frontend_from_key4(tables.frontends4[cell.bucket].cell[cell.index].key);
}

abi::frontend& FrontendTable::value_at(const Cell& cell) const {
  const auto& tables = writer_.tables();
  return cell.v6 ? tables.frontends6[cell.bucket].value
                 : tables.frontends4[cell.bucket].cell[cell.index].value;
}

std::vector<FrontendTable::Cell> FrontendTable::copies(const FrontendKey& key) const {
  auto cells = candidates(key);
  std::erase_if(cells, [&](const Cell& cell) { return is_free(cell) || key_at(cell) != key; });
  return cells;
}

const FrontendTable::Cell* FrontendTable::find_free(const std::vector<Cell>& among) const {
  const auto free =
      std::find_if(among.begin(), among.end(), [&](const Cell& cell) { return is_free(cell); });
  return free == among.end() ? nullptr : &*free;
}

std::map<FrontendKey, abi::frontend> FrontendTable::read() const {
  std::map<FrontendKey, abi::frontend> all;
  const auto take = [&](const Cell& cell) {
    if (!is_free(cell)) all.emplace(key_at(cell), value_at(cell));
  };
  for (std::uint32_t bucket = 0; bucket < FRONTEND_BUCKETS; bucket++) {
    for (std::uint32_t i = 0; i < cells4; i++) take({false, bucket, i});
    take({true, bucket, 0});
  }
  return all;
}

Result<> FrontendTable::fill(const Cell& cell, const FrontendKey& key, const abi::frontend& value) {
  if (auto ready = writer_.before_reuse(); !ready) return ready;
  Store& store = writer_.store();
  store.put_unseen(value_at(cell), value);
  const auto& tables = writer_.tables();
  if (cell.v6) {
    abi::frontend_bucket6& bucket = tables.frontends6[cell.bucket];
    const auto words = dataplane::key6_of(key);
    store.put(bucket.key[0], words[0]);
    store.put(bucket.key[1], words[1]);
    store.put(bucket.key[2], words[2]);
  } else {
    store.put(tables.frontends4[cell.bucket].cell[cell.index].key, dataplane::key4_of(key));
  }
  return {};
}

void FrontendTable::clear(const Cell& cell) {
  const auto& tables = writer_.tables();
  writer_.store().put(cell.v6 ? tables.frontends6[cell.bucket].key[2]
                              : tables.frontends4[cell.bucket].cell[cell.index].key,
                      0);
  writer_.freed();
}

/// Frees one of the key's cells, by moving others to their second places: breadth first, so that
/// few move. An entry that moves is in both places for a moment, never in none.
Result<FrontendTable::Cell> FrontendTable::make_room(const FrontendKey& key) {
  struct Step {
    Cell cell;
    std::size_t from;  // the step whose entry would move here
  };
  constexpr std::size_t none = SIZE_MAX;
  std::vector<Step> steps;
  for (const Cell& cell : candidates(key)) steps.push_back({cell, none});
  const auto seen = [&](const Cell& cell) {
    return std::any_of(steps.begin(), steps.end(), [&](const Step& s) { return s.cell == cell; });
  };
  for (std::size_t at = 0; at < steps.size() && steps.size() < search_max; at++) {
    if (!is_free(steps[at].cell)) {
      for (const Cell& next : candidates(key_at(steps[at].cell)))
        if (!seen(next)) steps.push_back({next, at});
      continue;
    }
    std::size_t to = at;
    for (; steps[to].from != none; to = steps[to].from) {
      const Cell& source = steps[steps[to].from].cell;
      auto moved = fill(steps[to].cell, key_at(source), value_at(source));
      if (!moved) return std::move(moved).error();
      clear(source);
    }
    return steps[to].cell;
  }
  return Error{fmt::format("the {} frontend table is full", key.address.is_v6() ? "IPv6" : "IPv4")};
}

Result<> FrontendTable::put(const FrontendKey& key, const abi::frontend& value) {
  const auto held = copies(key);
  if (held.size() > 1) replaced_[key] = value;
  for (const Cell& cell : held) {
    abi::frontend& record = value_at(cell);
    if (!same_rows(record, value)) continue;
    // Each of these may be seen before the others: old extents stay valid until a grace period.
    writer_.store().put(record.backend_base, value.backend_base);
    writer_.store().put(record.counter_base, value.counter_base);
    writer_.store().put(record.flags, value.flags);
    return {};
  }
  const auto cells = candidates(key);
  Cell to;
  if (const Cell* free = find_free(cells)) {
    to = *free;
  } else if (held.size() > 1) {
    to = held.back();
    clear(to);
  } else {
    auto room = make_room(key);
    if (!room) return std::move(room).error();
    to = *room;
  }
  if (!held.empty()) replaced_[key] = value;
  return fill(to, key, value);
}

void FrontendTable::finish() {
  for (const auto& [key, value] : replaced_) {
    bool kept = false;
    for (const Cell& cell : copies(key)) {
      if (!kept && same_rows(value_at(cell), value))
        kept = true;
      else
        clear(cell);
    }
  }
  replaced_.clear();
}

void FrontendTable::erase(const FrontendKey& key) {
  for (const Cell& cell : copies(key)) clear(cell);
}

}  // namespace lbd::reconcile
