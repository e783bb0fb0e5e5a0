// The shipped program on private maps, with services in whatever state a case needs: reached by the
// reconciler's own code where there is some, and by the program's own packets.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lb/dataplane/data_plane.h"
#include "lb/desired/desired.h"
#include "lb/reconcile/reconciler.h"

namespace lbd::bench {

/// Everything is behind one gateway. These are this node's own addresses.
inline constexpr std::string_view local4 = "198.51.100.1";
inline constexpr std::string_view local6 = "2001:db8:d::1";

/// A service whose backends are all of one family. It has a VIP of either.
struct Site {
  std::string name;
  bool v6 = false;
};

struct BalancerOptions {
  std::vector<Site> sites;
  std::uint32_t flows = 65536;  ///< that the flow memory has room for
  unsigned backends = 100;      ///< of each site; even
  unsigned others = 500;        ///< further services of one backend, so that frontends are many
  std::uint32_t ifindex = 1;    ///< where packets come in and leave
};

class Balancer {
 public:
  explicit Balancer(BalancerOptions);

  [[nodiscard]] dataplane::DataPlane& plane() { return *plane_; }
  [[nodiscard]] int program() const { return plane_->program_fd(); }
  [[nodiscard]] IpAddress vip(std::string_view site, bool v6) const;
  [[nodiscard]] abi::ring_desc ring(std::string_view site) const;

  /// The sites with all but the last `removed` backends of each, and the others.
  [[nodiscard]] desired::Desired desired(unsigned removed) const;
  reconcile::Applied apply(const desired::Desired&);
  /// All rows of the site are their owners', and nobody lives anywhere else.
  void settle(std::string_view site);

  /// All rows of the site begin to move, from backends of even slots to those of odd ones.
  void move(std::string_view site);
  /// What time does to all moving rows that packets have stored flows on: homes are given up, rows
  /// without a foreign entry settle, others get their filter.
  void give_up_homes();
  /// All rows of the site wait for foreign entries, none of which a packet's flow could be.
  void wait_for_others(std::string_view site);
  /// All rows of the site have just refused a flow.
  void refuse(std::string_view site);

  /// Packets to backends of even and of odd slots since the start.
  struct Shares {
    std::uint64_t home = 0;
    std::uint64_t cur = 0;
  };
  [[nodiscard]] Shares shares(std::string_view site);

 private:
  [[nodiscard]] std::size_t index_of(std::string_view site) const;
  [[nodiscard]] bool homes_left() const;
  void age_rows();
  void sweep();

  BalancerOptions options_;
  Log log_{Level::error};
  abi::hash_key hash_key_{};
  std::unique_ptr<dataplane::DataPlane> plane_;
  std::unique_ptr<reconcile::Reconciler> reconciler_;
  std::vector<std::uint32_t> counters_;  ///< first of each site
};

}  // namespace lbd::bench
