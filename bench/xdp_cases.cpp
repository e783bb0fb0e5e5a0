#include "xdp_cases.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "floors.skel.h"
#include "report.h"

namespace lbd::bench {
namespace {

constexpr std::uint32_t rows = 65537;
constexpr std::uint32_t million = 1000000;
/// Of a row's flows, those that live elsewhere once its home is given up.
constexpr unsigned one_foreign_in = 5;
/// New flows a round: few enough that the memory for starts has room for what 8 s of rounds send.
constexpr std::uint32_t starts_a_round = 40000;

constexpr bool families[] = {false, true};

const char* family_of(bool v6) {
  return v6 ? "IPv6" : "IPv4";
}

std::string site_of(std::string_view kind, bool v6) {
  return fmt::format("{}{}", kind, v6 ? 6 : 4);
}

/// A site a family.
std::vector<Site> both(std::string_view kind) {
  return {{site_of(kind, false), false}, {site_of(kind, true), true}};
}

std::uint32_t flows_of(double per_row) {
  return static_cast<std::uint32_t>(per_row * rows);
}

}  // namespace

double Case::astray() const {
  const auto all = static_cast<double>(shares.home + shares.cur);
  if (!at_home) return 0;
  return all == 0 ? 1 : std::abs(static_cast<double>(shares.home) / all - *at_home);
}

void Stage::Close::operator()(struct ::floors* skeleton) const {
  floors::destroy(skeleton);
}

Stage::~Stage() = default;

const std::vector<Stage::Group>& Stage::groups() {
  static const std::vector<Group> all{
      {"floor", &Stage::floors_group},
      {"not a VIP", &Stage::foreign},
      {"settled", &Stage::settled},
      {"home == cur, no filter hit", &Stage::no_hit},
      {"home == cur, filter hit", &Stage::hit},
      {"home == cur, 1 flow in 5 foreign", &Stage::waiting_by_row},
      {"moving, known", &Stage::known},
      {"moving, known, by flows a row", &Stage::known_by_row},
      {"moving, new", &Stage::started},
      {"moving, refused", &Stage::refused},
      {"decapsulation", &Stage::decapsulation},
  };
  return all;
}

Stage::Stage(Plan plan) : plan_{std::move(plan)}, floors_{floors::open_and_load()} {
  if (!floors_) die("load the floors");
  for (const Group& group : groups()) {
    const bool wanted = group.name.find(plan_.only) != std::string_view::npos;
    if (!wanted && group.make != &Stage::floors_group) continue;
    show_progress(fmt::format("prepare: {}", group.name));
    group_ = group.name;
    (this->*group.make)();
  }
  end_progress();
}

dataplane::ProgramInfo Stage::program_info() {
  const auto info = quiet().plane().program_info();
  if (!info) die(info.error().message());
  return *info;
}

std::vector<std::uint32_t> Stage::flow_counts() const {
  if (plan_.quick) return {1, 1000, 100000};
  return {1, 1000, 100000, million};
}

std::vector<double> Stage::row_loads() const {
  if (plan_.quick) return {0.6, 5};
  return {0.6, 5, 15, 50};
}

Balancer& Stage::own(BalancerOptions options) {
  balancers_.push_back(std::make_unique<Balancer>(std::move(options)));
  return *balancers_.back();
}

/// Where nothing is stored.
Balancer& Stage::quiet() {
  if (quiet_ == nullptr)
    quiet_ = &own({.sites = {{"four", false}, {"six", true}, {"clear4", false}, {"clear6", true}}});
  return *quiet_;
}

Case& Stage::add(int program, Packet packet) {
  Case c{.group = std::string{group_},
         .what = std::move(packet.what),
         .flows = packet.flows,
         .v6 = packet.frame.v6};
  c.rewinder = std::make_unique<Rewinder>(
      program, packet.frame, packet.flows,
      Rewinder::Verdict{.action = packet.action, .growth = packet.growth});
  cases_.push_back(std::move(c));
  return cases_.back();
}

Case& Stage::add_moving(Balancer& balancer, std::string_view site, bool v6, std::uint32_t flows,
                        double at_home, std::uint8_t tcp_flags) {
  Case& c = add(balancer.program(), {.what = family_of(v6),
                                     .frame = tcp_to(balancer.vip(site, v6), tcp_flags),
                                     .flows = flows,
                                     .growth = v6 ? 40 : 20,
                                     .action = XDP_TX});
  c.balancer = &balancer;
  c.site = site;
  c.at_home = at_home;
  return c;
}

void Stage::store(Balancer& balancer, std::string_view site, bool v6, std::uint32_t flows,
                  bool begin) {
  Rewinder rewinder{balancer.program(),
                    tcp_to(balancer.vip(site, v6)),
                    flows,
                    {.action = XDP_TX, .growth = v6 ? 40 : 20}};
  errno = 0;
  if (rewinder.fill(begin).wrong != 0) die(fmt::format("flows of {} went astray", site));
}

void Stage::floors_group() {
  const int null = bpf_program__fd(floors_->progs.floor_null);
  add(null, {.what = "null, IPv4", .frame = tcp_to(ip("192.0.2.10")), .action = XDP_TX});
  add(null, {.what = "null, IPv6", .frame = tcp_to(ip("2001:db8::10")), .action = XDP_TX});
  add(bpf_program__fd(floors_->progs.floor_head),
      {.what = "adjust_head", .frame = tcp_to(ip("192.0.2.10")), .growth = 20, .action = XDP_TX});
  add(bpf_program__fd(floors_->progs.floor_ipip),
      {.what = "constant IPIP", .frame = tcp_to(ip("192.0.2.10")), .growth = 20, .action = XDP_TX});
}

void Stage::foreign() {
  for (const bool v6 : families)
    add(quiet().program(), {.what = family_of(v6),
                            .frame = tcp_to(ip(v6 ? "2001:db8:5::5" : "203.0.113.77")),
                            .flows = 100000,
                            .action = XDP_PASS});
}

void Stage::settled() {
  Balancer& balancer = quiet();
  const struct {
    const char* what;
    const char* site;
    bool v6;
    int growth;
  } ways[] = {{"4in4", "four", false, 20},
              {"6in6", "six", true, 40},
              {"4in6", "six", false, 40},
              {"6in4", "four", true, 20}};
  for (const auto& way : ways)
    for (const std::uint32_t flows : flow_counts())
      add(balancer.program(), {.what = way.what,
                               .frame = tcp_to(balancer.vip(way.site, way.v6)),
                               .flows = flows,
                               .growth = way.growth,
                               .action = XDP_TX});
}

void Stage::no_hit() {
  for (const bool v6 : families) {
    const auto site = site_of("clear", v6);
    quiet().wait_for_others(site);
    for (const std::uint32_t flows : flow_counts()) add_moving(quiet(), site, v6, flows, 0);
  }
}

void Stage::decapsulation() {
  const auto add_tunnel = [&](const char* what, bool inner6, bool outer6) {
    const Ends outer = outer6 ? Ends{ip("fd01::9"), ip(local6)} : Ends{ip("10.0.0.9"), ip(local4)};
    const Ends inner =
        inner6 ? Ends{ip("2001:db8:ffff::a"), ip(local6)} : Ends{ip("203.0.113.5"), ip(local4)};
    add(quiet().program(), {.what = what,
                            .frame = tunnelled(outer, inner),
                            .growth = outer6 ? -40 : -20,
                            .action = XDP_PASS});
  };
  add_tunnel("4in4", false, false);
  add_tunnel("6in6", true, true);
  add_tunnel("4in6", false, true);
  add_tunnel("6in4", true, false);
}

void Stage::known() {
  const auto counts = flow_counts();
  for (const bool v6 : families) {
    const auto site = site_of("known", v6);
    Balancer& balancer = own({.sites = {{site, v6}}, .flows = 2 << 20});
    balancer.move(site);
    store(balancer, site, v6, counts.back(), true);
    for (const std::uint32_t flows : counts) add_moving(balancer, site, v6, flows, 0);
  }
}

void Stage::known_by_row() {
  Balancer& balancer = own({.sites = both("known"), .flows = 8 << 20});
  const auto loads = row_loads();
  for (const bool v6 : families) {
    const auto site = site_of("known", v6);
    balancer.move(site);
    store(balancer, site, v6, flows_of(loads.back()), true);
    for (const double per_row : loads)
      add_moving(balancer, site, v6, flows_of(per_row), 0).flows_per_row = per_row;
  }
}

void Stage::started() {
  Balancer& balancer = own({.sites = both("new"), .flows = 4 << 20});
  for (const bool v6 : families) {
    const auto site = site_of("new", v6);
    balancer.move(site);
    add_moving(balancer, site, v6, all_clients, 0, REWIND_FLAGS_SYN).repeat = starts_a_round;
  }
}

void Stage::refused() {
  std::vector<Site> sites = both("refused");
  sites.push_back({"full", false});
  Balancer& balancer = own({.sites = std::move(sites), .flows = 1 << 19});
  balancer.move("full");
  store(balancer, "full", false, 1 << 20, true);
  for (const bool v6 : families) {
    const auto site = site_of("refused", v6);
    balancer.move(site);
    const auto refused = [&](const char* packet, std::uint32_t flows, std::uint8_t flags) {
      Case& c = add_moving(balancer, site, v6, flows, 1, flags);
      c.what = fmt::format("{}, {}", packet, c.what);
      c.rows_refuse = true;
    };
    refused("SYN", 1, REWIND_FLAGS_SYN);
    refused("SYN", 100000, REWIND_FLAGS_SYN);
    refused("SYN, never seen", all_clients, REWIND_FLAGS_SYN);
    refused("ACK, never seen", all_clients, REWIND_FLAGS);
  }
}

/// Where homes were given up over flows that live there: for both groups of such cases.
Balancer& Stage::waiting() {
  if (waiting_ != nullptr) return *waiting_;
  std::vector<Site> sites = both("hit");
  for (const double per_row : row_loads())
    for (const Site& site : both(fmt::format("rows{}-", per_row))) sites.push_back(site);
  waiting_ = &own({.sites = sites, .flows = 8 << 20});
  for (const Site& site : sites) waiting_->move(site.name);
  for (const bool v6 : families) {
    store(*waiting_, site_of("hit", v6), v6, flow_counts().back(), false);
    for (const double per_row : row_loads())
      store(*waiting_, site_of(fmt::format("rows{}-", per_row), v6), v6,
            flows_of(per_row) / one_foreign_in, false);
  }
  waiting_->give_up_homes();
  return *waiting_;
}

void Stage::hit() {
  for (const bool v6 : families)
    for (const std::uint32_t flows : flow_counts())
      add_moving(waiting(), site_of("hit", v6), v6, flows, 1);
}

void Stage::waiting_by_row() {
  for (const bool v6 : families)
    for (const double per_row : row_loads()) {
      const auto site = site_of(fmt::format("rows{}-", per_row), v6);
      add_moving(waiting(), site, v6, flows_of(per_row), 1.0 / one_foreign_in).flows_per_row =
          per_row;
    }
}

}  // namespace lbd::bench
