#include "balancer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <numeric>
#include <thread>

#include "frame.h"
#include "lb/dataplane/keys.h"
#include "lb/reconcile/held.h"
#include "lb/reconcile/rows.h"
#include "lb/reconcile/space.h"
#include "rewinder.h"

namespace lbd::bench {
namespace {

constexpr reconcile::IdleTimes idle{.tcp = std::chrono::seconds{120}};
constexpr reconcile::Seconds long_ago = 600;

class OneGateway final : public dataplane::RouteSource {
 public:
  explicit OneGateway(std::uint32_t ifindex) : ifindex_{ifindex} {}
  [[nodiscard]] std::optional<dataplane::Route> to(const IpAddress&) const override {
    return dataplane::Route{.ifindex = ifindex_,
                            .interface = "uplink",
                            .source_mac = *Mac::parse("02:00:00:00:00:02"),
                            .mac = *Mac::parse("02:00:00:00:00:01"),
                            .mtu = 1500,
                            .source4 = ip("10.0.0.2"),
                            .source6 = ip("fd01::2")};
  }
  [[nodiscard]] const std::set<IpAddress>& local_addresses() const override { return local_; }

 private:
  std::uint32_t ifindex_;
  std::set<IpAddress> local_{ip(local4), ip(local6)};
};

IpAddress vip_of(std::size_t index, bool v6) {
  return ip(v6 ? fmt::format("2001:db8::{:x}", index + 16) : fmt::format("192.0.2.{}", index + 16));
}

Service service_of(const Site& site, std::size_t index, unsigned backends) {
  Service service;
  service.name = site.name;
  service.addresses = {vip_of(index, false), vip_of(index, true)};
  service.ports = {{Port{443}, Protocol::tcp}};
  service.allow_from = {*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")};
  for (unsigned i = 0; i < backends; i++)
    service.backends.push_back({.address = ip(site.v6 ? fmt::format("fd01::1:{:x}", i + 1)
                                                      : fmt::format("10.0.1.{}", i + 1))});
  return service;
}

Service other_service(unsigned index) {
  Service other;
  other.name = fmt::format("other{}", index);
  other.addresses = {IpAddress::v4({198, 18, static_cast<std::uint8_t>(index >> 8),
                                    static_cast<std::uint8_t>(index)}),
                     ip(fmt::format("2001:db8:1::{:x}", index + 1))};
  other.ports = {{Port{443}, Protocol::tcp}};
  other.table_size = 251;
  other.allow_from = {*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")};
  other.backends = {{.address = ip("10.0.2.1")}};
  return other;
}

config::Config config_of(const BalancerOptions& options, unsigned removed) {
  config::Config config;
  config.decap = {.enabled = true,
                  .allow_from = {*Prefix::parse("10.0.0.0/24"), *Prefix::parse("fd01::/64")}};
  for (std::size_t i = 0; i < options.sites.size(); i++)
    config.services.push_back(service_of(options.sites[i], i, options.backends - removed));
  for (unsigned i = 0; i < options.others; i++) config.services.push_back(other_service(i));
  return config;
}

/// For failures that are values and not errno's.
[[noreturn]] void die_of(std::string_view doing, const Error& error) {
  errno = 0;
  die(fmt::format("{}: {}", doing, error.message()));
}

}  // namespace

Balancer::Balancer(BalancerOptions options) : options_{std::move(options)} {
  std::array<std::uint8_t, 16> key{};
  std::iota(key.begin(), key.end(), std::uint8_t{1});
  hash_key_ = dataplane::hash_key_from(key);
  const auto desired = this->desired(0);
  auto opened = dataplane::DataPlane::open(
      {.sizes = reconcile::sizes_for(desired, {.entries = options_.flows}), .hash_key = hash_key_},
      log_);
  if (!opened) die_of("open the maps", opened.error());
  plane_ = std::move(*opened);
  reconciler_ = std::make_unique<reconcile::Reconciler>(*plane_, hash_key_, log_);
  const auto applied = apply(desired);
  errno = 0;
  if (!applied.refused.empty()) die(applied.refused[0].service + ": refused");
  reconcile::Writer writer{*plane_};
  const reconcile::Held held = reconcile::read_held(writer);
  for (const Site& site : options_.sites)
    counters_.push_back(held.find(site.name)->counter_bases.begin()->second);
}

std::size_t Balancer::index_of(std::string_view site) const {
  const auto found = std::find_if(options_.sites.begin(), options_.sites.end(),
                                  [&](const Site& each) { return each.name == site; });
  errno = 0;
  if (found == options_.sites.end()) die(fmt::format("there is no site {}", site));
  return static_cast<std::size_t>(found - options_.sites.begin());
}

IpAddress Balancer::vip(std::string_view site, bool v6) const {
  return vip_of(index_of(site), v6);
}

abi::ring_desc Balancer::ring(std::string_view site) const {
  return plane_->tables().services[index_of(site)].ring[0];
}

desired::Desired Balancer::desired(unsigned removed) const {
  return desired::desire(config_of(options_, removed));
}

reconcile::Applied Balancer::apply(const desired::Desired& desired) {
  auto applied = reconciler_->apply(desired, OneGateway{options_.ifindex}, false);
  if (!applied) die_of("apply", applied.error());
  return std::move(*applied);
}

void Balancer::settle(std::string_view site) {
  reconcile::Writer writer{*plane_};
  reconcile::Rows rows{writer};
  const auto ring = this->ring(site);
  for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++) rows.end(row, 0);
}

void Balancer::move(std::string_view site) {
  reconcile::Writer writer{*plane_};
  reconcile::Rows rows{writer};
  const auto ring = this->ring(site);
  const auto now = plane_->now();
  for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++) {
    const auto home = static_cast<std::uint16_t>(rows.owner(row) & ~1);
    rows.force(row, home);
    rows.change(row, home | 1, true, now);
  }
}

bool Balancer::homes_left() const {
  const auto& tables = plane_->tables();
  for (const Site& site : options_.sites) {
    const auto ring = this->ring(site.name);
    for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++)
      if ((tables.row(row) & ROW_MOVING) != 0 && tables.side[row].filter == reconcile::every_flow &&
          tables.side[row].home != (tables.row(row) & SLOT_NONE))
        return true;
  }
  return false;
}

void Balancer::give_up_homes() {
  age_rows();  // homes are given up
  sweep();
  age_rows();  // no start can be confirmed any more
  sweep();
  errno = 0;
  if (homes_left()) die("the sweep leaves homes that are long idle");
}

void Balancer::age_rows() {
  const auto then = plane_->now() - long_ago;
  for (const Site& site : options_.sites) {
    const auto ring = this->ring(site.name);
    for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++)
      plane_->tables().side[row].started = plane_->tables().side[row].refused = then;
  }
}

void Balancer::sweep() {
  const auto swept = reconciler_->sweep(idle, reconcile::Scan::yes);
  if (!swept) die_of("sweep", swept.error());
}

void Balancer::wait_for_others(std::string_view site) {
  move(site);
  reconcile::Writer writer{*plane_};
  reconcile::Rows rows{writer};
  const auto ring = this->ring(site);
  for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++) {
    rows.give_up_home(row, plane_->now());
    plane_->tables().side[row].filter = 0;
  }
}

void Balancer::refuse(std::string_view site) {
  const auto ring = this->ring(site);
  const auto now = plane_->now();
  for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++)
    plane_->tables().side[row].refused = now;
}

Balancer::Shares Balancer::shares(std::string_view site) {
  const auto counts = plane_->tables().counters.sums(counters_[index_of(site)], options_.backends);
  if (!counts) die_of("read the counters", counts.error());
  Shares shares;
  for (std::size_t slot = 0; slot < counts->size(); slot++)
    (slot % 2 == 0 ? shares.home : shares.cur) += (*counts)[slot].packets;
  return shares;
}

}  // namespace lbd::bench
