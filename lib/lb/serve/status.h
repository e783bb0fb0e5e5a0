// What the daemon says about itself: how it runs, what it holds, and what a reload changed. Values
// only.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "lb/reconcile/snapshot.h"

namespace lbd::serve {

struct InterfaceStatus {
  std::string name;
  std::string mode;  ///< "native", "generic"; "missing" while there is no such interface
  std::uint32_t program_id = 0;
};

struct MapStatus {
  std::string name;
  std::uint64_t entries = 0;
  std::uint64_t entries_max = 0;
  std::uint64_t bytes = 0;  ///< of kernel memory
};

/// A service that is not in the data plane, and why.
struct Refused {
  std::string service;
  std::string reason;
};

struct ReconcileStatus {
  std::uint64_t writes = 0;      ///< to maps; 0: they held what was desired
  std::uint64_t rows_moved = 0;  ///< rows that got another owner
};

struct ConfigStatus {
  std::string file;  ///< as given on the command line
  std::chrono::system_clock::time_point loaded_at;
};

struct Status {
  std::string version;
  std::int64_t pid = 0;
  std::chrono::seconds uptime{};
  std::vector<InterfaceStatus> interfaces;
  std::vector<MapStatus> maps;
  std::uint64_t rows_total = 0;
  std::uint64_t rows_moving = 0;
  reconcile::FlowsSnapshot flows;
  ConfigStatus config;
  std::vector<Refused> refused;
  ReconcileStatus last_reconcile;
};

/// Names, in the order to show them. A backend is "SERVICE/ADDRESS".
struct Changes {
  std::vector<std::string> services_added;
  std::vector<std::string> services_removed;
  std::vector<std::string> services_changed;
  std::vector<std::string> backends_added;
  std::vector<std::string> backends_removed;
  std::vector<std::string> backends_changed;
};

/// A reload that went ahead.
struct Reloaded {
  Changes changed;
  std::vector<Refused> refused;
  std::vector<std::string> warnings;  ///< whole lines
  ReconcileStatus done;
};

}  // namespace lbd::serve
