// The program on interfaces of network namespaces: needs root and veth.
#include "lb/dataplane/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "dataplane_lab.h"

using namespace lbd;
using namespace lbd::dataplane;
using namespace lbd::dataplane::test;
using namespace std::chrono_literals;

namespace {

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
  expect(plane->grow({.rows = 1000, .backends = 0, .counters = 0}));
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
  expect(plane->grow({.rows = 1000, .backends = 0, .counters = 0}));
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
    const auto grown = plane->grow({.rows = 0, .backends = 0, .counters = counters});
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
