// The backends of one service and what is wanted of each, states that probes bring included.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "unit/kernel_fixture.h"

namespace lbd::test {

/// What a backend is to the balancer.
enum class As : std::uint8_t {
  up,
  drained,
  disabled,
  down_keep,      ///< a probe says that it is down; its known flows stay
  down_reselect,  ///< the same, and its known flows get another
  absent,         ///< not configured; drained or reset as the service says
};

class Site {
 public:
  explicit Site(std::uint32_t rows = 251);

  /// The n-th backend's address; every third is an IPv6 one.
  [[nodiscard]] static IpAddress address(unsigned backend);
  [[nodiscard]] static std::optional<unsigned> backend_at(const IpAddress&);

  /// Backends that are named for the first time are up before that.
  Site& set(unsigned backend, As as);
  Site& weigh(unsigned backend, std::uint16_t weight);
  Site& up(unsigned count);  ///< the first `count` backends

  [[nodiscard]] As as(unsigned backend) const;
  [[nodiscard]] std::uint16_t weight(unsigned backend) const;
  [[nodiscard]] unsigned size() const { return static_cast<unsigned>(backends_.size()); }
  [[nodiscard]] bool takes_new(unsigned backend) const;
  [[nodiscard]] bool serves_known(unsigned backend) const;
  /// Whether its UDP flows that are not stored stay, too.
  [[nodiscard]] bool serves_unknown_udp(unsigned backend) const;

  [[nodiscard]] desired::Desired desired() const;

  Service service;

 private:
  struct Backend {
    As as = As::absent;
    std::uint16_t weight = 100;
  };
  std::vector<Backend> backends_;
};

}  // namespace lbd::test
