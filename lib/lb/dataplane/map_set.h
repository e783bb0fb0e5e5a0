// One set of all maps with the program on them: what each map must be, its descriptor, and the set
// seen as Tables.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/fd.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

enum class MapId : std::uint8_t {
  // of the program's object:
  frontends4,
  frontends6,
  ring,
  side,
  backends,
  next_hops,
  counters,
  reasons,
  flows,
  flow_details,
  starts,
  adopts,
  flow_events,
  allow4,
  allow6,
  locals,
  bss,
  // the daemon's own:
  services,
  counted,
  meta,
};
inline constexpr std::size_t map_count = 20;

/// What a map is; also the name of its pin.
struct MapSpec {
  const char* name;
  std::uint32_t type;  ///< enum bpf_map_type
  std::uint32_t key_bytes;
  std::uint32_t value_bytes;
  std::uint32_t flags;
  std::uint32_t (*entries)(const Sizes&);
  bool in_object;
};
[[nodiscard]] const MapSpec& spec_of(MapId);
[[nodiscard]] constexpr std::array<MapId, map_count> all_maps() {
  std::array<MapId, map_count> ids{};
  for (std::size_t i = 0; i < map_count; i++) ids[i] = static_cast<MapId>(i);
  return ids;
}

/// The one element of lbd_meta: whether a successor can take over the pinned maps, and whether the
/// pinned program is the one it would load. `abi` stays the first word in every version.
struct Meta {
  std::uint32_t abi = LBD_ABI;
  std::uint32_t filter_offset =
      0;  ///< in lbd_bss, as are the next three: the compiler chooses them
  std::uint32_t trace_offset = 0;
  std::uint32_t seconds_offset = 0;
  std::uint32_t tokens_offset = 0;
  std::uint32_t hash_key = 0;  ///< a digest of it: rows and stored flows are of this key alone
  std::uint64_t digest = 0;    ///< of the object's bytes and its settings
  bool operator==(const Meta&) const = default;
};

/// Descriptors, some or all of them; the program last.
struct MapSet {
  std::array<Fd, map_count> maps;
  Fd program;

  [[nodiscard]] Fd& operator[](MapId id) { return maps[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Fd& operator[](MapId id) const { return maps[static_cast<std::size_t>(id)]; }
};

/// The map's entries, or an Error where it isn't what its spec says.
[[nodiscard]] Result<std::uint32_t> checked_entries(MapId, const Fd&);
/// A new map of the daemon's own.
[[nodiscard]] Result<Fd> create_map(MapId, const Sizes&);
[[nodiscard]] Result<Fd> duplicate(int fd);
/// All of a map that can be mapped.
[[nodiscard]] Result<Mapping> map_memory(MapId, const Fd&);

/// What a full set has room for.
[[nodiscard]] Result<Sizes> sizes_of(const MapSet&);
/// The larger of each.
[[nodiscard]] Sizes larger(const Sizes&, const Sizes&);

/// Tables with the mappings that its spans point into.
struct MappedTables {
  std::array<Mapping, map_count> mappings;
  Tables tables;
};
[[nodiscard]] Result<MappedTables> map_tables(const MapSet&, const Meta&);

}  // namespace lbd::dataplane
