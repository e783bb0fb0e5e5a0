// What an operator asked to be balanced: services, their addresses, ports and backends. Values
// only.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lb/model/address.h"

namespace lbd {

/// IANA protocol numbers.
enum class Protocol : std::uint8_t { tcp = 6, udp = 17 };
enum class Forwarding : std::uint8_t { ipip };
enum class HashMode : std::uint8_t { five_tuple, source_ip };
/// Packets to a service's address that no port matches.
enum class UnknownPorts : std::uint8_t { drop, pass };
/// What the known flows of a backend that left the configuration get.
enum class RemovedBackends : std::uint8_t { drain, reset };
/// The operator's word about a backend. drain: known flows only; disabled: no flows.
enum class AdminState : std::uint8_t { enabled, drain, disabled };

struct Backend {
  IpAddress address;
  std::uint16_t weight = 100;  ///< share of new flows relative to the others; 0: no new flows
  AdminState state = AdminState::enabled;
  bool operator==(const Backend&) const = default;
};

/// Port 0 stands for every port that no other entry names.
struct ServicePort {
  Port port{0};
  Protocol protocol = Protocol::tcp;
  auto operator<=>(const ServicePort&) const = default;
};

struct Service {
  std::string name;
  std::vector<IpAddress> addresses;
  std::vector<ServicePort> ports;
  UnknownPorts unknown_ports = UnknownPorts::drop;
  Forwarding forwarding = Forwarding::ipip;
  std::uint32_t table_size = 65537;  ///< rows of the Maglev table; prime, 251…655373
  HashMode hash = HashMode::five_tuple;
  bool connection_tracking = true;  ///< false: the ring alone decides, always
  RemovedBackends removed_backends = RemovedBackends::drain;
  std::vector<Prefix> allow_from;  ///< clients; nobody else is served
  std::vector<Backend> backends;
  bool operator==(const Service&) const = default;
};

[[nodiscard]] std::string_view to_string(Protocol);    ///< "TCP", "UDP"
[[nodiscard]] std::string_view to_string(AdminState);  ///< "enabled", "drain", "disabled"

}  // namespace lbd
