// lbd, the daemon: flags, wiring, exit codes.
#include <fmt/format.h>

#include "lb/config/config.h"
#include "lb/dataplane/data_plane.h"
#include "lbd/daemon.h"
#include "lbd/options.h"

namespace {

constexpr int could_not_run = 1;
constexpr int bad_usage = 2;

int fail(const lbd::Error& error) {
  fmt::print(stderr, "lbd: {}\n", error.message());
  return could_not_run;
}

int run(const lbd::daemon::Options& options) {
  using namespace lbd;
  auto loaded = config::load(options.config);
  for (const config::Finding& finding : loaded.errors)
    fmt::print(stderr, "{}\n", config::to_string(finding, options.config));
  if (!loaded.errors.empty()) return bad_usage;
  for (const config::Finding& finding : loaded.warnings)
    fmt::print(stderr, "{} (warning)\n", config::to_string(finding, options.config));
  if (options.check) return 0;
  if (options.cleanup) {
    const auto cleaned = dataplane::DataPlane::cleanup(loaded.config.node.pin_path);
    return cleaned ? 0 : fail(cleaned.error());
  }

  const Log log{options.log_level};
  daemon::Daemon daemon{options.config, std::move(loaded.config), log};
  if (auto started = daemon.start(); !started) return fail(started.error());
  daemon.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = lbd::daemon::parse({argv + 1, static_cast<std::size_t>(argc - 1)});
  if (!options) {
    fmt::print(stderr, "{}lbd: {}\n", lbd::daemon::usage, options.error().message());
    return bad_usage;
  }
  if (options->help) {
    fmt::print("{}", lbd::daemon::usage);
    return 0;
  }
  if (options->version) {
    fmt::print("lbd {}\n", LBD_VERSION);
    return 0;
  }
  return run(*options);
}
