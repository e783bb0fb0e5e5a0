#include "lb/reconcile/next_hops.h"

#include <cstring>
#include <optional>
#include <set>
#include <vector>

#include "lb/dataplane/keys.h"

namespace lbd::reconcile {
namespace {

struct BytesLess {
  bool operator()(const abi::next_hop& a, const abi::next_hop& b) const {
    return std::memcmp(&a, &b, sizeof a) < 0;
  }
};

bool same(const abi::next_hop& a, const abi::next_hop& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

/// Whether one store of eth0 makes `from` into `to`.
bool differs_in_eth0_only(abi::next_hop from, const abi::next_hop& to) {
  from.eth0 = to.eth0;
  return same(from, to);
}

/// All backends in use, with the next hop that each should have.
struct Wanted {
  abi::backend* backend;
  abi::next_hop way;
};

std::vector<Wanted> wanted_next_hops(Writer& writer, const dataplane::RouteSource& routes,
                                     const config::TunnelSource& source) {
  std::vector<Wanted> all;
  const auto& tables = writer.tables();
  for (const abi::service& service : tables.services) {
    if (service.name[0] == 0) continue;
    for (abi::backend& backend : tables.backends.subspan(service.backend_base, service.slots))
      if (backend.flags & abi::BACKEND_USED)
        all.push_back({&backend, next_hop_to(dataplane::address_of(backend), routes, source)});
  }
  return all;
}

/// Where all who share a record want the same other MAC, the record changes in place.
void follow_macs(Writer& writer, const std::vector<Wanted>& all) {
  std::map<std::uint32_t, std::optional<abi::next_hop>> agreed;  // nothing: they don't agree
  for (const Wanted& wanted : all) {
    const auto [at, first] = agreed.try_emplace(wanted.backend->next_hop, wanted.way);
    if (!first && at->second && !same(*at->second, wanted.way)) at->second.reset();
  }
  for (const auto& [index, way] : agreed) {
    if (index == 0 || !way || way->mtu == 0) continue;
    abi::next_hop& record = writer.tables().next_hops[index];
    if (differs_in_eth0_only(record, *way)) writer.store().put(record.eth0, way->eth0);
  }
}

class Records {
 public:
  Records(Writer& writer, const std::vector<Wanted>& all) : writer_{writer} {
    for (const Wanted& wanted : all) {
      const std::uint32_t index = wanted.backend->next_hop;
      if (index == 0 || !used_.insert(index).second) continue;
      by_content_.try_emplace(writer_.tables().next_hops[index], index);
    }
  }

  /// The record with that content, made if there is none; 0 where all are taken.
  Result<std::uint32_t> of(const abi::next_hop& way) {
    if (way.mtu == 0) return 0U;
    if (const auto found = by_content_.find(way); found != by_content_.end()) return found->second;
    while (next_ < NEXT_HOPS_MAX && used_.contains(next_)) next_++;
    if (next_ == NEXT_HOPS_MAX) return 0U;
    if (auto ready = writer_.before_reuse(); !ready) return std::move(ready).error();
    writer_.store().put_unseen(writer_.tables().next_hops[next_], way);
    used_.insert(next_);
    by_content_.emplace(way, next_);
    return next_;
  }

 private:
  Writer& writer_;
  std::map<abi::next_hop, std::uint32_t, BytesLess> by_content_;
  std::set<std::uint32_t> used_;
  std::uint32_t next_ = 1;  // 0 stands for "none known"
};

}  // namespace

abi::next_hop next_hop_to(const IpAddress& address, const dataplane::RouteSource& routes,
                          const config::TunnelSource& tunnel_source) {
  abi::next_hop way{};
  const auto route = routes.to(address);
  if (!route) return way;
  const auto& configured = address.is_v4() ? tunnel_source.ipv4 : tunnel_source.ipv6;
  const auto source = configured ? configured : address.is_v4() ? route->source4 : route->source6;
  if (!source) return way;
  const auto ethernet = dataplane::ethernet_words(route->mac, route->source_mac);
  way.eth0 = ethernet.eth0;
  way.eth8 = ethernet.eth8;
  way.mtu = route->mtu;
  way.ifindex = route->ifindex;
  dataplane::set_source(way, *source);
  return way;
}

Result<> assign_next_hops(Writer& writer, const dataplane::RouteSource& routes,
                          const config::TunnelSource& tunnel_source) {
  const auto all = wanted_next_hops(writer, routes, tunnel_source);
  follow_macs(writer, all);
  Records records{writer, all};
  for (const Wanted& wanted : all) {
    auto index = records.of(wanted.way);
    if (!index) return std::move(index).error().in("assign next hops");
    if (writer.store().put(wanted.backend->next_hop, *index)) writer.freed();
  }
  return {};
}

}  // namespace lbd::reconcile
