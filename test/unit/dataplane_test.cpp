// The data plane on the real kernel: needs root, a bpffs that can be mounted, and veth.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "lb/dataplane/attach.h"
#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/keys.h"
#include "lb/dataplane/self_test.h"
#include "lb/dataplane/siphash.h"

namespace fs = std::filesystem;
using namespace lbd;
using namespace lbd::dataplane;
using namespace std::chrono_literals;

namespace {

const Log quiet{Level::error};

/// A pin path of this process alone, removed with all below it.
class PinPath {
 public:
  PinPath() {
    static int made = 0;
    path_ = "/sys/fs/bpf/lbd-test-" + std::to_string(::getpid()) + "-" + std::to_string(made++);
  }
  PinPath(const PinPath&) = delete;
  PinPath& operator=(const PinPath&) = delete;
  ~PinPath() { static_cast<void>(DataPlane::cleanup(path_).has_value()); }
  operator const fs::path&() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

/// A network namespace for the life of the object; this thread is in it.
class OwnNetwork {
 public:
  OwnNetwork() : before_{::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)} {
    REQUIRE(before_);
    REQUIRE(::unshare(CLONE_NEWNET) == 0);
    sh("ip link set lo up");
  }
  OwnNetwork(const OwnNetwork&) = delete;
  OwnNetwork& operator=(const OwnNetwork&) = delete;
  ~OwnNetwork() {
    if (::setns(before_.get(), CLONE_NEWNET) != 0) std::abort();
  }
  static void sh(const std::string& command) {
    INFO(command);
    REQUIRE(std::system(command.c_str()) == 0);
  }
  /// A pair of veth, both up: what goes into NAME-peer comes in on NAME.
  static void add_veth(const std::string& name) {
    sh("ip link add " + name + " type veth peer name " + name + "-peer");
    sh("ip link set " + name + " up && ip link set " + name + "-peer up");
  }

 private:
  Fd before_;
};

Options small(const PinPath& path) {
  Options options;
  options.pin_path = path;
  options.sizes = {.rows = 64, .backends = 4, .counters = 4, .flows = 16};
  options.hash_key.k[0] = 1;
  return options;
}

/// The data plane; the test ends where it can't be opened.
std::unique_ptr<DataPlane> opened(const Options& options) {
  auto plane = DataPlane::open(options, quiet);
  if (!plane) FAIL(plane.error().message());
  return std::move(*plane);
}

template <class T>
T expect(Result<T> result) {
  if (!result) FAIL(result.error().message());
  return std::move(*result);
}
void expect(const Result<>& result) {
  if (!result) FAIL(result.error().message());
}

abi::flow_key flow_from(std::uint16_t port) {
  return flow_key_of({.source = *IpAddress::parse("10.0.0.1"),
                      .source_port = Port{port},
                      .destination = *IpAddress::parse("10.0.0.2"),
                      .destination_port = Port{80},
                      .protocol = Protocol::udp});
}

std::uint32_t id_of(const fs::path& pin) {
  const Fd fd{bpf_obj_get(pin.c_str())};
  REQUIRE(fd);
  bpf_map_info info{};  // the id stands at the same place in all infos but links'
  std::uint32_t bytes = sizeof info;
  REQUIRE(bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) == 0);
  return info.id;
}

const char* const map_names[] = {"lbd_frontends4", "lbd_frontends6", "lbd_ring",     "lbd_side",
                                 "lbd_backends",   "lbd_next_hops",  "lbd_counters", "lbd_reasons",
                                 "lbd_flows",      "lbd_allow4",     "lbd_allow6",   "lbd_locals",
                                 "lbd_bss",        "lbd_services",   "lbd_counted",  "lbd_meta"};

/// One UDP service whose counter 1 counts what its only backend gets.
void fill(Tables& tables) {
  const FrontendKey key{*IpAddress::parse("198.51.100.1"), Port{53}, 17};
  tables.next_hops[1].mtu = 1500;
  tables.next_hops[1].source4 = 1;
  tables.next_hops[1].ifindex = ::if_nametoindex("lo");
  tables.backends[0].flags = abi::BACKEND_USED;
  tables.backends[0].next_hop = 1;
  set_address(tables.backends[0], *IpAddress::parse("10.0.0.3"));
  auto& cell = tables.frontends4[buckets_of(key).home].cell[0];
  cell.value = {};
  cell.value.ring_size = 32;
  cell.value.counter_base = 1;
  publish(cell.key, key4_of(key));
  const std::uint32_t bit = address_bit_of(key.address);
  tables.address_filter[bit / 64] |= 1ULL << (bit % 64);
}

/// To that service. The IPv4 checksum is left 0: nobody on the way to the program looks.
std::vector<std::uint8_t> packet() {
  return {0x02, 0,    0, 0,  0, 1, 0x02, 0, 0,  0,  0, 2, 0x08, 0,  // Ethernet
          0x45, 0,    0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 10,   0, 0, 9, 198, 51, 100, 1,  // IPv4
          0x30, 0x39, 0, 53, 0, 8, 0,    0};                                               // UDP
}

std::uint64_t packets_counted(Tables& tables, std::uint32_t index) {
  return expect(tables.counters.sum(index)).packets + tables.counted[index].packets;
}

/// Loads and attaches a program that is not lbd's, by netlink, as `ip link set xdp` does.
std::uint32_t attach_foreign(const std::string& interface) {
  const bpf_insn pass[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS},
                           {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  const Fd program{bpf_prog_load(BPF_PROG_TYPE_XDP, "stranger", "GPL", pass, 2, nullptr)};
  REQUIRE(program);
  const auto ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
  REQUIRE(bpf_xdp_attach(ifindex, program.get(), XDP_FLAGS_DRV_MODE, nullptr) == 0);
  std::uint32_t id = 0;
  REQUIRE(bpf_xdp_query_id(ifindex, 0, &id) == 0);
  return id;
}

std::uint32_t program_on(const std::string& interface) {
  std::uint32_t id = 0;
  REQUIRE(bpf_xdp_query_id(static_cast<int>(::if_nametoindex(interface.c_str())), 0, &id) == 0);
  return id;
}

}  // namespace

TEST_CASE("SipHash-2-4 gives the vectors of its paper") {
  std::array<std::uint8_t, 16> key{};
  std::array<std::uint8_t, 15> input{};
  for (std::uint8_t i = 0; i < key.size(); i++) key[i] = i;
  for (std::uint8_t i = 0; i < input.size(); i++) input[i] = i;
  CHECK(siphash24(key, input) == 0xa129ca6149be45e5U);  // appendix A
  CHECK(siphash24(key, {}) == 0x726fdb47dd0e0e31U);     // first of the authors' vectors
}

TEST_CASE("keys say what they were made from, in the packet's order") {
  const std::array<std::uint8_t, 16> secret{1, 2, 3};
  const abi::hash_key hash_key = hash_key_from(secret);
  for (std::size_t i = 1; i < std::size(hash_key.k); i++) CHECK(hash_key.k[i] % 2 == 1);
  CHECK(hash_key.k[1] != hash_key.k[2]);
  CHECK(to_network(Port{0x1234}) == 0x3412);

  for (const char* text : {"203.0.113.10", "2001:db8::1"}) {
    INFO(text);
    const IpAddress address = *IpAddress::parse(text);
    const FrontendKey frontend{address, Port{8080}, 6 | PROTOCOL_EVERY_PORT};
    CHECK((address.is_v4() ? frontend_from_key4(key4_of(frontend))
                           : frontend_from_key6(key6_of(frontend))) == frontend);
    CHECK(address_of(local_key_of(address)) == address);
    abi::backend backend{};
    backend.flags = abi::BACKEND_USED | (address.is_v4() ? abi::BACKEND_V6 : 0);
    set_address(backend, address);
    CHECK(address_of(backend) == address);
    CHECK((backend.flags & abi::BACKEND_USED) != 0);
    const Prefix prefix{address, 24};
    CHECK((address.is_v4() ? prefix_of(allow_key4_of(7, prefix))
                           : prefix_of(allow_key6_of(7, prefix))) == prefix);
    const Tuple tuple{address, Port{1}, address, Port{2}, Protocol::udp};
    CHECK(tuple_of(flow_key_of(tuple)) == tuple);
    CHECK(hash_of(hash_key, flow_key_of(tuple)) == hash_of(hash_key, flow_key_of(tuple)));
  }

  const Mac destination{{2, 0, 0, 0, 0, 1}};
  const Mac source{{2, 0, 0, 0, 0, 2}};
  abi::next_hop hop{};
  hop.eth0 = ethernet_words(destination, source).eth0;
  hop.eth8 = ethernet_words(destination, source).eth8;
  CHECK(destination_mac(hop) == destination);
  CHECK(source_mac(hop) == source);
  CHECK(reinterpret_cast<const std::uint8_t*>(&hop.eth0)[5] == 1);
}

TEST_CASE("the program loads here, within its ceilings") {
  Options options;
  const auto plane = opened(options);
  const ProgramInfo program = expect(plane->program_info());
  WARN("lbd_xdp: " << program.verified_instructions << " instructions verified, "
                   << program.xlated_bytes << " bytes, jited " << program.jited_bytes);
  CHECK(program.verified_instructions < 100'000);
  CHECK(program.jited_bytes < 32'768);
}

TEST_CASE("the self-test passes with the shipped program") {
  expect(self_test(quiet));
}

TEST_CASE("a private data plane leaves nothing pinned and runs frames") {
  Options options;
  options.sizes = {.rows = 32, .backends = 1, .counters = 2, .flows = 1};
  options.trace = true;
  const auto plane = opened(options);
  fill(plane->tables());
  const TestRun run = expect(plane->run(packet()));
  CHECK(run.action == XDP_TX);
  CHECK(run.frame.size() == packet().size() + 20);
  CHECK(plane->tables().trace->verdict == abi::VERDICT_TX);
  CHECK(packets_counted(plane->tables(), 1) == 1);
  CHECK(packets_counted(plane->tables(), 0) == 0);
}

TEST_CASE("typed maps find, insert once, walk and erase") {
  Options options;
  options.sizes.flows = 3000;
  const auto plane = opened(options);
  const auto& flows = plane->tables().flows;
  abi::flow flow{};
  for (std::uint16_t port = 0; port < 3000; port++) {
    flow.seen = port;
    REQUIRE(expect(flows.insert(flow_from(port), flow)) == Inserted::yes);
  }
  CHECK(expect(flows.insert(flow_from(7), flow)) == Inserted::was_there);
  CHECK_FALSE(flows.insert(flow_from(3000), flow).has_value());  // full
  CHECK(expect(flows.find(flow_from(7)))->seen == 7);
  std::uint64_t sum = 0;
  expect(flows.for_each([&](const abi::flow_key& key, const abi::flow& found) {
    sum += found.seen;
    if (found.seen % 2 == 0) CHECK(flows.erase(key).has_value());
  }));
  CHECK(sum == 3000ULL * 2999 / 2);
  CHECK(expect(flows.count()) == 1500);
  CHECK_FALSE(expect(flows.find(flow_from(8))).has_value());
  CHECK(expect(flows.erase(flow_from(8))) == Erased::was_absent);

  const auto& allowed = plane->tables().allow6;
  CHECK(expect(allowed.keys()).empty());
  for (const char* prefix : {"2001:db8::/32", "2001:db8::/48", "::/0"})
    expect(allowed.insert(allow_key6_of(3, *Prefix::parse(prefix))));
  CHECK(expect(allowed.keys()).size() == 3);
  CHECK(expect(allowed.erase(allow_key6_of(3, *Prefix::parse("::/0")))) == Erased::yes);
  CHECK(expect(allowed.keys()).size() == 2);
}

TEST_CASE("per-CPU counters are summed one by one, in ranges, and set to 0") {
  Options options;
  options.sizes.counters = 2500;
  const auto plane = opened(options);
  const auto& counters = plane->tables().counters;
  std::vector<abi::counter> cpus(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  for (std::uint32_t i = 0; i < 2500; i++) {
    for (auto& cpu : cpus) cpu = {i, 2 * i};
    REQUIRE(bpf_map_update_elem(counters.handle().fd(), &i, cpus.data(), 0) == 0);
  }
  const struct {
    std::uint32_t first, count;
  } ranges[] = {{0, 2500}, {0, 1}, {2499, 1}, {1, 1024}, {1000, 1025}, {5, 0}, {2500, 0}};
  for (const auto& [first, count] : ranges) {
    INFO(first << " " << count);
    const auto sums = expect(counters.sums(first, count));
    REQUIRE(sums.size() == count);
    for (std::uint32_t i = 0; i < count; i++) REQUIRE(sums[i].packets == (first + i) * cpus.size());
  }
  expect(counters.zero(9));
  CHECK(expect(counters.sum(9)).packets == 0);
  CHECK(expect(counters.sum(10)).bytes == 20 * cpus.size());
}

TEST_CASE("what one daemon pins the next one finds as it was") {
  const PinPath path;
  std::vector<std::uint32_t> ids;
  std::uint32_t program_id = 0;
  {
    const auto plane = opened(small(path));
    CHECK_FALSE(plane->adopted());
    CHECK(plane->sizes() == Sizes{.rows = 64, .backends = 4, .counters = 4, .flows = 16});
    plane->tables().row(63) = 0x1234;
    plane->tables().side[63].home = 7;
    plane->tables().backends[3].generation = 9;
    plane->tables().services[5].name[0] = 'w';
    plane->tables().address_filter[1023] = 11;
    expect(plane->tables().flows.insert(flow_from(1), {}));
    program_id = plane->program_id();
    for (const char* name : map_names) ids.push_back(id_of(path / name));
  }
  const auto plane = opened(small(path));
  CHECK(plane->adopted());
  CHECK(plane->program_id() == program_id);
  CHECK(plane->tables().row(63) == 0x1234);
  CHECK(plane->tables().side[63].home == 7);
  CHECK(plane->tables().backends[3].generation == 9);
  CHECK(plane->tables().services[5].name[0] == 'w');
  CHECK(plane->tables().address_filter[1023] == 11);
  CHECK(expect(plane->tables().flows.count()) == 1);
  std::size_t i = 0;
  for (const char* name : map_names) CHECK(id_of(path / name) == ids[i++]);
  CHECK_FALSE(fs::exists(path / "old"));
}

TEST_CASE("two daemons never share a pin path") {
  const PinPath path;
  auto first = opened(small(path));
  const auto second = DataPlane::open(small(path), quiet);
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().message().find("another lbd") != std::string::npos);
  const auto removed = DataPlane::cleanup(path);
  REQUIRE_FALSE(removed.has_value());
  CHECK(removed.error().message().find("another lbd") != std::string::npos);
  first.reset();
  CHECK(opened(small(path))->adopted());
}

TEST_CASE("other settings bring another program onto the same maps") {
  const PinPath path;
  Options options = small(path);
  auto plane = opened(options);
  plane->tables().row(1) = 5;
  const std::uint32_t program_id = plane->program_id();
  const std::uint32_t ring = id_of(path / "lbd_ring");
  plane.reset();
  options.trace = true;
  plane = opened(options);
  CHECK(plane->adopted());
  CHECK(plane->program_id() != program_id);
  CHECK(id_of(path / "lbd_xdp") == plane->program_id());
  CHECK(id_of(path / "lbd_ring") == ring);
  CHECK(plane->tables().row(1) == 5);
  CHECK_FALSE(fs::exists(path / "old"));
  plane.reset();
  plane = opened(options);
  CHECK(id_of(path / "lbd_xdp") == plane->program_id());
}

TEST_CASE("another hash key is refused: every flow would move") {
  const PinPath path;
  Options options = small(path);
  opened(options).reset();
  options.hash_key.k[0]++;
  const auto plane = DataPlane::open(options, quiet);
  REQUIRE_FALSE(plane.has_value());
  CHECK(plane.error().message().find("hashKey") != std::string::npos);
  options.hash_key.k[0]--;
  CHECK(opened(options)->adopted());
}

TEST_CASE("maps of another layout are left alone") {
  const PinPath path;
  opened(small(path)).reset();
  const Fd meta{bpf_obj_get((path / "lbd_meta").c_str())};
  std::array<std::uint32_t, 6> words{};
  const std::uint32_t index = 0;
  REQUIRE(bpf_map_lookup_elem(meta.get(), &index, words.data()) == 0);
  REQUIRE(words[0] == LBD_ABI);
  words[0]++;
  REQUIRE(bpf_map_update_elem(meta.get(), &index, words.data(), BPF_ANY) == 0);
  const auto plane = DataPlane::open(small(path), quiet);
  REQUIRE_FALSE(plane.has_value());
  CHECK(plane.error().message().find("lbd --cleanup") != std::string::npos);
  expect(DataPlane::cleanup(path));
  CHECK_FALSE(opened(small(path))->adopted());
}

TEST_CASE("a first pinning that a crash cut short is completed or forgotten") {
  const PinPath path;
  SECTION("before it counted: all begins anew") {
    opened(small(path)).reset();
    REQUIRE(::mkdir((path / "next").c_str(), 0700) == 0);
    for (const char* name : map_names) fs::rename(path / name, path / "next" / name);
    fs::rename(path / "lbd_xdp", path / "next" / "lbd_xdp");
    const auto plane = opened(small(path));
    CHECK_FALSE(plane->adopted());
  }
  SECTION("while the pins were put in place: it goes on") {
    for (std::size_t placed = 0; placed <= std::size(map_names); placed++) {
      INFO(placed);
      auto plane = opened(small(path));
      plane->tables().row(2) = 3;
      plane.reset();
      REQUIRE(::mkdir((path / "ready").c_str(), 0700) == 0);
      for (std::size_t i = placed; i < std::size(map_names); i++)
        fs::rename(path / map_names[i], path / "ready" / map_names[i]);
      fs::rename(path / "lbd_xdp", path / "ready" / "lbd_xdp");
      plane = opened(small(path));
      CHECK(plane->adopted());
      CHECK(plane->tables().row(2) == 3);
      CHECK_FALSE(fs::exists(path / "ready"));
    }
  }
  SECTION("without the map that says what is there, nothing is") {
    opened(small(path)).reset();
    fs::remove(path / "lbd_meta");
    CHECK_FALSE(opened(small(path))->adopted());
  }
  CHECK_FALSE(fs::exists(path / "next"));
}

TEST_CASE("growing keeps all that was in the maps") {
  const PinPath path;
  auto plane = opened(small(path));
  fill(plane->tables());
  expect(plane->run(packet()));
  plane->tables().row(63) = 0x7001;
  plane->tables().side[63].refused = 17;
  plane->tables().backends[3].generation = 9;
  plane->tables().counted[3] = {100, 200};
  for (std::uint16_t port = 0; port < 16; port++) {
    abi::flow flow{};
    flow.slot = port;
    expect(plane->tables().flows.insert(flow_from(port), flow));
  }
  const std::uint32_t frontends = id_of(path / "lbd_frontends4");

  const Sizes wanted{.rows = 65, .backends = 9, .counters = 5, .flows = 17};
  expect(plane->grow(wanted));
  CHECK(plane->sizes() == Sizes{.rows = 96, .backends = 9, .counters = 5, .flows = 17});
  const auto check = [&] {
    Tables& tables = plane->tables();
    CHECK(tables.ring.size() == 3);
    CHECK(tables.side.size() == 96);
    CHECK(tables.row(63) == 0x7001);
    CHECK(tables.side[63].refused == 17);
    CHECK(tables.backends[3].generation == 9);
    CHECK(packets_counted(tables, 1) == 1);
    CHECK(packets_counted(tables, 3) == 100);
    CHECK(expect(tables.flows.count()) == 16);
    CHECK(expect(tables.flows.find(flow_from(15)))->slot == 15);
    CHECK(id_of(path / "lbd_frontends4") == frontends);
    CHECK_FALSE(fs::exists(path / "old"));
  };
  check();
  expect(plane->run(packet()));
  CHECK(packets_counted(plane->tables(), 1) == 2);
  const std::uint32_t program_id = plane->program_id();
  expect(plane->grow(wanted));  // there is room: nothing happens
  expect(plane->grow({}));
  CHECK(plane->program_id() == program_id);

  plane.reset();
  plane = opened(small(path));  // asks for less: keeps the larger
  CHECK(plane->program_id() == program_id);
  CHECK(plane->sizes().rows == 96);
  CHECK(packets_counted(plane->tables(), 1) == 2);
}

TEST_CASE("a daemon that asks for more than is pinned grows the maps it adopts") {
  const PinPath path;
  Options options = small(path);
  auto plane = opened(options);
  plane->tables().row(3) = 4;
  plane.reset();
  options.sizes.rows = 1000;
  plane = opened(options);
  CHECK(plane->adopted());
  CHECK(plane->tables().side.size() == 1024);
  CHECK(plane->tables().row(3) == 4);
}

TEST_CASE("what programs wrote to replaced maps is carried over by a successor, once") {
  const PinPath path;
  auto plane = opened(small(path));
  plane->tables().counted[2] = {1000, 0};
  const char* const replaced[] = {"lbd_side", "lbd_flows", "lbd_counters", "lbd_counted"};
  std::vector<Fd> pins;
  for (const char* name : replaced) pins.emplace_back(bpf_obj_get((path / name).c_str()));
  expect(plane->grow({.rows = 96, .backends = 4, .counters = 5, .flows = 32}));
  plane->tables().side[1].refused = 50;
  plane.reset();

  // As if the swap had only just been decided, and the old program still had packets.
  const std::uint32_t row = 1;
  abi::side side{};
  side.refused = 70;
  REQUIRE(bpf_map_update_elem(pins[0].get(), &row, &side, BPF_ANY) == 0);
  const abi::flow_key key = flow_from(5);
  abi::flow flow{};
  flow.slot = 6;
  REQUIRE(bpf_map_update_elem(pins[1].get(), &key, &flow, BPF_ANY) == 0);
  const std::uint32_t index = 2;
  std::vector<abi::counter> cpus(static_cast<std::size_t>(libbpf_num_possible_cpus()), {1, 10});
  REQUIRE(bpf_map_update_elem(pins[2].get(), &index, cpus.data(), BPF_ANY) == 0);
  for (int round = 0; round < 2; round++) {
    REQUIRE(::mkdir((path / "old").c_str(), 0700) == 0);
    for (std::size_t i = 0; i < pins.size(); i++)
      REQUIRE(bpf_obj_pin(pins[i].get(), (path / "old" / replaced[i]).c_str()) == 0);
    plane = opened(small(path));
    CHECK(plane->tables().side[1].refused == 70);
    CHECK(expect(plane->tables().flows.find(key))->slot == 6);
    CHECK(packets_counted(plane->tables(), 2) == 1000 + cpus.size());
    CHECK_FALSE(fs::exists(path / "old"));
    plane.reset();
  }
}

TEST_CASE("a daemon killed at any time while it grows leaves a whole data plane") {
  const PinPath path;
  Options options = small(path);
  auto plane = opened(options);
  plane->tables().row(7) = 77;
  plane->tables().counted[1] = {5, 6};
  expect(plane->tables().flows.insert(flow_from(1), {}));
  plane.reset();
  for (int round = 0; round < 40; round++) {
    INFO("round " << round);
    options.sizes.rows += 32;
    options.sizes.counters++;
    options.sizes.flows++;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(DataPlane::open(options, quiet).has_value() ? 0 : 1);
    std::this_thread::sleep_for(round * 500us);
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) == 0));
    plane = opened(small(path));
    CHECK(plane->adopted());
    CHECK(plane->tables().row(7) == 77);
    CHECK(packets_counted(plane->tables(), 1) == 5);
    CHECK(expect(plane->tables().flows.count()) == 1);
    CHECK_FALSE(fs::exists(path / "old"));
    CHECK_FALSE(fs::exists(path / "next"));
    plane.reset();
  }
}

TEST_CASE("grace waits for running programs") {
  Options options;
  const auto plane = opened(options);
  // A program that runs for long: test runs hold the same lock as packets, and repeat within it.
  const auto start = std::chrono::steady_clock::now();
  expect(plane->grace());
  const auto took = std::chrono::steady_clock::now() - start;
  WARN(
      "a grace period takes " << std::chrono::duration_cast<std::chrono::microseconds>(took).count()
                              << " us");
  CHECK(took > 100us);  // an update of an ordinary array takes 1
}

TEST_CASE("links outlive the daemon and change their program under it") {
  const OwnNetwork network;
  OwnNetwork::add_veth("lan.0");
  const PinPath path;
  Options options = small(path);
  auto plane = opened(options);
  const Attached attached = expect(attach(*plane, "lan.0", XdpMode::automatic, quiet));
  CHECK(attached.interface == "lan.0");
  CHECK(attached.mode == XdpMode::native);
  CHECK(attached.program_id == plane->program_id());
  CHECK(program_on("lan.0") == plane->program_id());
  CHECK(expect(attachments(*plane)) == std::vector{attached});

  plane.reset();
  CHECK(program_on("lan.0") == attached.program_id);
  plane = opened(options);
  CHECK(expect(attach(*plane, "lan.0", XdpMode::automatic, quiet)) == attached);

  plane.reset();
  options.trace = true;  // as another binary would be
  plane = opened(options);
  CHECK(program_on("lan.0") == plane->program_id());
  CHECK(plane->program_id() != attached.program_id);
  CHECK(expect(attach(*plane, "lan.0", XdpMode::automatic, quiet)).program_id ==
        plane->program_id());
  expect(plane->grow({.rows = 1000, .backends = 0, .counters = 0, .flows = 0}));
  CHECK(program_on("lan.0") == plane->program_id());

  expect(detach(*plane, "lan.0"));
  CHECK(program_on("lan.0") == 0);
  CHECK(expect(attachments(*plane)).empty());
  expect(detach(*plane, "lan.0"));
}

TEST_CASE("a configured mode is kept to, and a changed one taken on") {
  const OwnNetwork network;
  OwnNetwork::add_veth("lan0");
  const PinPath path;
  const auto plane = opened(small(path));
  CHECK(expect(attach(*plane, "lan0", XdpMode::generic, quiet)).mode == XdpMode::generic);
  CHECK(expect(attach(*plane, "lan0", XdpMode::native, quiet)).mode == XdpMode::native);
  CHECK(expect(attach(*plane, "lan0", XdpMode::generic, quiet)).mode == XdpMode::generic);
  CHECK(expect(attach(*plane, "lo", XdpMode::automatic, quiet)).mode == XdpMode::generic);
  CHECK(expect(attachments(*plane)).size() == 2);
  expect(detach(*plane, "lo"));
  CHECK_FALSE(attach(*plane, "lo", XdpMode::native, quiet).has_value());
  CHECK_FALSE(attach(*plane, "absent0", XdpMode::automatic, quiet).has_value());
}

TEST_CASE("another program on the interface stays there") {
  const OwnNetwork network;
  OwnNetwork::add_veth("lan0");
  const std::uint32_t stranger = attach_foreign("lan0");
  const PinPath path;
  const auto plane = opened(small(path));
  const auto attached = attach(*plane, "lan0", XdpMode::automatic, quiet);
  REQUIRE_FALSE(attached.has_value());
  const std::string message = attached.error().message();
  CHECK(message.find(std::to_string(stranger)) != std::string::npos);
  CHECK(message.find("\"stranger\"") != std::string::npos);
  CHECK(program_on("lan0") == stranger);
  CHECK(expect(attachments(*plane)).empty());
}

TEST_CASE("an interface made anew under its old name is attached anew") {
  const OwnNetwork network;
  OwnNetwork::add_veth("lan0");
  const PinPath path;
  const auto plane = opened(small(path));
  const Attached before = expect(attach(*plane, "lan0", XdpMode::automatic, quiet));
  OwnNetwork::sh("ip link del lan0");
  CHECK(expect(attachments(*plane)).empty());
  expect(plane->grow({.rows = 1000, .backends = 0, .counters = 0, .flows = 0}));
  OwnNetwork::add_veth("lan0");
  CHECK(program_on("lan0") == 0);
  const Attached after = expect(attach(*plane, "lan0", XdpMode::automatic, quiet));
  CHECK(after.ifindex != before.ifindex);
  CHECK(program_on("lan0") == plane->program_id());
}

TEST_CASE("no packet is lost or counted twice while maps grow under traffic") {
  const OwnNetwork network;
  OwnNetwork::add_veth("lan0");
  const PinPath path;
  const auto plane = opened(small(path));
  fill(plane->tables());
  plane->tables().next_hops[1].ifindex = ::if_nametoindex("lan0");
  expect(attach(*plane, "lan0", XdpMode::native, quiet));

  const Fd socket{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
  REQUIRE(socket);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(::if_nametoindex("lan0-peer"));
  to.sll_halen = ETH_ALEN;
  const auto frame = packet();
  std::atomic<bool> stop{false};
  std::uint64_t sent = 0;
  std::thread sender{[&] {
    while (!stop) {
      if (::sendto(socket.get(), frame.data(), frame.size(), 0,
                   reinterpret_cast<const sockaddr*>(&to), sizeof to) > 0)
        sent++;
      std::this_thread::sleep_for(20us);
    }
  }};
  for (std::uint32_t counters = 5; counters < 10; counters++) {
    const auto grown = plane->grow({.rows = 0, .backends = 0, .counters = counters, .flows = 0});
    CHECK(grown.has_value());
  }
  stop = true;
  sender.join();
  const auto deadline = std::chrono::steady_clock::now() + 2s;
  while (packets_counted(plane->tables(), 1) < sent && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(1ms);
  CHECK(sent > 100);
  CHECK(packets_counted(plane->tables(), 1) == sent);
}

TEST_CASE("cleanup leaves nothing") {
  const OwnNetwork network;
  OwnNetwork::add_veth("lan0");
  OwnNetwork::add_veth("lan1");
  const PinPath path;
  expect(DataPlane::cleanup(path));  // nothing there
  {
    const auto plane = opened(small(path));
    expect(attach(*plane, "lan0", XdpMode::automatic, quiet));
    expect(attach(*plane, "lan1", XdpMode::generic, quiet));
  }
  OwnNetwork::sh("ip link del lan1");
  expect(DataPlane::cleanup(path));
  CHECK(program_on("lan0") == 0);
  CHECK_FALSE(fs::exists(path));
}

TEST_CASE("every map's memory is known") {
  Options options;
  options.sizes = {.rows = 65536, .backends = 100, .counters = 100, .flows = 1000};
  const auto plane = opened(options);
  const auto maps = plane->maps();
  CHECK(maps.size() == std::size(map_names));
  for (const MapInfo& map : maps) {
    INFO(map.name);
    CHECK(map.max_entries > 0);
    CHECK(map.entries <= map.max_entries);
    if (map.name == "lbd_side") {
      CHECK(map.max_entries == 65536);
      CHECK(map.bytes >= 65536 * 16);
    }
    if (map.name == "lbd_flows") CHECK(map.entries == 0);
    if (map.name != "lbd_allow4" && map.name != "lbd_allow6") CHECK(map.bytes > 0);
  }
}
