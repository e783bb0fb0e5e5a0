// What the daemon shows, as JSON. The keys, their order and their meaning are lbctl's contract with
// scripts: extended, never renamed.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "lb/reconcile/snapshot.h"
#include "lb/serve/status.h"

namespace lbd::serve {

/// One element a port, in the file's order. A backend has the frontend's port: DSR does not change
/// it. Of a refused service no frontend forwards, no endpoint is used, and `refused` says why.
[[nodiscard]] boost::json::array services_json(const reconcile::Snapshot&);

/// One element a backend, those that left the file and still have flows included.
[[nodiscard]] boost::json::array backends_json(const reconcile::Snapshot&);

/// Counters by reason (only those that occurred) and by service, port and backend.
[[nodiscard]] boost::json::object stats_json(const reconcile::Snapshot&);

[[nodiscard]] boost::json::object status_json(const Status&);

[[nodiscard]] boost::json::object reloaded_json(const Reloaded&);

}  // namespace lbd::serve
