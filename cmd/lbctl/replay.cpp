#include "lbctl/replay.h"

#include <fmt/format.h>
#include <net/if.h>
#include <sched.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "lb/config/config.h"
#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/keys.h"
#include "lb/reconcile/reconciler.h"
#include "lb/reconcile/space.h"
#include "lbctl/pcap.h"
#include "lbctl/replay_options.h"

namespace lbd::lbctl {
namespace {

constexpr std::size_t ethernet_bytes = 14;      // a test run takes no less
constexpr std::size_t frame_bytes_max = 60000;  // nor much more
/// What a test run shows a program without xdp.frags: a page without headroom and shared info. No
/// driver that takes the program brings longer frames.
constexpr std::size_t frame_bytes_shown = 4096 - 256 - 320;

/// What became of one frame.
struct Outcome {
  std::string_view verdict;
  std::string reason;                  // empty: forwarded
  std::optional<std::string> service;  // once an address or frontend of it was matched
  std::optional<std::string> backend;  // once one was chosen
  std::vector<std::uint8_t> frame;     // as it is then
  [[nodiscard]] bool leaves() const { return verdict == "tx" || verdict == "redirect"; }
};

/// The end of the IP packet in a frame, as its header has it.
std::size_t packet_end(const std::vector<std::uint8_t>& frame) {
  const bool v6 = frame[12] == 0x86 && frame[13] == 0xdd;
  const std::size_t at = ethernet_bytes + (v6 ? 4 : 2);
  return ethernet_bytes + (v6 ? 40 : 0) + (std::size_t{frame[at]} << 8 | frame[at + 1]);
}

/// "truncated" is false of a packet that the frame has but the program wasn't shown, as captures
/// have them after GRO. It is too big to be sent on.
bool was_cut_here(const Outcome& outcome, const std::vector<std::uint8_t>& frame) {
  return frame.size() > frame_bytes_shown &&
         outcome.reason == reconcile::reason_label(abi::REASON_TRUNCATED) &&
         packet_end(frame) > frame_bytes_shown && packet_end(frame) <= frame.size();
}

Result<Outcome> run(dataplane::DataPlane& plane, const std::vector<std::uint8_t>& frame) {
  if (frame.size() < ethernet_bytes) return Outcome{.verdict = "drop", .reason = "truncated"};
  if (frame.size() > frame_bytes_max) return Outcome{.verdict = "drop", .reason = "too-big"};
  auto ran = plane.run(frame);
  if (!ran) return std::move(ran).error();
  const dataplane::Tables& tables = plane.tables();
  const abi::trace& trace = *tables.trace;
  Outcome outcome{.verdict = reconcile::verdict_label(trace.verdict),
                  .reason = std::string{reconcile::reason_label(trace.reason)},
                  .frame = std::move(ran->frame)};
  if (was_cut_here(outcome, frame)) outcome.reason = reconcile::reason_label(abi::REASON_TOO_BIG);
  if (trace.service == TRACE_NONE) return outcome;
  const abi::service& service = tables.services[trace.service];
  outcome.service = service.name;
  if (trace.slot != TRACE_NONE)
    outcome.backend =
        dataplane::address_of(tables.backends[service.backend_base + trace.slot]).str();
  return outcome;
}

/// Prints outcomes as they come.
class Report {
 public:
  explicit Report(bool json) : json_{json} {
    if (!json_)
      fmt::print("{:>6}  {:<8}  {:<18}  {:<16}  {:<24}  {}\n", "N", "VERDICT", "REASON", "SERVICE",
                 "BACKEND", "OUT");
  }
  void add(std::uint64_t n, const Outcome& outcome, std::optional<std::uint64_t> out) {
    if (json_)
      print_json(n, outcome, out);
    else
      fmt::print("{:>6}  {:<8}  {:<18}  {:<16}  {:<24}  {}\n", n, outcome.verdict,
                 outcome.reason.empty() ? "-" : outcome.reason, outcome.service.value_or("-"),
                 outcome.backend.value_or("-"), out ? fmt::format("{}", *out) : "-");
  }

 private:
  static void print_json(std::uint64_t n, const Outcome& outcome,
                         std::optional<std::uint64_t> out) {
    const auto text_or_null = [](const std::optional<std::string>& text) {
      return text ? boost::json::value(*text) : boost::json::value(nullptr);
    };
    boost::json::object line;
    line["n"] = n;
    line["verdict"] = outcome.verdict;
    line["reason"] =
        outcome.reason.empty() ? boost::json::value(nullptr) : boost::json::value(outcome.reason);
    line["service"] = text_or_null(outcome.service);
    line["backend"] = text_or_null(outcome.backend);
    line["out"] = out ? boost::json::value(*out) : boost::json::value(nullptr);
    fmt::print("{}\n", boost::json::serialize(line));
  }

  bool json_;
};

/// State that programs keep by CPU must not depend on where the scheduler puts us.
void stay_on_one_cpu() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

/// A data plane of its own, filled as the daemon would fill it.
Result<std::unique_ptr<dataplane::DataPlane>> prepare(const ReplayOptions& options,
                                                      const config::Config& config,
                                                      const Log& log) {
  const desired::Desired desired = desired::desire(config);
  const abi::hash_key hash_key = dataplane::hash_key_from(config.hash_key);
  auto plane =
      dataplane::DataPlane::open({.sizes = reconcile::sizes_for(desired, config.connection_table),
                                  .hash_key = hash_key,
                                  .trace = true},
                                 log);
  if (!plane) return plane;
  const ReplayRoutes routes{options, if_nametoindex("lo")};
  reconcile::Reconciler reconciler{**plane, hash_key, log};
  auto applied = reconciler.apply(desired, routes, false);
  if (!applied) return std::move(applied).error();
  return plane;
}

Result<> run_all(dataplane::DataPlane& plane, const ReplayOptions& options, PcapReader& in,
                 PcapWriter& out) {
  Report report{options.json};
  std::uint64_t written = 0;
  for (std::uint64_t n = 0;; n++) {
    auto frame = in.next();
    if (!frame) return std::move(frame).error().in(options.in);
    if (!*frame) return out.finish();
    auto outcome = run(plane, (*frame)->bytes);
    if (!outcome) return std::move(outcome).error().in(fmt::format("packet {}", n));
    const bool goes_out = outcome->leaves() || (options.pass && outcome->verdict == "pass");
    report.add(n, *outcome, goes_out ? std::optional{written} : std::nullopt);
    if (!goes_out) continue;
    written++;
    if (auto done = out.write({(*frame)->seconds, (*frame)->fraction, outcome->frame}); !done)
      return done;
  }
}

int complain(const Error& error, int exit_code) {
  fmt::print(stderr, "lbctl replay: {}\n", error.message());
  return exit_code;
}

}  // namespace

int replay(std::span<const std::string> arguments) {
  const auto options = parse_replay(arguments);
  if (!options) {
    fmt::print(stderr, "{}", replay_usage);
    return complain(options.error(), 2);
  }
  if (options->help) {
    fmt::print("{}", replay_usage);
    return 0;
  }
  const auto loaded = config::load(options->config);
  for (const config::Finding& finding : loaded.errors)
    fmt::print(stderr, "{}\n", config::to_string(finding, options->config));
  if (!loaded.errors.empty()) return 2;
  auto in = PcapReader::open(options->in);
  if (!in) return complain(in.error(), 2);
  auto out = PcapWriter::create(options->out, *in);
  if (!out) return complain(out.error(), 1);

  stay_on_one_cpu();
  const Log log{Level::warning};
  auto plane = prepare(*options, loaded.config, log);
  if (!plane) return complain(plane.error(), 1);
  const auto done = run_all(**plane, *options, *in, *out);
  return done ? 0 : complain(done.error(), 2);
}

}  // namespace lbd::lbctl
