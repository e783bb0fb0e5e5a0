// The data plane on the real kernel: needs root and a bpffs that can be mounted.
#include "lb/dataplane/data_plane.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <chrono>
#include <thread>

#include "dataplane_lab.h"
#include "lb/dataplane/self_test.h"

using namespace lbd;
using namespace lbd::dataplane;
using namespace lbd::dataplane::test;
using namespace std::chrono_literals;

namespace {

std::uint32_t id_of(const fs::path& pin) {
  const Fd fd{bpf_obj_get(pin.c_str())};
  REQUIRE(fd);
  bpf_map_info info{};  // the id stands at the same place in all infos but links'
  std::uint32_t bytes = sizeof info;
  REQUIRE(bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) == 0);
  return info.id;
}

const char* const map_names[] = {
    "lbd_frontends4", "lbd_frontends6", "lbd_ring",        "lbd_side",    "lbd_backends",
    "lbd_next_hops",  "lbd_counters",   "lbd_reasons",     "lbd_flows",   "lbd_flow_detail",
    "lbd_starts",     "lbd_adopts",     "lbd_flow_events", "lbd_allow4",  "lbd_allow6",
    "lbd_locals",     "lbd_bss",        "lbd_services",    "lbd_counted", "lbd_meta"};

}  // namespace

TEST_CASE("the program loads here, within its ceilings") {
  Options options;
  const auto plane = opened(options);
  const ProgramInfo program = expect(plane->program_info());
  WARN("lbd_xdp: " << program.verified_instructions << " instructions verified, "
                   << program.xlated_bytes << " bytes, jited " << program.jited_bytes);
  // A tenth above what it takes now: what makes it larger should be meant.
  CHECK(program.verified_instructions < 20'400);
  CHECK(program.xlated_bytes < 40'300);
  CHECK(program.jited_bytes < 22'400);
}

TEST_CASE("the self-test passes with the shipped program") {
  expect(self_test(quiet));
}

TEST_CASE("a private data plane leaves nothing pinned and runs frames") {
  Options options;
  options.sizes = {.rows = 32, .backends = 1, .counters = 2};
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

TEST_CASE("typed maps are filled, walked and erased from") {
  Options options;
  const auto plane = opened(options);
  const auto& locals = plane->tables().locals;
  const auto address = [](std::uint32_t i) {
    return local_key_of(
        IpAddress::v4({10, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}));
  };
  for (std::uint32_t i = 0; i < LOCALS_MAX; i++)
    expect(locals.put(address(i), static_cast<std::uint8_t>(i)));
  expect(locals.put(address(7), 7));                            // again
  CHECK_FALSE(locals.put(address(LOCALS_MAX), 0).has_value());  // full
  std::uint64_t seen = 0;
  expect(locals.for_each([&](const abi::local_key& key, std::uint8_t value) {
    seen++;
    if (value % 2 == 0) CHECK(locals.erase(key).has_value());
  }));
  CHECK(seen == LOCALS_MAX);
  CHECK(expect(locals.count()) == LOCALS_MAX / 2);
  CHECK(expect(locals.erase(address(8))) == Erased::was_absent);

  const auto& allowed = plane->tables().allow6;
  CHECK(expect(allowed.keys()).empty());
  for (const char* prefix : {"2001:db8::/32", "2001:db8::/48", "::/0"})
    expect(allowed.insert(allow_key6_of(3, *Prefix::parse(prefix))));
  CHECK(expect(allowed.keys()).size() == 3);
  CHECK(expect(allowed.erase(allow_key6_of(3, *Prefix::parse("::/0")))) == Erased::yes);
  CHECK(expect(allowed.keys()).size() == 2);
}

TEST_CASE("the flow memory changes its size while nothing is in it") {
  const PinPath path;
  Options options = small(path);
  auto plane = opened(options);
  const bool moving = GENERATE(false, true);
  if (moving) plane->tables().row(9) = ROW_MOVING | 1;
  plane.reset();
  options.sizes.flow_lines = 1000;
  options.sizes.start_lines = 500;
  plane = opened(options);
  CHECK(plane->sizes().flow_lines == (moving ? 4 : 1000));
  CHECK(plane->sizes().start_lines == (moving ? 2 : 500));
  CHECK(plane->tables().adopts.size() == plane->sizes().start_lines);
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
    CHECK(plane->sizes() ==
          Sizes{.rows = 64, .backends = 4, .counters = 4, .flow_lines = 4, .start_lines = 2});
    plane->tables().row(63) = 0x1234;
    plane->tables().side[63].home = 7;
    plane->tables().backends[3].generation = 9;
    plane->tables().services[5].name[0] = 'w';
    plane->tables().address_filter[1023] = 11;
    store_flow(plane->tables(), 3);
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
  CHECK(stored_slot(plane->tables()) == 3);
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
  const std::uint32_t frontends = id_of(path / "lbd_frontends4");

  const Sizes wanted{.rows = 65, .backends = 9, .counters = 5, .flow_lines = 5, .start_lines = 2};
  expect(plane->grow(wanted));
  CHECK(plane->sizes() ==
        Sizes{.rows = 96, .backends = 9, .counters = 5, .flow_lines = 5, .start_lines = 2});
  const auto check = [&] {
    Tables& tables = plane->tables();
    CHECK(tables.ring.size() == 3);
    CHECK(tables.side.size() == 96);
    CHECK(tables.row(63) == 0x7001);
    CHECK(tables.side[63].refused == 17);
    CHECK(tables.backends[3].generation == 9);
    CHECK(packets_counted(tables, 1) == 1);
    CHECK(packets_counted(tables, 3) == 100);
    CHECK(tables.flows.size() == 5);
    CHECK(tables.flow_details.size() == 20);
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
  const char* const replaced[] = {"lbd_side", "lbd_counters", "lbd_counted"};
  std::vector<Fd> pins;
  for (const char* name : replaced) pins.emplace_back(bpf_obj_get((path / name).c_str()));
  expect(plane->grow({.rows = 96, .backends = 4, .counters = 5}));
  plane->tables().side[1].refused = 50;
  plane.reset();

  // As if the swap had only just been decided, and the old program still had packets.
  const std::uint32_t row = 1;
  abi::side side{};
  side.refused = 70;
  REQUIRE(bpf_map_update_elem(pins[0].get(), &row, &side, BPF_ANY) == 0);
  const std::uint32_t index = 2;
  std::vector<abi::counter> cpus(static_cast<std::size_t>(libbpf_num_possible_cpus()), {1, 10});
  REQUIRE(bpf_map_update_elem(pins[1].get(), &index, cpus.data(), BPF_ANY) == 0);
  for (int round = 0; round < 2; round++) {
    REQUIRE(::mkdir((path / "old").c_str(), 0700) == 0);
    for (std::size_t i = 0; i < pins.size(); i++)
      REQUIRE(bpf_obj_pin(pins[i].get(), (path / "old" / replaced[i]).c_str()) == 0);
    plane = opened(small(path));
    CHECK(plane->tables().side[1].refused == 70);
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
  plane->tables().row(8) = ROW_MOVING;
  store_flow(plane->tables(), 3);
  plane.reset();
  for (int round = 0; round < 40; round++) {
    INFO("round " << round);
    options.sizes.rows += 32;
    options.sizes.counters++;
    options.sizes.flow_lines++;
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
    CHECK(stored_slot(plane->tables()) == 3);  // a row moves: its table stays
    CHECK(plane->sizes().flow_lines == 4);
    CHECK_FALSE(fs::exists(path / "old"));
    CHECK_FALSE(fs::exists(path / "next"));
    plane.reset();
  }
}

TEST_CASE("bpffs is mounted for its owner alone where none is") {
  const std::string elsewhere = "/tmp/lbd-test-" + std::to_string(::getpid());
  const struct {
    fs::path path, mount;
  } cases[] = {{"/sys/fs/bpf/lbd", "/sys/fs/bpf"},
               {"/sys/fs/bpf/group/lbd", "/sys/fs/bpf"},
               {elsewhere + "/a/b/lbd", elsewhere + "/a/b"}};
  for (const auto& c : cases) {
    INFO(c.path);
    // In a mount namespace of its own, which goes with the child.
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      if (::unshare(CLONE_NEWNS) != 0 ||
          ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        ::_exit(2);
      while (::umount2("/sys/fs/bpf", MNT_DETACH) == 0) continue;
      Options options;
      options.pin_path = c.path;
      if (!DataPlane::open(options, quiet)) ::_exit(3);
      struct statfs mounted {};
      struct stat root {};
      if (::statfs(c.mount.c_str(), &mounted) != 0 || mounted.f_type != BPF_FS_MAGIC) ::_exit(4);
      if (::stat(c.mount.c_str(), &root) != 0 || (root.st_mode & 0777) != 0700) ::_exit(5);
      ::_exit(fs::exists(c.path / "lbd_ring") ? 0 : 6);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
  fs::remove_all(elsewhere);
}

TEST_CASE("every map's memory is known") {
  Options options;
  options.sizes = {.rows = 65536, .backends = 100, .counters = 100, .flow_lines = 1000};
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
    if (map.name == "lbd_flow_detail") CHECK(map.entries == 0);
    if (map.name != "lbd_allow4" && map.name != "lbd_allow6") CHECK(map.bytes > 0);
  }
}
