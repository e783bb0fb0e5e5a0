// What smaller maps hold, taken into the larger ones that replace them, while programs go on
// writing to the smaller.
#pragma once
#include "lb/dataplane/map_set.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

/// Before the swap: copies all arrays of `from` (its other members are unset) to `to`; not the flow
/// memory, which is replaced only when there is nothing in it.
Result<> copy_maps(const MapSet& from, const MapSet& to);

/// After the swap and a grace period, when nothing writes `from` any more: takes over what programs
/// wrote since the copy: when rows last refused a flow, and counts. Done twice it does no
/// harm, so that a successor may do it again.
Result<> carry_over(const MapSet& from, const MapSet& to);

}  // namespace lbd::dataplane
