// What this node should do: every service with its usable backends. Pure: the same input gives the
// same output.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lb/config/config.h"
#include "lb/model/service.h"

namespace lbd::desired {

enum class State : std::uint8_t { up, down, draining, disabled, terminating };

struct Backend {
  IpAddress address;
  std::uint16_t weight = 0;  ///< as configured
  State state = State::up;
  bool takes_new = false;     ///< has rows: state up and weight above 0
  bool serves_known = false;  ///< up and draining (weight 0, too): known flows stay
  std::string why;            ///< why it takes no new flows; empty where it does
  bool operator==(const Backend&) const = default;
};

struct Service {
  lbd::Service policy;
  std::vector<Backend> backends;
  bool operator==(const Service&) const = default;
};

struct Desired {
  std::vector<Service> services;  ///< in the configuration's order
  config::Decap decap;
  config::TunnelSource tunnel_source;
  bool operator==(const Desired&) const = default;
};

[[nodiscard]] std::string_view to_string(State);  ///< "up", "down", …

[[nodiscard]] Desired desire(const config::Config&);

/// The owner of each row of the service's table, as an index into `backends`; maglev::no_owner
/// where no backend takes new flows.
[[nodiscard]] std::vector<std::uint16_t> table(const Service&);

}  // namespace lbd::desired
