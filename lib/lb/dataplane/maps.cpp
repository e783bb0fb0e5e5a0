#include "lb/dataplane/maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>

namespace lbd::dataplane {

Error MapHandle::error(std::string_view attempt, int error_number) const {
  return errno_error(attempt, error_number).in(name_);
}

Result<bool> MapHandle::find(const void* key, void* value) const {
  if (bpf_map_lookup_elem(fd(), key, value) == 0) return true;
  if (errno == ENOENT) return false;
  return error("look up", errno);
}

Result<> MapHandle::put(const void* key, const void* value) const {
  if (bpf_map_update_elem(fd(), key, value, BPF_ANY) == 0) return {};
  return error("put", errno);
}

Result<Erased> MapHandle::erase(const void* key) const {
  if (bpf_map_delete_elem(fd(), key) == 0) return Erased::yes;
  if (errno == ENOENT) return Erased::was_absent;
  return error("erase", errno);
}

Result<bool> MapHandle::next_key(const void* key, void* next) const {
  if (bpf_map_get_next_key(fd(), key, next) == 0) return true;
  if (errno == ENOENT) return false;
  return error("next key", errno);
}

Result<MapHandle::Batch> MapHandle::lookup_batch(std::optional<std::uint32_t>& cursor, void* keys,
                                                 void* values, std::uint32_t count) const {
  std::uint32_t next = 0;
  Batch batch{count, false};
  if (bpf_map_lookup_batch(fd(), cursor ? &*cursor : nullptr, &next, keys, values, &batch.count,
                           nullptr) != 0) {
    if (errno != ENOENT) return error("look up a batch", errno);
    batch.done = true;  // the count is valid
  }
  cursor = next;
  return batch;
}

Result<PerCpuCounters> PerCpuCounters::make(MapHandle map, std::uint32_t entries) {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return errno_error("number of possible CPUs", -cpus);
  PerCpuCounters counters;
  counters.map_ = std::move(map);
  counters.entries_ = entries;
  counters.cpus_ = static_cast<std::uint32_t>(cpus);
  return counters;
}

namespace {

abi::counter total(std::span<const abi::counter> cpus) {
  abi::counter sum{};
  for (const abi::counter& counter : cpus) {
    sum.packets += counter.packets;
    sum.bytes += counter.bytes;
  }
  return sum;
}

}  // namespace

Result<abi::counter> PerCpuCounters::sum(std::uint32_t index) const {
  assert(index < entries_);
  std::vector<abi::counter> cpus(cpus_);
  auto found = map_.find(&index, cpus.data());
  if (!found) return std::move(found).error();
  return total(cpus);
}

Result<std::vector<abi::counter>> PerCpuCounters::sums(std::uint32_t first,
                                                       std::uint32_t count) const {
  assert(first <= entries_ && count <= entries_ - first);
  constexpr std::uint32_t batch_size = 1024;
  std::vector<abi::counter> all;
  all.reserve(count);
  std::vector<std::uint32_t> keys(std::min(count, batch_size));
  std::vector<abi::counter> cpus(keys.size() * cpus_);
  // An array's cursor is the index before the next batch.
  std::optional<std::uint32_t> cursor;
  if (first > 0) cursor = first - 1;
  while (all.size() < count) {
    const auto wanted = std::min(batch_size, count - static_cast<std::uint32_t>(all.size()));
    auto batch = map_.lookup_batch(cursor, keys.data(), cpus.data(), wanted);
    if (!batch) return std::move(batch).error();
    for (std::size_t i = 0; i < batch->count; i++)
      all.push_back(total(std::span{cpus}.subspan(i * cpus_, cpus_)));
    if (batch->done && all.size() < count) return Error{map_.name() + ": fewer counters than made"};
  }
  return all;
}

Result<> PerCpuCounters::zero(std::uint32_t index) const {
  assert(index < entries_);
  const std::vector<abi::counter> cpus(cpus_);
  return map_.put(&index, cpus.data());
}

}  // namespace lbd::dataplane
