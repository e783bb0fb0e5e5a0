// What must hold between parts of a configuration: between a service's values, and between
// services.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "lb/config/reader.h"
#include "lb/model/service.h"

namespace lbd::config {

// docs/configuration.md, "Limits".
inline constexpr std::size_t frontends_max = 1'000'000;
/// Slots of a service (SLOTS_MAX of xdp/abi.h), one kept free to replace a backend.
inline constexpr std::size_t backends_max = 32766;

/// A service, and where the file says what of it.
struct PlacedService {
  Service service;
  At at;                      ///< the key of its name, or the whole where it has none
  std::vector<At> addresses;  ///< of service.addresses, one each
  std::vector<At> backends;   ///< the addresses of service.backends, one each
  /// At the value, or at the name where it is left out; no value: what the file says is none.
  Placed<std::optional<UnknownPorts>> unknown_ports;
  Placed<std::optional<std::uint32_t>> table_size;
};

void check_services(const std::vector<PlacedService>&, Findings&);

}  // namespace lbd::config
