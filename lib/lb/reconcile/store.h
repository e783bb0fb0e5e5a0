// How the daemon writes memory that packets read: aligned stores, and only where something changes.
#pragma once
#include <atomic>
#include <cstdint>
#include <type_traits>

namespace lbd::reconcile {

/// Counts what it writes, so that "nothing changed, nothing written" can be seen.
class Store {
 public:
  /// Puts `value` into `place` by one store that earlier ones precede; says whether it differed.
  template <class T>
  bool put(T& place, std::type_identity_t<T> value) {
    static_assert(std::is_integral_v<T> && sizeof(T) <= sizeof(std::uint64_t));
    if (place == value) return false;
    std::atomic_ref<T>{place}.store(value, std::memory_order_release);
    writes_++;
    return true;
  }
  /// Puts a record that no packet can see yet.
  template <class T>
  void put_unseen(T& place, const T& value) {
    place = value;
    writes_++;
  }
  /// A write that went through a system call.
  void count(std::uint64_t writes = 1) { writes_ += writes; }

  [[nodiscard]] std::uint64_t writes() const { return writes_; }

 private:
  std::uint64_t writes_ = 0;
};

}  // namespace lbd::reconcile
