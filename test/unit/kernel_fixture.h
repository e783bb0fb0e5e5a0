// A private data plane with a reconciler on it, for tests that run the shipped program on packets.
#pragma once
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "lb/config/config.h"
#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/flow_memory.h"
#include "lb/dataplane/keys.h"
#include "lb/desired/desired.h"
#include "lb/reconcile/reconciler.h"
#include "lb/reconcile/space.h"
#include "unit/frames.h"
#include "unit/neighbors.h"

template <>
struct Catch::StringMaker<lbd::IpAddress> {
  static std::string convert(const lbd::IpAddress& address) { return address.str(); }
};
template <>
struct Catch::StringMaker<std::optional<lbd::IpAddress>> {
  static std::string convert(const std::optional<lbd::IpAddress>& address) {
    return address ? address->str() : "nobody";
  }
};

namespace lbd::test {

class Kernel {
 public:
  explicit Kernel(std::uint32_t flows = 4096, std::uint32_t starts = 4096);

  /// A desired state with that configuration's services.
  reconcile::Applied apply(const config::Config& config);
  reconcile::Applied apply(desired::Desired desired);
  /// A daemon that just started on the same maps.
  void restart() { reconciler_.emplace(*plane_, hash_key_, log_); }
  void grow(dataplane::Sizes sizes) { REQUIRE(plane_->grow(sizes).has_value()); }

  /// The backend a frame goes to; nothing where it is not forwarded.
  std::optional<IpAddress> backend_of(std::span<const std::uint8_t> frame);
  [[nodiscard]] const abi::trace& trace() { return *plane_->tables().trace; }

  reconcile::Swept sweep(std::chrono::seconds idle) {
    return sweep(reconcile::IdleTimes{.tcp = idle, .tcp_closing = idle, .udp = idle});
  }
  reconcile::Swept sweep(const reconcile::IdleTimes& idle) {
    auto swept = reconciler_->sweep(idle, reconcile::Scan::yes);
    REQUIRE(swept.has_value());
    return *swept;
  }
  reconcile::Snapshot snapshot() {
    auto taken = reconciler_->snapshot(desired_, applied_.refused);
    REQUIRE(taken.has_value());
    return *taken;
  }
  /// Lets so much time pass, for programs and daemon alike.
  void pass(std::chrono::seconds);
  [[nodiscard]] std::uint32_t now() const { return plane_->now(); }
  [[nodiscard]] std::optional<dataplane::StoredFlow> stored(const dataplane::Tuple&,
                                                            std::uint32_t service = 0);

  [[nodiscard]] const abi::hash_key& hash_key() const { return hash_key_; }
  dataplane::DataPlane& plane() { return *plane_; }
  reconcile::Reconciler& reconciler() { return *reconciler_; }

  Neighbors neighbors;

 private:
  Log log_{Level::error};
  abi::hash_key hash_key_;
  std::unique_ptr<dataplane::DataPlane> plane_;
  std::optional<reconcile::Reconciler> reconciler_;
  desired::Desired desired_;
  reconcile::Applied applied_;
};

/// A service "web" on 203.0.113.10 and 2001:db8::10, TCP and UDP port 80, 251 rows.
struct Web {
  Service service;
  Web();
  Web& backend(std::string_view address, std::uint16_t weight = 100,
               AdminState state = AdminState::enabled);
  [[nodiscard]] config::Config config() const;
};

}  // namespace lbd::test
