// The next hops that backends name. A record is shared by all backends that leave the same way, so
// a gateway's new MAC is one store, whoever is behind it.
#pragma once
#include <cstdint>
#include <map>

#include "lb/config/config.h"
#include "lb/dataplane/route.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

/// Brings the next hop of each backend in use to what `routes` says, with outer sources from
/// `tunnel_source` where given. One that can't be reached gets none.
Result<> assign_next_hops(Writer&, const dataplane::RouteSource& routes,
                          const config::TunnelSource& tunnel_source);

/// The next hop of a backend at `address`, as packets need it; mtu 0: there is none.
[[nodiscard]] abi::next_hop next_hop_to(const IpAddress& address,
                                        const dataplane::RouteSource& routes,
                                        const config::TunnelSource& tunnel_source);

}  // namespace lbd::reconcile
