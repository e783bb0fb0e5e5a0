// What the maps hold, read back from them alone: a daemon that just started knows as much as one
// that wrote them.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lb/model/service.h"
#include "lb/reconcile/frontend_table.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

/// A service in the maps.
struct HeldService {
  std::uint32_t index = 0;  ///< into lbd_services
  std::string name;
  abi::service record{};
  std::map<IpAddress, std::uint16_t> slots;            ///< of its backends, removed ones too
  std::map<ServicePort, std::uint32_t> counter_bases;  ///< by port
  [[nodiscard]] bool leaving() const { return (record.options & abi::SERVICE_LEAVING) != 0; }
};

struct Held {
  std::vector<HeldService> services;  ///< by index
  std::map<FrontendKey, abi::frontend> frontends;

  /// The service of that name that isn't leaving.
  [[nodiscard]] const HeldService* find(std::string_view name) const;
};

[[nodiscard]] Held read_held(Writer&);

/// A service's ring of a protocol; size 0: it has none.
[[nodiscard]] inline abi::ring_desc& ring_of(abi::service& service, Protocol protocol) {
  return service.ring[protocol == Protocol::tcp ? 0 : 1];
}
[[nodiscard]] inline const abi::ring_desc& ring_of(const abi::service& service, Protocol protocol) {
  return service.ring[protocol == Protocol::tcp ? 0 : 1];
}
inline constexpr Protocol protocols[] = {Protocol::tcp, Protocol::udp};

/// The hash by which a flow of the service finds its row.
[[nodiscard]] std::uint32_t row_hash(const abi::service&, const abi::hash_key&,
                                     const abi::flow_key&);

/// The port a frontend key stands for; nothing for an address record.
[[nodiscard]] std::optional<ServicePort> port_of(const FrontendKey&);
[[nodiscard]] FrontendKey key_of(const IpAddress&, const ServicePort&);
[[nodiscard]] FrontendKey address_key_of(const IpAddress&);

}  // namespace lbd::reconcile
