// The daemon: one thread in which configuration, routes, time and an operator's commands meet, and
// each leads to the same step, apply.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lb/config/config.h"
#include "lb/dataplane/attach.h"
#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/router.h"
#include "lb/log/log.h"
#include "lb/reconcile/reconciler.h"
#include "lb/serve/admin.h"
#include "lb/serve/status.h"
#include "lbd/file_watch.h"

namespace lbd::daemon {

class Daemon {
 public:
  /// `file`: as the operator gave it.
  Daemon(std::string file, config::Config config, const Log& log);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Takes over what is pinned or begins anew, and is in the data plane when it returns.
  Result<> start();
  /// Until SIGTERM or SIGINT. The data plane stays.
  void run();

 private:
  struct Refusal {
    serve::ExitCode exit_code;
    std::vector<std::string> lines;
  };

  Result<> start_data_plane();
  Result<> attach_interfaces(const config::Node& node);
  void tend_interfaces();
  void not_attached(const std::string& interface, std::string reason);
  void detach_others(const std::vector<std::string>& interfaces);
  Result<> apply(bool break_flows);
  void want_routes();
  void follow_routes();
  void print_maps() const;
  void print_flow_memory() const;

  std::optional<Refusal> reload(bool break_flows, serve::Reloaded& reloaded);
  void reload_and_log(std::string_view cause);
  void file_changed();
  [[nodiscard]] std::vector<std::string> refusals(const config::Config& next,
                                                  bool break_flows) const;

  boost::json::object answer(const boost::json::object& request);
  boost::json::object answer_reload(bool break_flows);
  boost::json::object answer_flows(const boost::json::object& request);
  Result<reconcile::Snapshot> snapshot();
  [[nodiscard]] serve::Status status(const reconcile::Snapshot&) const;

  void wait_for_signals();
  void wait_for_second();
  void each_second();
  void continue_sweep();
  void swept_all(const reconcile::Swept&);

  const std::string file_;
  const Log& log_;
  config::Config config_;
  desired::Desired desired_;
  std::chrono::system_clock::time_point loaded_at_ = std::chrono::system_clock::now();
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();

  boost::asio::io_context io_;
  boost::asio::signal_set signals_{io_, SIGHUP, SIGINT, SIGTERM};
  boost::asio::steady_timer second_{io_};
  std::unique_ptr<dataplane::Router> router_;
  std::unique_ptr<dataplane::DataPlane> plane_;
  std::optional<reconcile::Reconciler> reconciler_;
  std::optional<serve::AdminServer> admin_;
  std::unique_ptr<FileWatch> watch_;
  std::vector<reconcile::Refused> refused_;
  std::map<std::string, std::string> unattached_;  // configured interfaces, and why not
  serve::ReconcileStatus last_reconcile_;
  std::chrono::steady_clock::time_point sweep_begun_{};
  std::chrono::steady_clock::time_point next_scan_{};
  std::uint64_t flows_stored_ = 1;  // as the last scan saw; a predecessor may have left some
};

}  // namespace lbd::daemon
