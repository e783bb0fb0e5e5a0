// ns a packet over a real veth pair: live frames from a generator come in on the interface whose
// native XDP program is under test, and what it sends back is counted and dropped at the other end.
// A bare XDP_TX stands beside it. Everything runs on one CPU.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "balancer.h"
#include "floors.skel.h"
#include "frame.h"
#include "options.h"
#include "report.h"
#include "rewinder.h"
#include "veth.skel.h"

namespace {

using namespace lbd;
using namespace lbd::bench;

template <class Skeleton>
struct Destroy {
  void operator()(Skeleton* skeleton) const { Skeleton::destroy(skeleton); }
};
template <class Skeleton>
std::unique_ptr<Skeleton, Destroy<Skeleton>> load(const char* what) {
  std::unique_ptr<Skeleton, Destroy<Skeleton>> loaded{Skeleton::open_and_load()};
  if (!loaded) die(std::string{"load "} + what);
  return loaded;
}

void run_command(const std::string& command) {
  errno = 0;
  if (std::system(command.c_str()) != 0) die(command);
}

/// A network namespace that goes with this process, however it ends, and in it the pair: "lb" runs
/// what is measured, "client" is where packets come from and go to. No IPv6: what the interfaces
/// would say of themselves would be counted.
void make_network() {
  if (unshare(CLONE_NEWNET) != 0) die("make a network namespace");
  for (const char* scope : {"all", "default"})
    if (!(std::ofstream{fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", scope)} << "1")
             .flush())
      die("switch IPv6 off");
  run_command("ip link set lo up");
  run_command("ip link add lb type veth peer name client");
  run_command("ip link set lb up && ip link set client up");
}

void attach(const char* interface, int program) {
  const auto ifindex = static_cast<int>(if_nametoindex(interface));
  if (bpf_xdp_attach(ifindex, program, XDP_FLAGS_DRV_MODE, nullptr) != 0)
    die(fmt::format("attach to {}", interface));
}

struct Case {
  const char* what;
  int program;
  Frame frame;
  std::uint32_t flows = 1;
  int growth = 0;
  std::vector<double> ns{};
  std::uint64_t lost = 0;
};

class Generator {
 public:
  Generator() : skeleton_{load<veth>("the generator")} {
    skeleton_->bss->generator_to = if_nametoindex("client");
    attach("client", sink());
  }
  [[nodiscard]] int sink() const { return bpf_program__fd(skeleton_->progs.sink); }

  void run(Case& c, std::uint32_t packets) {
    attach("lb", c.program);
    auto& counted = *skeleton_->bss;
    counted.generator_state = words_of(c.frame, c.flows, c.growth);
    counted.sink_packets = counted.sink_bytes = 0;
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = c.frame.bytes.data(),
                .data_size_in = static_cast<std::uint32_t>(c.frame.bytes.size()),
                .repeat = static_cast<int>(packets), .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
    if (bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.generate), &options) != 0)
      die("run live frames");
    // The kernel's own time: the system call's has milliseconds for preparations in it.
    c.ns.push_back(options.duration);
    const std::uint64_t bytes =
        packets * (c.frame.bytes.size() + static_cast<std::size_t>(c.growth));
    c.lost += packets - std::min<std::uint64_t>(packets, counted.sink_packets);
    if (c.lost == 0 && counted.sink_bytes != bytes) c.lost = packets;
  }

 private:
  std::unique_ptr<veth, Destroy<veth>> skeleton_;
};

std::vector<Case> cases_of(Balancer& balancer, int null, int sink) {
  const Frame four = tcp_to(balancer.vip("four", false));
  const Frame six = tcp_to(balancer.vip("six", true));
  std::vector<Case> cases{{"dropped at once", sink, four}, {"bare XDP_TX", null, four}};
  for (const std::uint32_t flows : {1U, 100000U}) {
    cases.push_back({"settled 4in4", balancer.program(), four, flows, 20});
    cases.push_back({"settled 6in6", balancer.program(), six, flows, 40});
  }
  return cases;
}

void print_table(const std::vector<Case>& cases, double tx) {
  fmt::print("{:<28} {:>8} {:>8} {:>8} {:>8} {:>6}\n", "ns a packet over veth", "flows", "min",
             "median", "- TX", "lost");
  for (const Case& c : cases)
    fmt::print("{:<28} {:>8} {:>8.0f} {:>8.0f} {:>8.0f} {:>6}\n", c.what, c.flows, minimum(c.ns),
               median(c.ns), minimum(c.ns) - tx, c.lost);
}

boost::json::value to_json(const std::vector<Case>& cases, double tx, int rounds) {
  boost::json::array all;
  for (const Case& c : cases)
    all.push_back({{"what", c.what},
                   {"flows", c.flows},
                   {"min", minimum(c.ns)},
                   {"median", median(c.ns)},
                   {"aboveTx", minimum(c.ns) - tx},
                   {"lost", c.lost}});
  return {{"rounds", rounds}, {"cases", std::move(all)}};
}

}  // namespace

int main(int argc, char** argv) {
  const Options options =
      options_of(argc, argv, "veth_bench [--quick] [--rounds N] [--json FILE]", 40, 5);
  // Short rounds, as what else runs on this CPU is in the time, too.
  constexpr std::uint32_t packets = 200000;
  make_network();
  stay_on_one_cpu();
  libbpf_set_print(nullptr);
  const auto null = load<floors>("the floors");
  Balancer balancer{{.sites = {{"four", false}, {"six", true}}, .ifindex = if_nametoindex("lb")}};
  Generator generator;
  auto cases = cases_of(balancer, bpf_program__fd(null->progs.floor_null), generator.sink());
  for (int round = 0; round < options.rounds; round++) {
    show_progress("veth", round, options.rounds);
    for (Case& c : cases) generator.run(c, packets);
  }
  end_progress();
  const double tx = minimum(cases[1].ns);
  print_table(cases, tx);
  if (!options.json.empty())
    write_section(options.json, "veth", to_json(cases, tx, options.rounds));
  for (const Case& c : cases) {
    if (c.lost == 0) continue;
    fmt::print(stderr, "veth_bench: {}: packets did not come back as they should\n", c.what);
    return 1;
  }
  return 0;
}
