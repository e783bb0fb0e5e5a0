// Who may send: allow lists of services and of decapsulation, the node's own addresses, and the
// address filter that stands before every look-up.
#pragma once
#include <cstdint>
#include <set>
#include <vector>

#include "lb/model/address.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

/// Whether every address of the family is among `prefixes`, so that no list need be asked.
[[nodiscard]] bool allows_all(const std::vector<Prefix>& prefixes, IpAddress::Family);

/// The prefixes that all scopes together should have, as the tries' keys.
struct AllowLists {
  std::set<std::pair<std::uint32_t, Prefix>> prefixes;  ///< scope, prefix
};

/// Adds what is missing. Lists grow before a frontend asks them.
Result<> add_allowed(Writer&, const AllowLists&);
/// Takes away what isn't wanted, once packets that saw a frontend ask a list are gone.
Result<> remove_not_allowed(Writer&, const AllowLists&);

/// Those of the node's addresses that a packet from outside may be for: not the loopback's own.
[[nodiscard]] std::set<IpAddress> reachable(const std::set<IpAddress>& local);
/// The addresses that decapsulation serves; empty: it is off.
Result<> set_locals(Writer&, const std::set<IpAddress>&);

/// Opens the filter for `addresses`, beside what it lets through already.
void open_filter(Writer&, const std::set<IpAddress>& addresses);
/// Closes it for all others.
void close_filter(Writer&, const std::set<IpAddress>& addresses);

}  // namespace lbd::reconcile
