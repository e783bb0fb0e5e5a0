#include "lb/dataplane/carry_over.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "lb/dataplane/maps.h"

namespace lbd::dataplane {
namespace {

Result<MapHandle> handle_of(const MapSet& set, MapId id) {
  auto fd = duplicate(set[id].get());
  if (!fd) return std::move(fd).error();
  return MapHandle{std::move(*fd), spec_of(id).name};
}

/// The same array in both sets, mapped.
template <class Record>
struct Pair {
  Mapping from_memory;
  Mapping to_memory;
  std::span<Record> from;
  std::span<Record> to;  ///< as long as `from`
};

template <class Record>
Result<Pair<Record>> map_both(MapId id, const MapSet& from, const MapSet& to) {
  Pair<Record> pair;
  auto from_entries = checked_entries(id, from[id]);
  if (!from_entries) return std::move(from_entries).error();
  auto to_entries = checked_entries(id, to[id]);
  if (!to_entries) return std::move(to_entries).error();
  auto from_memory = map_memory(id, from[id]);
  if (!from_memory) return std::move(from_memory).error();
  auto to_memory = map_memory(id, to[id]);
  if (!to_memory) return std::move(to_memory).error();
  const std::uint32_t common = std::min(*from_entries, *to_entries);
  pair.from_memory = std::move(*from_memory);
  pair.to_memory = std::move(*to_memory);
  pair.from = pair.from_memory.template as<Record>(common);
  pair.to = pair.to_memory.template as<Record>(common);
  return pair;
}

template <class Record>
Result<> copy_array(MapId id, const MapSet& from, const MapSet& to) {
  if (!from[id]) return {};
  auto pair = map_both<Record>(id, from, to);
  if (!pair) return std::move(pair).error();
  std::memcpy(pair->to.data(), pair->from.data(), pair->from.size_bytes());
  return {};
}

/// Programs write the larger map's stamps meanwhile: a stamp is only ever raised.
void raise(__u32& stamp, __u32 at_least) {
  std::atomic_ref<__u32> shared{stamp};
  __u32 now = shared.load();
  while (now < at_least && !shared.compare_exchange_weak(now, at_least)) {
  }
}

Result<> carry_refusals(const MapSet& from, const MapSet& to) {
  if (!from[MapId::side]) return {};
  auto sides = map_both<abi::side>(MapId::side, from, to);
  if (!sides) return std::move(sides).error();
  for (std::size_t row = 0; row < sides->from.size(); row++)
    raise(sides->to[row].refused, sides->from[row].refused);
  return {};
}

/// The larger per-CPU map began at 0, so what the smaller one counted is what there is to add, on
/// top of what was already to be added to it.
Result<> carry_counts(const MapSet& from, const MapSet& to) {
  if (!from[MapId::counters] || !from[MapId::counted]) return {};
  auto counted = map_both<abi::counter>(MapId::counted, from, to);
  if (!counted) return std::move(counted).error();
  auto handle = handle_of(from, MapId::counters);
  if (!handle) return std::move(handle).error();
  const auto entries = static_cast<std::uint32_t>(counted->from.size());
  auto counters = PerCpuCounters::make(std::move(*handle), entries);
  if (!counters) return std::move(counters).error();
  auto sums = counters->sums(0, entries);
  if (!sums) return std::move(sums).error();
  for (std::uint32_t i = 0; i < entries; i++)
    counted->to[i] = {counted->from[i].packets + (*sums)[i].packets,
                      counted->from[i].bytes + (*sums)[i].bytes};
  return {};
}

}  // namespace

Result<> copy_maps(const MapSet& from, const MapSet& to) {
  if (auto done = copy_array<abi::ring_word>(MapId::ring, from, to); !done) return done;
  if (auto done = copy_array<abi::side>(MapId::side, from, to); !done) return done;
  if (auto done = copy_array<abi::backend>(MapId::backends, from, to); !done) return done;
  return copy_array<abi::counter>(MapId::counted, from, to);
}

Result<> carry_over(const MapSet& from, const MapSet& to) {
  if (auto done = carry_refusals(from, to); !done) return done;
  return carry_counts(from, to);
}

}  // namespace lbd::dataplane
