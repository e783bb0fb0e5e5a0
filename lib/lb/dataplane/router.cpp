#include "lb/dataplane/router.h"

#include <poll.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <vector>

#include "lb/dataplane/interfaces.h"
#include "lb/dataplane/netlink.h"

namespace lbd::dataplane {
namespace {

using netlink::Neighbor;
using netlink::NextHop;
using netlink::Path;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A change of routes or links comes as many messages; they are followed together.
constexpr milliseconds gather{10};
// At most a fifth of the time goes into looking routes up, however often they change.
constexpr int rest_per_work = 4;
// How often neighbours that the kernel does not manage are asked for.
constexpr milliseconds upkeep_interval{5000};
// Not all that bears on a route is told of (path MTUs, sysctls): every minute it is asked again.
constexpr int upkeeps_per_refresh = 12;

/// A neighbour that destinations are reached by.
struct Hop {
  Neighbor neighbor;
  std::set<IpAddress> users;
  bool failure_told = false;
};

struct Destination {
  Result<Path> path = Error{"not asked"};
  std::optional<Route> route;
  bool unroutable = false;
};

/// What one event has happened to, by reason: a line of log each, however many.
class Cases {
 public:
  void add(const IpAddress& subject, std::string reason) {
    auto& [count, first] = by_reason_[std::move(reason)];
    if (count++ == 0) first = subject;
  }
  void warn(const Log& log, std::string_view event) const {
    for (const auto& [reason, cases] : by_reason_)
      log.warn(event, {{"count", cases.first}, {"first", cases.second.str()}, {"reason", reason}});
  }

 private:
  std::map<std::string, std::pair<std::size_t, IpAddress>> by_reason_;
};

}  // namespace

class Router::Impl {
 public:
  Impl(boost::asio::io_context& io, const Log& log, std::function<void()> changed,
       netlink::Requests requests, netlink::Events events)
      : log_{log},
        changed_{std::move(changed)},
        requests_{std::move(requests)},
        events_{std::move(events)},
        readable_{io},
        gathered_{io},
        upkeep_{io} {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  // The descriptor is the event socket's to close.
  ~Impl() { readable_.release(); }

  Result<> start();
  void want(const std::set<IpAddress>& destinations);
  void settle(int at_most_ms);
  [[nodiscard]] std::optional<Route> to(const IpAddress& destination) const;
  [[nodiscard]] const Interfaces& interfaces() const { return interfaces_; }

 private:
  // What the io_context calls. Each may end in changed_, after which `this` may be gone.
  void await_events();
  void await_gathered();
  void await_upkeep();
  void notify();
  void notify_later();

  netlink::Events::Read drain();
  void handle(const netlink::LinkEvent&);
  void handle(const netlink::AddressEvent&);
  void handle(const netlink::NeighborEvent&);
  void handle(const netlink::RouteEvent&) { resolve_soon(); }
  void follow();
  void resync();
  Result<bool> read_interfaces();

  void resolve_soon();
  void resolve_all();
  void resolve(const std::vector<IpAddress>& destinations);
  void lead(const IpAddress& destination, Result<Path> path);
  void leave_hop(const IpAddress& destination);
  void drop_unused_hops();
  void release_leftovers();
  void keep(const std::set<NextHop>& hops);
  void keep_unmanaged();

  [[nodiscard]] bool usable(std::uint32_t ifindex) const;
  [[nodiscard]] std::string obstacle(const Destination&) const;
  [[nodiscard]] std::optional<Route> compose(const IpAddress&, const Destination&) const;
  void answer(const IpAddress&, Destination&);
  void answer_users_of_touched_hops();
  [[nodiscard]] bool pending(const NextHop&) const;
  void tell_of_neighbor(Hop&);
  template <class Handler>
  auto while_alive(Handler handler);

  const Log& log_;
  std::function<void()> changed_;
  netlink::Requests requests_;
  netlink::Events events_;
  boost::asio::posix::stream_descriptor readable_;
  boost::asio::steady_timer gathered_;
  boost::asio::steady_timer upkeep_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();  // what handlers look for

  Interfaces interfaces_;
  std::set<IpAddress> local_told_;
  std::map<IpAddress, Destination> destinations_;
  std::map<NextHop, Hop> hops_;

  std::set<NextHop> touched_;              // their neighbour may have changed
  std::set<NextHop> to_keep_;              // new, or their entry has vanished
  std::set<NextHop> left_;                 // some destination has left them
  std::set<std::uint32_t> changed_links_;  // neighbours there are to be asked for again
  bool leftovers_released_ = false;
  bool overrun_ = false;
  bool resolving_soon_ = false;
  steady_clock::time_point rested_;  // not before is another look at all routes
  int upkeeps_ = 0;
  bool dirty_ = false;  // something to call changed_ for
  bool notifying_later_ = false;
};

// ---- Driving ----

/// `handler` without its error, called neither after one nor after this object.
template <class Handler>
auto Router::Impl::while_alive(Handler handler) {
  return [handler = std::move(handler),
          alive = std::weak_ptr<char>{alive_}](boost::system::error_code failure = {}) {
    if (!failure && !alive.expired()) handler();
  };
}

Result<> Router::Impl::start() {
  boost::system::error_code failure;
  readable_.assign(events_.fd(), failure);
  if (failure) return Error{failure.message()}.in("watch the netlink socket");
  if (const auto read = read_interfaces(); !read) return read.error();
  local_told_ = interfaces_.local();
  await_events();
  await_upkeep();
  return {};
}

void Router::Impl::await_events() {
  readable_.async_wait(boost::asio::posix::stream_descriptor::wait_read, while_alive([this] {
                         drain();
                         follow();
                         await_events();
                         notify();
                       }));
}

void Router::Impl::await_gathered() {
  gathered_.async_wait(while_alive([this] {
    drain();
    resolving_soon_ = false;
    resolve_all();
    follow();
    notify();
  }));
}

void Router::Impl::await_upkeep() {
  upkeep_.expires_after(upkeep_interval);
  upkeep_.async_wait(while_alive([this] {
    await_upkeep();
    drain();
    keep_unmanaged();
    if (++upkeeps_ % upkeeps_per_refresh == 0) resolve_soon();
    follow();
    notify();
  }));
}

void Router::Impl::notify() {
  if (!dirty_) return;
  dirty_ = false;
  const auto changed = changed_;  // outlives this object, which the call may end
  changed();
}

void Router::Impl::notify_later() {
  if (!dirty_ || notifying_later_) return;
  notifying_later_ = true;
  boost::asio::post(readable_.get_executor(), while_alive([this] {
                      notifying_later_ = false;
                      notify();
                    }));
}

// ---- Following ----

netlink::Events::Read Router::Impl::drain() {
  const auto read = events_.read([this](const netlink::Event& event) {
    std::visit([this](const auto& e) { handle(e); }, event);
  });
  overrun_ = overrun_ || read == netlink::Events::Read::overrun;
  return read;
}

void Router::Impl::handle(const netlink::LinkEvent& event) {
  if (!interfaces_.apply(event)) return;
  changed_links_.insert(event.link.ifindex);
  resolve_soon();
}

void Router::Impl::handle(const netlink::AddressEvent& event) {
  if (interfaces_.apply(event)) resolve_soon();
}

void Router::Impl::handle(const netlink::NeighborEvent& event) {
  const auto found = hops_.find(event.neighbor.hop);
  if (found == hops_.end()) return;
  found->second.neighbor = event.gone ? unknown_neighbor(found->first) : event.neighbor;
  touched_.insert(found->first);
  if (event.gone) to_keep_.insert(found->first);
}

/// Draws the conclusions of what the events left behind.
void Router::Impl::follow() {
  if (overrun_) resync();
  keep(to_keep_);
  to_keep_.clear();
  answer_users_of_touched_hops();
  drop_unused_hops();
  if (interfaces_.local() != local_told_) {
    local_told_ = interfaces_.local();
    dirty_ = true;
  }
}

/// Changes have been lost: asks for everything again.
void Router::Impl::resync() {
  log_.warn("netlink_overrun", {{"destinations", destinations_.size()}});
  do {
    overrun_ = false;
  } while (drain() != netlink::Events::Read::all);
  if (const auto read = read_interfaces(); !read) {
    log_.error("netlink_resync_failed", {{"reason", read.error().message()}});
    overrun_ = true;  // tried again with the next event, or at upkeep
    return;
  }
  for (const auto& [hop, unused] : hops_) to_keep_.insert(hop);
  resolve_all();
}

Result<bool> Router::Impl::read_interfaces() {
  auto links = requests_.links();
  if (!links) return std::move(links).error().in("list interfaces");
  auto addresses = requests_.addresses();
  if (!addresses) return std::move(addresses).error().in("list addresses");
  return interfaces_.replace(std::move(*links), *addresses);
}

// ---- Resolving ----

void Router::Impl::resolve_soon() {
  if (resolving_soon_ || destinations_.empty()) return;
  resolving_soon_ = true;
  gathered_.expires_at(std::max(steady_clock::now() + gather, rested_));
  await_gathered();
}

void Router::Impl::resolve_all() {
  const auto begin = steady_clock::now();
  std::vector<IpAddress> all;
  all.reserve(destinations_.size());
  for (const auto& [address, unused] : destinations_) all.push_back(address);
  for (const auto& [hop, known] : hops_)
    if (!known.neighbor.mac && changed_links_.count(hop.ifindex) != 0) to_keep_.insert(hop);
  changed_links_.clear();
  resolve(all);
  const auto end = steady_clock::now();
  rested_ = end + rest_per_work * (end - begin);
}

void Router::Impl::resolve(const std::vector<IpAddress>& destinations) {
  const auto paths = requests_.paths(destinations);
  for (std::size_t i = 0; i < destinations.size(); i++) lead(destinations[i], paths[i]);
  keep(to_keep_);
  to_keep_.clear();
  Cases lost;
  std::size_t found = 0;
  for (const IpAddress& address : destinations) {
    Destination& destination = destinations_.at(address);
    const bool was = std::exchange(destination.unroutable, false);
    if (std::string why = obstacle(destination); !why.empty()) {
      destination.unroutable = true;
      if (!was) lost.add(address, std::move(why));
    } else if (was) {
      found++;
    }
    answer(address, destination);
  }
  lost.warn(log_, "no_route");
  if (found != 0) log_.info("route_found", {{"count", found}});
}

/// Notes where `destination` is led now, and by which hop.
void Router::Impl::lead(const IpAddress& destination, Result<Path> path) {
  Destination& known = destinations_.at(destination);
  const bool same_hop = known.path && path && known.path->hop == path->hop;
  if (!same_hop) leave_hop(destination);
  known.path = std::move(path);
  if (same_hop || !known.path) return;
  const NextHop& hop = known.path->hop;
  const auto [entry, is_new] = hops_.try_emplace(hop);
  entry->second.users.insert(destination);
  if (!is_new) return;
  entry->second.neighbor.hop = hop;
  to_keep_.insert(hop);
}

void Router::Impl::leave_hop(const IpAddress& destination) {
  const Destination& known = destinations_.at(destination);
  if (!known.path) return;
  hops_.at(known.path->hop).users.erase(destination);
  left_.insert(known.path->hop);
}

void Router::Impl::drop_unused_hops() {
  std::vector<NextHop> unused;
  for (const NextHop& hop : left_) {
    const auto found = hops_.find(hop);
    if (found == hops_.end() || !found->second.users.empty()) continue;
    unused.push_back(hop);
    hops_.erase(found);
  }
  left_.clear();
  requests_.release(unused);
}

/// Lets go what an earlier process has kept, and this one does not want.
void Router::Impl::release_leftovers() {
  const auto kept = requests_.kept();
  if (!kept) {
    log_.warn("neighbors_not_released", {{"reason", kept.error().message()}});
    return;
  }
  std::vector<NextHop> leftover;
  for (const NextHop& hop : *kept)
    if (hops_.count(hop) == 0) leftover.push_back(hop);
  requests_.release(leftover);
}

/// Has those of `hops` resolved whose link can carry it. Others are asked for when it can.
void Router::Impl::keep(const std::set<NextHop>& hops) {
  std::vector<NextHop> askable;
  for (const NextHop& hop : hops) {
    const auto known = hops_.find(hop);
    if (known == hops_.end()) continue;
    if (usable(hop.ifindex))
      askable.push_back(hop);
    else
      known->second.neighbor = unknown_neighbor(hop);
  }
  const auto kept = requests_.keep(askable);
  Cases refused;
  for (std::size_t i = 0; i < askable.size(); i++) {
    Hop& hop = hops_.at(askable[i]);
    touched_.insert(askable[i]);
    if (kept[i]) {
      hop.neighbor = *kept[i];
      continue;
    }
    hop.neighbor.failed = true;
    if (!std::exchange(hop.failure_told, true))
      refused.add(askable[i].address, kept[i].error().message());
  }
  refused.warn(log_, "neighbors_refused");
}

/// The part of kernels that have no managed neighbours; where they have, there is nothing to do.
void Router::Impl::keep_unmanaged() {
  for (const auto& [hop, known] : hops_)
    if (!known.neighbor.managed && !known.neighbor.foreign) to_keep_.insert(hop);
}

// ---- Answering ----

bool Router::Impl::usable(std::uint32_t ifindex) const {
  const netlink::Link* link = interfaces_.find(ifindex);
  return link != nullptr && link->up && link->mac;
}

/// Why nothing can leave for it, whatever its neighbour does. Empty: it can.
std::string Router::Impl::obstacle(const Destination& destination) const {
  if (!destination.path) return destination.path.error().message();
  const netlink::Link* link = interfaces_.find(destination.path->hop.ifindex);
  if (link == nullptr) return "its interface is gone";
  if (!link->up) return "its interface " + link->name + " is down";
  if (!link->mac) return "its interface " + link->name + " is not Ethernet";
  return {};
}

std::optional<Route> Router::Impl::compose(const IpAddress& address,
                                           const Destination& destination) const {
  if (!destination.path) return {};
  const Path& path = *destination.path;
  const netlink::Link* link = interfaces_.find(path.hop.ifindex);
  const std::optional<Mac>& mac = hops_.at(path.hop).neighbor.mac;
  if (!usable(path.hop.ifindex) || !mac) return {};
  constexpr std::uint32_t mtu_max = 65535;
  Route route{
      .ifindex = path.hop.ifindex,
      .interface = link->name,
      .source_mac = *link->mac,
      .mac = *mac,
      .mtu = static_cast<std::uint16_t>(std::min({path.mtu.value_or(mtu_max), link->mtu, mtu_max})),
      .source4 = interfaces_.source(link->ifindex, IpAddress::Family::v4),
      .source6 = interfaces_.source(link->ifindex, IpAddress::Family::v6)};
  if (path.source) (address.is_v4() ? route.source4 : route.source6) = path.source;
  return route;
}

void Router::Impl::answer(const IpAddress& address, Destination& destination) {
  auto route = compose(address, destination);
  if (route == destination.route) return;
  destination.route = std::move(route);
  dirty_ = true;
}

void Router::Impl::answer_users_of_touched_hops() {
  for (const NextHop& touched : touched_) {
    const auto found = hops_.find(touched);
    if (found == hops_.end()) continue;
    tell_of_neighbor(found->second);
    for (const IpAddress& user : found->second.users) answer(user, destinations_.at(user));
  }
  touched_.clear();
}

void Router::Impl::tell_of_neighbor(Hop& hop) {
  const Neighbor& neighbor = hop.neighbor;
  const netlink::Link* link = interfaces_.find(neighbor.hop.ifindex);
  const std::string interface = link == nullptr ? "" : link->name;
  if (neighbor.failed && !hop.failure_told) {
    hop.failure_told = true;
    log_.warn("neighbor_failed",
              {{"address", neighbor.hop.address.str()}, {"interface", interface}});
  }
  if (neighbor.mac && hop.failure_told) {
    hop.failure_told = false;
    log_.info("neighbor_found", {{"address", neighbor.hop.address.str()},
                                 {"interface", interface},
                                 {"mac", neighbor.mac->str()}});
  }
}

// ---- The owner's calls ----

void Router::Impl::want(const std::set<IpAddress>& wanted) {
  drain();
  for (auto at = destinations_.begin(); at != destinations_.end();) {
    if (wanted.count(at->first) != 0) {
      ++at;
      continue;
    }
    leave_hop(at->first);
    at = destinations_.erase(at);
  }
  std::vector<IpAddress> added;
  for (const IpAddress& address : wanted)
    if (destinations_.try_emplace(address).second) added.push_back(address);
  const bool dirty_before = dirty_;
  follow();
  const bool dirty = dirty_ || dirty_before;
  resolve(added);
  answer_users_of_touched_hops();
  drop_unused_hops();
  if (!std::exchange(leftovers_released_, true)) release_leftovers();
  dirty_ = dirty;  // what is newly wanted has not changed
  notify_later();
}

/// Whether the kernel is still to say whether `hop` is there.
bool Router::Impl::pending(const NextHop& hop) const {
  const auto found = hops_.find(hop);
  if (found == hops_.end()) return false;
  const Neighbor& neighbor = found->second.neighbor;
  return usable(hop.ifindex) && !neighbor.mac && !neighbor.failed;
}

void Router::Impl::settle(int at_most_ms) {
  const auto deadline = steady_clock::now() + milliseconds{at_most_ms};
  std::vector<NextHop> open;
  for (const auto& [hop, unused] : hops_) open.push_back(hop);
  for (;;) {
    drain();
    follow();
    while (!open.empty() && !pending(open.back())) open.pop_back();
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (open.empty() || left.count() <= 0) break;
    pollfd readable{.fd = events_.fd(), .events = POLLIN, .revents = 0};
    poll(&readable, 1, static_cast<int>(left.count()));
  }
  notify_later();
}

std::optional<Route> Router::Impl::to(const IpAddress& destination) const {
  const auto found = destinations_.find(destination);
  return found == destinations_.end() ? std::nullopt : found->second.route;
}

// ---- Router ----

Router::Router(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
Router::~Router() = default;

Result<std::unique_ptr<Router>> Router::open(boost::asio::io_context& io, const Log& log,
                                             std::function<void()> changed) {
  // Subscribed before anything is read, so that no change falls in between.
  auto events = netlink::Events::open();
  if (!events) return std::move(events).error();
  auto requests = netlink::Requests::open();
  if (!requests) return std::move(requests).error();
  auto impl =
      std::make_unique<Impl>(io, log, std::move(changed), std::move(*requests), std::move(*events));
  if (auto started = impl->start(); !started) return std::move(started).error();
  return std::unique_ptr<Router>{new Router{std::move(impl)}};
}

void Router::want(const std::set<IpAddress>& destinations) {
  impl_->want(destinations);
}

void Router::settle(int at_most_ms) {
  impl_->settle(at_most_ms);
}

std::optional<Route> Router::to(const IpAddress& destination) const {
  return impl_->to(destination);
}

bool Router::is_local(const IpAddress& address) const {
  return local_addresses().count(address) != 0;
}

const std::set<IpAddress>& Router::local_addresses() const {
  return impl_->interfaces().local();
}

}  // namespace lbd::dataplane
