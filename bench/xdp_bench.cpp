// ns a packet of the shipped program by the rewinding method (docs/performance.md): cases run round
// robin beside the floors, and what counts is the minimum.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "floors.skel.h"
#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/keys.h"
#include "lb/desired/desired.h"
#include "lb/reconcile/reconciler.h"
#include "lb/reconcile/space.h"
#include "rewind.h"
#include "rewind.skel.h"

namespace {

using namespace lbd;

[[noreturn]] void die(std::string_view what) {
  fmt::print(stderr, "xdp_bench: {}: {}\n", what, std::strerror(errno));
  std::exit(1);
}

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}

class OneNeighbor final : public dataplane::RouteSource {
 public:
  [[nodiscard]] std::optional<dataplane::Route> to(const IpAddress&) const override {
    return dataplane::Route{.ifindex = 1,
                            .interface = "lo",
                            .source_mac = *Mac::parse("02:00:00:00:00:02"),
                            .mac = *Mac::parse("02:00:00:00:00:01"),
                            .mtu = 1500,
                            .source4 = ip("10.0.0.2"),
                            .source6 = ip("fd01::2")};
  }
  [[nodiscard]] const std::set<IpAddress>& local_addresses() const override { return local_; }

 private:
  std::set<IpAddress> local_;
};

/// `count` backends of each of two services, one an address family.
config::Config config_with(unsigned count, unsigned drained) {
  config::Config config;
  for (const bool v6 : {false, true}) {
    Service service;
    service.name = v6 ? "six" : "four";
    service.addresses = {ip(v6 ? "2001:db8::10" : "192.0.2.10"),
                         ip(v6 ? "192.0.2.11" : "2001:db8::11")};
    service.ports = {{Port{443}, Protocol::tcp}};
    service.allow_from = {*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")};
    for (unsigned i = 0; i < count; i++)
      service.backends.push_back(
          {.address = ip(fmt::format("{}{}", v6 ? "fd01::1:" : "10.0.1.", i + 1)),
           .state = i < drained ? AdminState::drain : AdminState::enabled});
    config.services.push_back(std::move(service));
  }
  for (int i = 0; i < 500; i++) {  // a realistic number of frontends
    Service other;
    other.name = fmt::format("other{}", i);
    other.addresses = {
        IpAddress::v4({198, 18, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}),
        ip(fmt::format("2001:db8:1::{:x}", i + 1))};
    other.ports = {{Port{443}, Protocol::tcp}};
    other.table_size = 251;
    other.allow_from = {*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")};
    other.backends = {{.address = ip("10.0.2.1")}};
    config.services.push_back(std::move(other));
  }
  return config;
}

/// The shipped program on private maps.
class Balancer {
 public:
  explicit Balancer(std::uint32_t flows) {
    std::array<std::uint8_t, 16> key{};
    std::iota(key.begin(), key.end(), std::uint8_t{1});
    hash_key_ = dataplane::hash_key_from(key);
    const auto desired = desired::desire(config_with(100, 0));
    auto opened = dataplane::DataPlane::open(
        {.sizes = reconcile::sizes_for(desired, flows), .hash_key = hash_key_}, log_);
    if (!opened) die(opened.error().message());
    plane_ = std::move(*opened);
    apply(0);
  }
  /// Drains the first `drained` backends, so that their rows move.
  void apply(unsigned drained) {
    reconcile::Reconciler reconciler{*plane_, hash_key_, log_};
    const auto applied =
        reconciler.apply(desired::desire(config_with(100, drained)), OneNeighbor{}, false);
    if (!applied) die(applied.error().message());
  }
  /// Makes every row of the two services move, with its owner as home of what is not stored.
  void move_all_rows() {
    auto& tables = plane_->tables();
    for (std::uint32_t i = 0; i < 2; i++) {
      const auto& ring = tables.services[i].ring[0];
      for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++) {
        const std::uint16_t owner = tables.row(row);
        tables.side[row] = {};
        tables.side[row].home = owner;
        tables.side[row].filter = 0xffff;
        tables.row(row) = static_cast<std::uint16_t>((owner + 1) % 100) | ROW_MOVING;
      }
    }
  }
  /// Makes every row wait for foreign entries of which none is this flow's.
  void wait_for_others() {
    auto& tables = plane_->tables();
    for (std::uint32_t i = 0; i < 2; i++) {
      const auto& ring = tables.services[i].ring[0];
      for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++) {
        const std::uint16_t owner = tables.row(row) & 0x7fff;
        tables.side[row].home = owner;
        tables.side[row].filter = 0;
        tables.row(row) = owner | ROW_MOVING;
      }
    }
  }
  dataplane::DataPlane& plane() { return *plane_; }

 private:
  Log log_{Level::warning};
  abi::hash_key hash_key_{};
  std::unique_ptr<dataplane::DataPlane> plane_;
};

struct Case {
  std::string name;
  int program = -1;
  std::string to;  // the address dialled
  std::uint32_t flows = 1;
  int growth = 0;
  std::uint32_t action = XDP_TX;
  std::uint8_t tcp_flags = 0x10;  // ACK

  struct rewind* skeleton = nullptr;
  std::vector<std::uint8_t> frame;
  rewind_words state{};
  std::uint32_t repeat = 0;
  std::vector<double> ns;
  std::uint64_t bad = 0;
};

template <class T>
void take(T& word, const std::vector<std::uint8_t>& frame, std::size_t offset) {
  std::memcpy(&word, frame.data() + offset, sizeof word);
}

/// A step that visits all flows in another order than they were stored in.
std::uint32_t stride(std::uint32_t flows) {
  auto step = static_cast<std::uint32_t>(flows * 0.6180339887);
  step = std::max(step, 1U);
  while (std::gcd(step, flows) != 1) step++;
  return step;
}

void build_frame(Case& c) {
  const IpAddress to = ip(c.to);
  const bool v6 = to.is_v6();
  auto& f = c.frame;
  f.assign(REWIND_FRAME, 0);
  const std::uint8_t macs[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 3};
  std::copy(std::begin(macs), std::end(macs), f.begin());
  const std::size_t l4 = v6 ? 54 : 34;
  if (v6) {
    f[12] = 0x86;
    f[13] = 0xdd;
    f[14] = 0x60;
    f[19] = REWIND_FRAME - 54;
    f[20] = 6;
    f[21] = 64;
    const auto source = ip("2001:db8:ffff::").bytes();
    std::copy(source.begin(), source.end(), f.begin() + 22);
    std::copy(to.bytes().begin(), to.bytes().end(), f.begin() + 38);
  } else {
    f[12] = 8;
    f[14] = 0x45;
    f[17] = REWIND_FRAME - 14;
    f[20] = 0x40;
    f[22] = 64;
    f[23] = 6;
    std::copy(to.bytes().begin(), to.bytes().end(), f.begin() + 30);
  }
  f[l4 + 2] = 443 >> 8;
  f[l4 + 3] = 443 & 0xff;
  f[l4 + 12] = 5 << 4;
  f[l4 + 13] = c.tcp_flags;
  auto& s = c.state;
  s = {};
  s.flows = c.flows;
  s.step = stride(c.flows);
  s.frame = REWIND_FRAME;
  s.growth = c.growth;
  s.v6 = v6 ? 1 : 0;
  take(s.e0, f, 0), take(s.e8, f, 8), take(s.e12, f, 12);
  take(s.four14, f, 14), take(s.four22, f, 22), take(s.four26, f, 26), take(s.four34, f, 34);
  take(s.four42, f, 42), take(s.four50, f, 50);
  take(s.six14, f, 14), take(s.six22, f, 22), take(s.six30, f, 30), take(s.six38, f, 38);
  take(s.six46, f, 46), take(s.six54, f, 54), take(s.six62, f, 62), take(s.six64, f, 64);
  take(s.six72, f, 72);
  if (!v6)
    for (std::size_t i = 14; i < 34; i += 2)
      s.four_sum += static_cast<std::uint32_t>(f[i] | f[i + 1] << 8);
}

double cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

/// Runs the case `repeat` times; ns in all.
double run(Case& c, std::uint32_t repeat) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = c.frame.data(), .data_size_in = REWIND_FRAME,
              .repeat = static_cast<int>(repeat));
  rewind_words& live = c.skeleton->bss->rewind_state;
  const std::uint32_t index = live.index;
  live = c.state;
  live.index = index;
  const double begun = cpu_ns();
  if (bpf_prog_test_run_opts(bpf_program__fd(c.skeleton->progs.rewind), &options) != 0) die(c.name);
  const double taken = cpu_ns() - begun;
  c.bad += live.bad_growth - (c.growth != 0 ? 1 : 0) + live.fell_through +
           (options.retval != c.action ? 1 : 0);
  return taken;
}

void prepare(Case& c) {
  build_frame(c);
  c.skeleton = rewind::open_and_load();
  if (c.skeleton == nullptr) die("load the wrapper");
  const std::uint32_t slot = 0;
  if (bpf_map_update_elem(bpf_map__fd(c.skeleton->maps.target), &slot, &c.program, BPF_ANY) != 0)
    die("program array");
  // Each flow once in the order of its index, so that what is stored lies in that order.
  const std::uint32_t step = std::exchange(c.state.step, 1);
  run(c, std::max(c.flows, 1000U));
  c.state.step = step;
  constexpr double round_ns = 50e6;
  const double each = run(c, 100000) / 100000;
  c.repeat = static_cast<std::uint32_t>(round_ns / each);
  c.bad = 0;
}

double minimum(const Case& c) {
  return *std::min_element(c.ns.begin(), c.ns.end());
}
double median(Case c) {
  std::nth_element(c.ns.begin(), c.ns.begin() + static_cast<long>(c.ns.size() / 2), c.ns.end());
  return c.ns[c.ns.size() / 2];
}

void stay_on(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof one, &one);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  const std::string filter = argc > 2 ? argv[2] : "";
  stay_on(1);
  libbpf_set_print(nullptr);
  floors* loaded_floors = floors::open_and_load();
  if (loaded_floors == nullptr) die("load the floors");
  const int null = bpf_program__fd(loaded_floors->progs.floor_null);
  Balancer settled{65536};
  Balancer moving{1048576};
  moving.move_all_rows();
  Balancer waiting{65536};
  waiting.wait_for_others();
  const int program = settled.plane().program_fd();

  std::vector<Case> cases{
      {"floor: null, IPv4", null, "192.0.2.10"},
      {"floor: null, IPv6", null, "2001:db8::10"},
      {"floor: adjust_head", bpf_program__fd(loaded_floors->progs.floor_head), "192.0.2.10", 1, 20},
      {"floor: constant IPIP", bpf_program__fd(loaded_floors->progs.floor_ipip), "192.0.2.10", 1,
       20},
      {"not a VIP, IPv4", program, "203.0.113.77", 100000, 0, XDP_PASS},
      {"not a VIP, IPv6", program, "2001:db8:5::5", 100000, 0, XDP_PASS},
  };
  for (const std::uint32_t flows : {1U, 1000U, 100000U, 1000000U}) {
    cases.push_back(
        {fmt::format("settled 4in4, {} flows", flows), program, "192.0.2.10", flows, 20});
    cases.push_back(
        {fmt::format("settled 6in6, {} flows", flows), program, "2001:db8::10", flows, 40});
  }
  for (const std::uint32_t flows : {1U, 100000U}) {
    cases.push_back(
        {fmt::format("settled 4in6, {} flows", flows), program, "192.0.2.11", flows, 40});
    cases.push_back(
        {fmt::format("settled 6in4, {} flows", flows), program, "2001:db8::11", flows, 20});
    cases.push_back({fmt::format("home == cur, filter clear, IPv4, {} flows", flows),
                     waiting.plane().program_fd(), "192.0.2.10", flows, 20});
    cases.push_back({fmt::format("moving, known, IPv4, {} flows", flows),
                     moving.plane().program_fd(), "192.0.2.10", flows, 20});
    cases.push_back({fmt::format("moving, known, IPv6, {} flows", flows),
                     moving.plane().program_fd(), "2001:db8::10", flows, 40});
  }
  std::erase_if(cases, [&](const Case& c) {
    return !c.name.starts_with("floor") && c.name.find(filter) == std::string::npos;
  });
  for (Case& c : cases) prepare(c);
  for (int round = 0; round < rounds; round++) {
    fmt::print(stderr, "\rround {} of {}", round + 1, rounds);
    for (Case& c : cases) c.ns.push_back(run(c, c.repeat) / c.repeat);
  }
  fmt::print(stderr, "\n");
  const double floor4 = minimum(cases[0]);
  const double floor6 = minimum(cases[1]);
  const double ipip = minimum(cases[3]) - floor4;
  fmt::print("{:<44} {:>8} {:>8} {:>8} {:>10} {:>5}\n", "case", "min", "median", "- null", "/ IPIP",
             "bad");
  std::ofstream json{"build/bench.json"};
  json << "[";
  for (const Case& c : cases) {
    const double own = minimum(c) - (c.state.v6 != 0 ? floor6 : floor4);
    fmt::print("{:<44} {:>8.1f} {:>8.1f} {:>8.1f} {:>10.2f} {:>5}\n", c.name, minimum(c), median(c),
               own, own / ipip, c.bad);
    json << fmt::format(
        R"({}{{"case":"{}","min":{:.2f},"median":{:.2f},"own":{:.2f},"ratio":{:.3f},"bad":{}}})",
        &c == &cases[0] ? "" : ",\n", c.name, minimum(c), median(c), own, own / ipip, c.bad);
  }
  json << "]\n";
  return 0;
}
