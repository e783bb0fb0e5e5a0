// The moment before each write to the maps: where tests kill a daemon, or let packets come between.
#pragma once

namespace lbd::dataplane {

/// Set by tests alone. Always compiled in, so that what they run is what is shipped.
inline void (*before_map_write)() = nullptr;

inline void fault_point() {
  if (before_map_write != nullptr) [[unlikely]]
    before_map_write();
}

}  // namespace lbd::dataplane
