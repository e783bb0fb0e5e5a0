// Typed access to BPF maps that cannot be mapped into memory: hashes, prefix tries and per-CPU
// counters; and the one store by which mapped records are published.
#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "lb/dataplane/abi.h"
#include "lb/dataplane/fd.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

/// One aligned store that programs see whole, and after all that was written before it.
template <class T>
void publish(T& where, std::type_identity_t<T> value) {
  std::atomic_ref<T>{where}.store(value, std::memory_order_release);
}
/// One aligned load of what programs may write meanwhile.
template <class T>
[[nodiscard]] T load_once(T& where) {
  return std::atomic_ref<T>{where}.load(std::memory_order_acquire);
}

enum class Erased { yes, was_absent };

/// A map's descriptor and name, with untyped operations that report errors by that name.
class MapHandle {
 public:
  MapHandle() = default;
  MapHandle(Fd fd, std::string name) : fd_{std::move(fd)}, name_{std::move(name)} {}

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }

  Result<bool> find(const void* key, void* value) const;
  Result<> put(const void* key, const void* value) const;
  Result<Erased> erase(const void* key) const;
  /// The key after `key` (null: the first); false at the end.
  Result<bool> next_key(const void* key, void* next) const;
  /// Up to `count` elements. `cursor` starts as nothing; done is set with the last batch.
  struct Batch {
    std::uint32_t count = 0;
    bool done = false;
  };
  Result<Batch> lookup_batch(std::optional<std::uint32_t>& cursor, void* keys, void* values,
                             std::uint32_t count) const;

 private:
  [[nodiscard]] Error error(std::string_view attempt, int error_number) const;
  Fd fd_;
  std::string name_;
};

/// A BPF_MAP_TYPE_HASH of K to V, both without unnamed padding.
template <class K, class V>
class HashMap {
 public:
  HashMap() = default;
  explicit HashMap(MapHandle map) : map_{std::move(map)} {}

  /// There or not. A replaced element is reused at once while programs may still read it.
  Result<> put(const K& key, const V& value) const { return map_.put(&key, &value); }
  Result<Erased> erase(const K& key) const { return map_.erase(&key); }

  /// Calls visit(const K&, const V&) once for each element that is there from begin to end; for
  /// those that programs insert meanwhile, perhaps. `visit` may erase what it is given.
  template <class Visit>
  Result<> for_each(Visit&& visit) const {
    std::vector<K> keys(batch_size);
    std::vector<V> values(batch_size);
    std::optional<std::uint32_t> cursor;
    for (;;) {
      auto batch = map_.lookup_batch(cursor, keys.data(), values.data(), batch_size);
      if (!batch) return std::move(batch).error();
      for (std::uint32_t i = 0; i < batch->count; i++) visit(keys[i], values[i]);
      if (batch->done) return {};
    }
  }
  /// Walks the map: time in proportion to its size.
  [[nodiscard]] Result<std::uint64_t> count() const {
    std::uint64_t elements = 0;
    auto walked = for_each([&](const K&, const V&) { elements++; });
    if (!walked) return std::move(walked).error();
    return elements;
  }
  [[nodiscard]] const MapHandle& handle() const { return map_; }

 private:
  static constexpr std::uint32_t batch_size = 1024;
  MapHandle map_;
};

/// A BPF_MAP_TYPE_LPM_TRIE used as a set of prefixes. Only the daemon writes it.
template <class K>
class PrefixSet {
 public:
  PrefixSet() = default;
  explicit PrefixSet(MapHandle map) : map_{std::move(map)} {}

  Result<> insert(const K& key) const {
    const std::uint8_t there = 1;
    return map_.put(&key, &there);
  }
  Result<Erased> erase(const K& key) const { return map_.erase(&key); }
  [[nodiscard]] Result<std::vector<K>> keys() const {
    std::vector<K> all;
    K next{};
    for (;;) {
      auto more = map_.next_key(all.empty() ? nullptr : &all.back(), &next);
      if (!more) return std::move(more).error();
      if (!*more) return all;
      all.push_back(next);
    }
  }
  [[nodiscard]] const MapHandle& handle() const { return map_; }

 private:
  MapHandle map_;
};

/// A BPF_MAP_TYPE_PERCPU_ARRAY of counters that programs add to.
class PerCpuCounters {
 public:
  PerCpuCounters() = default;
  static Result<PerCpuCounters> make(MapHandle map, std::uint32_t entries);

  [[nodiscard]] std::uint32_t entries() const { return entries_; }
  [[nodiscard]] Result<abi::counter> sum(std::uint32_t index) const;
  /// Sums of `count` counters from `first`.
  [[nodiscard]] Result<std::vector<abi::counter>> sums(std::uint32_t first,
                                                       std::uint32_t count) const;
  /// Sets one to 0; only where no program can be counting there (after a grace period).
  [[nodiscard]] Result<> zero(std::uint32_t index) const;
  [[nodiscard]] const MapHandle& handle() const { return map_; }

 private:
  MapHandle map_;
  std::uint32_t entries_ = 0;
  std::uint32_t cpus_ = 0;
};

}  // namespace lbd::dataplane
