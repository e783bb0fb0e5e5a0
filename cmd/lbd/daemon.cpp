#include "lbd/daemon.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>

#include "lb/dataplane/flow_memory.h"
#include "lb/dataplane/keys.h"
#include "lb/desired/changes.h"
#include "lb/reconcile/space.h"
#include "lb/serve/flows.h"
#include "lb/serve/json.h"

namespace lbd::daemon {
namespace {

using std::chrono::steady_clock;

constexpr int settle_ms = 1000;  // for neighbours to answer before the first packet
/// Scans of all flows take at most one part in so many of the daemon's time.
constexpr int scan_share = 20;

dataplane::XdpMode mode_of(config::XdpMode mode) {
  switch (mode) {
    case config::XdpMode::native:
      return dataplane::XdpMode::native;
    case config::XdpMode::generic:
      return dataplane::XdpMode::generic;
    case config::XdpMode::automatic:
      break;
  }
  return dataplane::XdpMode::automatic;
}

/// What ended must make room sooner while the table is more than three quarters full.
constexpr auto closing_when_crowded = std::chrono::seconds{30};

reconcile::IdleTimes idle_times(const config::ConnectionTable& table, std::uint64_t stored) {
  const auto whole = [](std::chrono::milliseconds time) {
    return std::chrono::ceil<std::chrono::seconds>(time);
  };
  const bool crowded = stored > std::uint64_t{table.entries} * 3 / 4;
  const auto closing = whole(table.tcp_closing);
  return {
      .tcp = whole(table.tcp_idle),
      .tcp_closing = crowded ? std::min(closing, closing_when_crowded) : closing,
      .udp = whole(table.udp_idle),
      .change_wait = table.change_wait ? std::optional{whole(*table.change_wait)} : std::nullopt};
}

/// Whether --break-flows lets a fixed key change: a service is made anew then.
bool breaks_flows_only(const config::Finding& finding) {
  return finding.key.starts_with("services[") &&
         (finding.key.ends_with(".tableSize") || finding.key.ends_with(".hash"));
}

serve::Changes to_serve(desired::Changes changes) {
  return {.services_added = std::move(changes.services_added),
          .services_removed = std::move(changes.services_removed),
          .services_changed = std::move(changes.services_changed),
          .backends_added = std::move(changes.backends_added),
          .backends_removed = std::move(changes.backends_removed),
          .backends_changed = std::move(changes.backends_changed)};
}

std::vector<serve::Refused> to_serve(const std::vector<reconcile::Refused>& refused) {
  std::vector<serve::Refused> all;
  all.reserve(refused.size());
  for (const auto& [service, reason] : refused) all.push_back({service, reason});
  return all;
}

}  // namespace

Daemon::Daemon(std::string file, config::Config config, const Log& log)
    : file_{std::move(file)},
      log_{log},
      config_{std::move(config)},
      desired_{desired::desire(config_)} {}

Result<> Daemon::start() {
  auto router = dataplane::Router::open(io_, log_, [this] { follow_routes(); });
  if (!router) return std::move(router).error().in("netlink");
  router_ = std::move(*router);
  if (auto started = start_data_plane(); !started) return started;
  if (auto attached = attach_interfaces(config_.node); !attached) return attached;
  detach_others(config_.node.interfaces);  // of a predecessor with another file

  auto admin = serve::AdminServer::open(
      io_, config_.admin_socket,
      [this](const boost::json::object& request) { return answer(request); }, log_);
  if (!admin) return std::move(admin).error();
  admin_.emplace(std::move(*admin));
  auto watch = FileWatch::open(io_, file_, [this] { file_changed(); });
  if (watch)
    watch_ = std::move(*watch);
  else
    log_.warn("file_not_watched", {{"file", file_}, {"reason", watch.error().message()}});
  file_changed();  // since it was read, before it was watched
  wait_for_signals();
  wait_for_second();
  log_.info("started", {{"version", LBD_VERSION}, {"pid", getpid()}, {"config", file_}});
  return {};
}

Result<> Daemon::start_data_plane() {
  const abi::hash_key hash_key = dataplane::hash_key_from(config_.hash_key);
  auto plane =
      dataplane::DataPlane::open({.pin_path = config_.node.pin_path,
                                  .sizes = reconcile::sizes_for(desired_, config_.connection_table),
                                  .hash_key = hash_key},
                                 log_);
  if (!plane) return std::move(plane).error();
  plane_ = std::move(*plane);
  reconciler_.emplace(*plane_, hash_key, log_);
  log_.info("data_plane_ready",
            {{"pin_path", config_.node.pin_path.string()}, {"adopted", plane_->adopted()}});
  want_routes();
  router_->settle(settle_ms);
  if (auto applied = apply(false); !applied) return applied;
  print_maps();
  print_flow_memory();
  return {};
}

void Daemon::print_maps() const {
  std::uint64_t total = 0;
  for (const dataplane::MapInfo& map : plane_->maps()) {
    log_.info("map", {{"name", map.name}, {"max_entries", map.max_entries}, {"bytes", map.bytes}});
    total += map.bytes;
  }
  log_.info("maps_memory", {{"bytes", total}});
}

/// What the flow memory can bear; adopted maps may be larger than the file says.
void Daemon::print_flow_memory() const {
  const dataplane::Sizes sizes = plane_->sizes();
  log_.info("flow_memory",
            {{"entries", dataplane::flow_entries_of(sizes.flow_lines)},
             {"starts_per_second", dataplane::starts_per_second(sizes.start_lines)}});
}

/// All configured interfaces that are there; one that isn't is a warning.
Result<> Daemon::attach_interfaces(const config::Node& node) {
  unattached_.clear();
  for (const std::string& interface : node.interfaces) {
    if (if_nametoindex(interface.c_str()) == 0) {
      not_attached(interface, "missing");
      continue;
    }
    auto attached = dataplane::attach(*plane_, interface, mode_of(node.xdp_mode), log_);
    if (!attached) return std::move(attached).error().in("interface " + interface);
  }
  return {};
}

void Daemon::not_attached(const std::string& interface, std::string reason) {
  std::string& known = unattached_[interface];
  if (known == reason) return;
  log_.warn("interface_not_attached", {{"interface", interface}, {"reason", reason}});
  known = std::move(reason);
}

/// Interfaces come, go, and come anew under their old name.
void Daemon::tend_interfaces() {
  const auto attached = dataplane::attachments(*plane_);
  if (!attached) return;
  for (const std::string& interface : config_.node.interfaces) {
    const bool runs = std::any_of(attached->begin(), attached->end(), [&](const auto& each) {
      return each.interface == interface && each.ifindex == if_nametoindex(interface.c_str());
    });
    if (runs) {
      unattached_.erase(interface);
    } else if (if_nametoindex(interface.c_str()) == 0) {
      not_attached(interface, "missing");
    } else {
      auto again = dataplane::attach(*plane_, interface, mode_of(config_.node.xdp_mode), log_);
      if (again)
        unattached_.erase(interface);
      else
        not_attached(interface, again.error().message());
    }
  }
}

void Daemon::detach_others(const std::vector<std::string>& interfaces) {
  const auto attached = dataplane::attachments(*plane_);
  if (!attached) return;
  for (const dataplane::Attached& each : *attached) {
    if (std::find(interfaces.begin(), interfaces.end(), each.interface) != interfaces.end())
      continue;
    auto detached = dataplane::detach(*plane_, each.interface);
    if (detached)
      log_.info("detached", {{"interface", each.interface}});
    else
      log_.error("not_detached",
                 {{"interface", each.interface}, {"reason", detached.error().message()}});
  }
}

Result<> Daemon::apply(bool break_flows) {
  auto applied = reconciler_->apply(desired_, *router_, break_flows);
  if (!applied) return std::move(applied).error();
  refused_ = std::move(applied->refused);
  last_reconcile_ = {.writes = applied->writes, .rows_moved = applied->rows_changed};
  log_.info("reconciled", {{"services", desired_.services.size()},
                           {"refused", refused_.size()},
                           {"rows_moved", applied->rows_changed},
                           {"writes", applied->writes}});
  return {};
}

void Daemon::want_routes() {
  std::set<IpAddress> destinations;
  for (const desired::Service& service : desired_.services)
    for (const desired::Backend& backend : service.backends) destinations.insert(backend.address);
  for (const IpAddress& address : reconciler_->backends_held()) destinations.insert(address);
  router_->want(destinations);
}

void Daemon::follow_routes() {
  if (!reconciler_) return;
  const auto followed = reconciler_->follow(desired_, *router_);
  if (!followed)
    log_.error("routes_not_followed", {{"reason", followed.error().message()}});
  else if (followed->writes != 0)
    log_.info("routes_followed", {{"writes", followed->writes}});
}

std::vector<std::string> Daemon::refusals(const config::Config& next, bool break_flows) const {
  std::vector<std::string> lines;
  for (const config::Finding& finding : config::fixed_keys_changed(config_, next))
    if (!break_flows || !breaks_flows_only(finding))
      lines.push_back(config::to_string(finding, file_));
  return lines;
}

std::optional<Daemon::Refusal> Daemon::reload(bool break_flows, serve::Reloaded& reloaded) {
  auto loaded = config::load(file_);
  if (!loaded.errors.empty()) {
    Refusal refusal{serve::ExitCode::bad_configuration, {}};
    for (const config::Finding& finding : loaded.errors)
      refusal.lines.push_back(config::to_string(finding, file_));
    return refusal;
  }
  if (auto lines = refusals(loaded.config, break_flows); !lines.empty())
    return Refusal{serve::ExitCode::refused, std::move(lines)};
  for (const config::Finding& finding : loaded.warnings)
    reloaded.warnings.push_back(config::to_string(finding, file_));

  const bool other_interfaces = config_.node.interfaces != loaded.config.node.interfaces ||
                                config_.node.xdp_mode != loaded.config.node.xdp_mode;
  if (other_interfaces) {
    if (auto attached = attach_interfaces(loaded.config.node); !attached) {
      detach_others(config_.node.interfaces);
      return Refusal{serve::ExitCode::refused, {attached.error().message()}};
    }
    detach_others(loaded.config.node.interfaces);
  }

  const desired::Desired before = std::exchange(desired_, desired::desire(loaded.config));
  config_ = std::move(loaded.config);
  want_routes();
  router_->settle(settle_ms);
  if (auto applied = apply(break_flows); !applied)
    return Refusal{serve::ExitCode::refused, {applied.error().message()}};
  loaded_at_ = std::chrono::system_clock::now();
  reloaded.changed = to_serve(desired::changes(before, desired_));
  reloaded.refused = to_serve(refused_);
  reloaded.done = last_reconcile_;
  return std::nullopt;
}

void Daemon::reload_and_log(std::string_view cause) {
  serve::Reloaded reloaded;
  const auto refusal = reload(false, reloaded);
  if (!refusal) {
    log_.info("reloaded", {{"cause", cause}});
    return;
  }
  for (const std::string& line : refusal->lines) fmt::print(stderr, "{}\n", line);
  log_.error("reload_refused", {{"cause", cause}, {"errors", refusal->lines.size()}});
}

/// Often what changed has been loaded already, by an operator's `lbctl reload`.
void Daemon::file_changed() {
  const auto loaded = config::load(file_);
  if (loaded.errors.empty() && loaded.config == config_) return;
  reload_and_log("file changed");
}

boost::json::object Daemon::answer_reload(bool break_flows) {
  serve::Reloaded reloaded;
  const auto refusal = reload(break_flows, reloaded);
  if (!refusal) {
    log_.info("reloaded", {{"cause", "lbctl"}, {"break_flows", break_flows}});
    return serve::success(serve::reloaded_json(reloaded));
  }
  log_.error("reload_refused", {{"cause", "lbctl"}, {"errors", refusal->lines.size()}});
  return serve::failure(refusal->exit_code, refusal->lines);
}

boost::json::object Daemon::answer_flows(const boost::json::object& request) {
  const auto question = serve::parse_flows_question(request);
  if (!question) return serve::failure(serve::ExitCode::refused, {question.error().message()});
  const auto page = reconciler_->flows(desired_, question->filter, question->from);
  if (!page) return serve::failure(serve::ExitCode::refused, {page.error().message()});
  return serve::success(serve::flows_json(*page));
}

boost::json::object Daemon::answer(const boost::json::object& request) {
  const auto& command = request.at("command").as_string();
  if (command == "reload") {
    const auto* break_flows = request.if_contains("breakFlows");
    return answer_reload(break_flows != nullptr && break_flows->is_bool() &&
                         break_flows->get_bool());
  }
  if (command == "flows") return answer_flows(request);
  const auto snapshot = this->snapshot();
  if (!snapshot) return serve::failure(serve::ExitCode::refused, {snapshot.error().message()});
  if (command == "status") return serve::success(serve::status_json(status(*snapshot)));
  if (command == "services") return serve::success(serve::services_json(*snapshot));
  if (command == "backends") return serve::success(serve::backends_json(*snapshot));
  if (command == "stats") return serve::success(serve::stats_json(*snapshot));
  return serve::failure(serve::ExitCode::refused,
                        {fmt::format("unknown command '{}'", std::string_view{command})});
}

Result<reconcile::Snapshot> Daemon::snapshot() {
  return reconciler_->snapshot(desired_, refused_);
}

serve::Status Daemon::status(const reconcile::Snapshot& snapshot) const {
  serve::Status status{
      .version = LBD_VERSION,
      .pid = getpid(),
      .uptime = std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - started_),
      .rows_total = snapshot.rows_total,
      .rows_moving = snapshot.rows_moving,
      .flows = snapshot.flows,
      .config = {.file = file_, .loaded_at = loaded_at_},
      .refused = to_serve(refused_),
      .last_reconcile = last_reconcile_};
  if (const auto attached = dataplane::attachments(*plane_))
    for (const dataplane::Attached& each : *attached)
      status.interfaces.push_back(
          {each.interface, std::string{dataplane::to_string(each.mode)}, each.program_id});
  for (const auto& [interface, reason] : unattached_)
    status.interfaces.push_back({.name = interface, .mode = "missing"});
  for (const dataplane::MapInfo& map : plane_->maps())
    status.maps.push_back({map.name, map.entries, map.max_entries, map.bytes});
  return status;
}

void Daemon::wait_for_signals() {
  signals_.async_wait([this](const boost::system::error_code& failure, int signal) {
    if (failure) return;
    if (signal != SIGHUP) {
      log_.info("stopping", {{"signal", signal}});
      admin_->stop();
      io_.stop();
      return;
    }
    reload_and_log("SIGHUP");
    wait_for_signals();
  });
}

void Daemon::wait_for_second() {
  second_.expires_after(std::chrono::seconds{1});
  second_.async_wait([this](const boost::system::error_code& failure) {
    if (failure) return;
    each_second();
    wait_for_second();
  });
}

void Daemon::each_second() {
  tend_interfaces();
  if (reconciler_->sweeping()) return;
  sweep_begun_ = steady_clock::now();
  const auto scan = sweep_begun_ < next_scan_ ? reconcile::Scan::no
                    : flows_stored_           ? reconcile::Scan::yes
                                              : reconcile::Scan::if_needed;
  const auto begun =
      reconciler_->begin_sweep(idle_times(config_.connection_table, flows_stored_), scan);
  if (begun)
    continue_sweep();
  else
    log_.error("sweep_failed", {{"reason", begun.error().message()}});
}

/// A step of a few milliseconds; between two of them others have their turn.
void Daemon::continue_sweep() {
  const auto swept = reconciler_->continue_sweep();
  if (!swept)
    log_.error("sweep_failed", {{"reason", swept.error().message()}});
  else if (*swept)
    swept_all(**swept);
  else if (reconciler_->sweeping())
    boost::asio::post(io_, [this] { continue_sweep(); });
}

void Daemon::swept_all(const reconcile::Swept& swept) {
  if (swept.scanned) {
    next_scan_ = sweep_begun_ + (steady_clock::now() - sweep_begun_) * scan_share;
    flows_stored_ = swept.flows;
  }
  if (swept.backends_freed != 0 || swept.services_freed != 0) want_routes();
  if (swept.rows_settled + swept.rows_yielded + swept.backends_freed + swept.services_freed != 0)
    log_.info("swept", {{"rows_settled", swept.rows_settled},
                        {"rows_yielded", swept.rows_yielded},
                        {"rows_moving", swept.rows_moving},
                        {"flows_deleted", swept.flows_deleted},
                        {"backends_freed", swept.backends_freed},
                        {"services_freed", swept.services_freed}});
}

void Daemon::run() {
  io_.run();
}

}  // namespace lbd::daemon
