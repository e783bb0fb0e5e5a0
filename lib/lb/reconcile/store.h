// How the daemon writes memory that packets read: aligned stores, and only where something changes.
#pragma once
#include <atomic>
#include <cstdint>
#include <type_traits>

#include "lb/dataplane/fault_point.h"

namespace lbd::reconcile {

/// Counts what it writes, so that "nothing changed, nothing written" can be seen.
class Store {
 public:
  /// Puts `value` into `place` by one store that earlier ones precede; says whether it differed.
  template <class T>
  bool put(T& place, std::type_identity_t<T> value) {
    static_assert(std::is_integral_v<T> && sizeof(T) <= sizeof(std::uint64_t));
    if (place == value) return false;
    dataplane::fault_point();
    std::atomic_ref<T>{place}.store(value, std::memory_order_release);
    writes_++;
    return true;
  }
  /// Puts two words, of which the first lies on an address that 8 divides, by one store: a crash
  /// must not tear them apart.
  void put_pair(std::uint32_t& first, std::uint32_t low, std::uint32_t high) {
    put(*reinterpret_cast<std::uint64_t*>(&first), std::uint64_t{high} << 32 | low);
  }
  /// Puts a record that no packet can see yet.
  template <class T>
  void put_unseen(T& place, const T& value) {
    dataplane::fault_point();
    place = value;
    writes_++;
  }
  /// Before a write through a system call.
  void count() {
    dataplane::fault_point();
    writes_++;
  }

  [[nodiscard]] std::uint64_t writes() const { return writes_; }

 private:
  std::uint64_t writes_ = 0;
};

}  // namespace lbd::reconcile
