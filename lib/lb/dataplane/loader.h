// The program's object, embedded in this binary: its settings, and loading it onto maps.
#pragma once
#include "lb/dataplane/abi.h"
#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/map_set.h"
#include "lb/log/log.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

/// What is constant in a loaded program.
struct Settings {
  abi::hash_key hash_key{};
  bool trace = false;
  bool given_time = false;
};

/// Of the embedded object with these settings.
[[nodiscard]] Meta meta_of(const Settings&);

/// Loads the program onto the maps that `set` has and makes those it lacks, for `sizes`; meta is
/// always made anew. Nothing of it sees a packet yet.
Result<> load(MapSet& set, const Settings&, const Sizes& sizes, const Log&);

}  // namespace lbd::dataplane
