// ns a packet of the shipped program by the rewinding method (docs/performance.md): cases run round
// robin beside the floors, and what counts is the minimum.
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>

#include "options.h"
#include "report.h"
#include "vm/paths.h"
#include "xdp_cases.h"

namespace {

using namespace lbd;
using namespace lbd::bench;

constexpr double astray_max = 0.01;

/// What all figures are related to.
struct Base {
  double null4 = 0;
  double null6 = 0;
  double ipip = 0;  // above null
};

Base base_of(const std::vector<Case>& cases) {
  const double null4 = minimum(cases[0].ns);
  return {null4, minimum(cases[1].ns), minimum(cases[3].ns) - null4};
}

double own(const Case& c, const Base& base) {
  return minimum(c.ns) - (c.v6 ? base.null6 : base.null4);
}

void calibrate(Case& c, double round_ns) {
  if (c.rows_refuse) c.balancer->refuse(c.site);
  if (c.repeat != 0) return;
  constexpr std::uint32_t sample = 100000;
  c.repeat = static_cast<std::uint32_t>(round_ns / (c.rewinder->run(sample).ns / sample));
}

void measure(Case& c) {
  if (c.rows_refuse) c.balancer->refuse(c.site);
  const auto before = c.at_home ? c.balancer->shares(c.site) : Balancer::Shares{};
  const auto ran = c.rewinder->run(c.repeat);
  c.ns.push_back(ran.ns / c.repeat);
  c.wrong += ran.wrong;
  if (!c.at_home) return;
  const auto after = c.balancer->shares(c.site);
  c.shares.home += after.home - before.home;
  c.shares.cur += after.cur - before.cur;
}

std::string flows_text(const Case& c) {
  if (c.flows_per_row != 0) return fmt::format("{} a row", c.flows_per_row);
  if (c.flows == all_clients) return "all new";
  return fmt::format("{}", c.flows);
}

void print_table(const std::vector<Case>& cases, const Base& base) {
  fmt::print("{:<33} {:<21} {:>9} {:>7} {:>7} {:>7} {:>6} {:>8} {:>5}\n", "ns a packet", "",
             "flows", "min", "median", "- null", "/ IPIP", "astray %", "wrong");
  for (const Case& c : cases)
    fmt::print("{:<33} {:<21} {:>9} {:>7.1f} {:>7.1f} {:>7.1f} {:>6.2f} {:>8} {:>5}\n", c.group,
               c.what, flows_text(c), minimum(c.ns), median(c.ns), own(c, base),
               own(c, base) / base.ipip, c.at_home ? fmt::format("{:.2f}", c.astray() * 100) : "",
               c.wrong);
}

void print_sizes(const dataplane::ProgramInfo& info) {
  fmt::print(
      "program: {} instructions, {} bytes of machine code; {} instructions processed by the "
      "verifier\n",
      info.xlated_bytes / 8, info.jited_bytes, info.verified_instructions);
}

boost::json::value to_json(const Case& c, const Base& base) {
  boost::json::object object{{"group", c.group},
                             {"what", c.what},
                             {"flows", c.flows},
                             {"min", rounded(minimum(c.ns), 2)},
                             {"median", rounded(median(c.ns), 2)},
                             {"own", rounded(own(c, base), 2)},
                             {"ratio", rounded(own(c, base) / base.ipip, 3)},
                             {"wrong", c.wrong}};
  if (c.flows_per_row != 0) object["flowsPerRow"] = c.flows_per_row;
  if (c.at_home) object["astray"] = rounded(c.astray(), 5);
  return object;
}

boost::json::value to_json(const std::vector<Case>& cases, const Base& base, int rounds,
                           const dataplane::ProgramInfo& info, const std::vector<vm::Path>& paths) {
  boost::json::array all;
  for (const Case& c : cases) all.push_back(to_json(c, base));
  return boost::json::object{{"rounds", rounds},
                             {"program",
                              {{"instructions", info.xlated_bytes / 8},
                               {"jitedBytes", info.jited_bytes},
                               {"verifiedInstructions", info.verified_instructions}}},
                             {"cases", std::move(all)},
                             {"paths", boost::json::parse(vm::to_json(paths))}};
}

/// Instructions, helper calls and look-ups of each path: the same at every run.
std::vector<vm::Path> measured_paths() {
  auto paths = vm::measure_paths();
  errno = 0;
  if (!paths) die("paths: " + paths.error().message());
  return std::move(*paths);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options =
      options_of(argc, argv, "xdp_bench [--quick] [--rounds N] [--only WORD] [--json FILE]", 25, 5);
  stay_on_one_cpu();
  libbpf_set_print(nullptr);
  Stage stage{{.quick = options.quick, .only = options.only}};
  auto& cases = stage.cases();
  for (Case& c : cases) calibrate(c, options.quick ? 15e6 : 25e6);
  for (int round = 0; round < options.rounds; round++) {
    show_progress("xdp", round, options.rounds);
    for (Case& c : cases) measure(c);
  }
  end_progress();
  const Base base = base_of(cases);
  const auto info = stage.program_info();
  print_table(cases, base);
  print_sizes(info);
  const auto paths = measured_paths();
  fmt::print("\n{}", to_markdown(paths));
  if (!options.json.empty())
    write_section(options.json, "xdp", to_json(cases, base, options.rounds, info, paths));
  for (const Case& c : cases) {
    if (c.wrong == 0 && c.astray() <= astray_max) continue;
    fmt::print(stderr, "xdp_bench: {}, {}: not what was to be measured\n", c.group, c.what);
    return 1;
  }
  return 0;
}
