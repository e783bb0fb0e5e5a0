// What xdp_bench measures: the cases, and the programs and stored flows that they need.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "balancer.h"
#include "rewinder.h"

struct floors;

namespace lbd::bench {

/// As many clients as the wrapper can tell apart: no flow is met twice.
inline constexpr std::uint32_t all_clients = 1 << 24;

struct Case {
  std::string group;  ///< what the packet meets
  std::string what;   ///< which packet
  std::uint32_t flows = 1;
  double flows_per_row = 0;  ///< 0: not what the case is about
  bool v6 = false;           ///< which floor it stands on
  std::unique_ptr<Rewinder> rewinder;
  std::uint32_t repeat = 0;  ///< packets a round; 0: as many as fit

  // On moving rows: where packets go, told by the balancer's own counters.
  Balancer* balancer = nullptr;
  std::string site;
  std::optional<double> at_home;  ///< the share that homes should have
  bool rows_refuse = false;       ///< each round begins with rows that have just refused a flow

  // What was measured.
  std::vector<double> ns;  ///< of a packet, by round
  std::uint64_t wrong = 0;
  Balancer::Shares shares;

  /// Share of packets that went to another owner than the case is about.
  [[nodiscard]] double astray() const;
};

struct Plan {
  bool quick = false;  ///< leaves out what takes long to store
  std::string only;    ///< groups whose name contains it; floors always
};

class Stage {
 public:
  explicit Stage(Plan);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  [[nodiscard]] std::vector<Case>& cases() { return cases_; }
  [[nodiscard]] const std::vector<Case>& cases() const { return cases_; }
  /// The measured program's sizes.
  [[nodiscard]] dataplane::ProgramInfo program_info();

 private:
  struct Close {
    void operator()(struct ::floors*) const;
  };
  /// A packet of a group's case, its program and what that should do.
  struct Packet {
    std::string what;
    Frame frame;
    std::uint32_t flows = 1;
    int growth = 0;
    std::uint32_t action = 0;
  };
  struct Group {
    std::string_view name;
    void (Stage::*make)();
  };
  static const std::vector<Group>& groups();

  void floors_group();
  void foreign();
  void settled();
  void no_hit();
  void decapsulation();
  void known();
  void known_by_row();
  void started();
  void refused();
  void hit();
  void waiting_by_row();

  [[nodiscard]] std::vector<std::uint32_t> flow_counts() const;
  [[nodiscard]] std::vector<double> row_loads() const;
  Balancer& own(BalancerOptions);
  Balancer& quiet();
  Balancer& waiting();
  Case& add(int program, Packet);
  /// A case on a site of moving rows: TCP to its VIP.
  Case& add_moving(Balancer&, std::string_view site, bool v6, std::uint32_t flows, double at_home,
                   std::uint8_t tcp_flags = REWIND_FLAGS);
  void store(Balancer&, std::string_view site, bool v6, std::uint32_t flows, bool begin);

  Plan plan_;
  std::string_view group_;
  std::unique_ptr<struct ::floors, Close> floors_;
  std::vector<std::unique_ptr<Balancer>> balancers_;
  Balancer* quiet_ = nullptr;
  Balancer* waiting_ = nullptr;
  std::vector<Case> cases_;
};

}  // namespace lbd::bench
