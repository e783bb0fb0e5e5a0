// A daemon killed before any of its writes: a child is killed there in earnest, and a successor
// takes over the maps that both have in memory.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "kernel_fixture.h"
#include "lb/dataplane/fault_point.h"

namespace {

using namespace lbd;
using test::Client;
using test::ip;
using test::Kernel;
using test::Kind;
using test::Web;

int writes_left;  // of the child

void die_when_none_is_left() {
  if (writes_left-- == 0) ::kill(::getpid(), SIGKILL);
}

/// Does `work` in a child that is killed before its n-th write, from 0. False: it had fewer.
bool killed_at(int n, const std::function<void()>& work) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    writes_left = n;
    dataplane::before_map_write = die_when_none_is_left;
    work();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE((WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0));
  return WIFSIGNALED(status);
}

/// One of two services side by side, so that whatever strays is seen.
Web service(std::string_view name, std::uint8_t network, unsigned backends) {
  Web web;
  web.service.name = name;
  web.service.addresses = {IpAddress::v4({203, 0, 113, network}),
                           ip("2001:db8::" + std::to_string(network))};
  web.service.table_size = 251;
  for (unsigned i = 1; i <= backends; i++)
    web.backend("10." + std::to_string(network) + ".0." + std::to_string(i));
  return web;
}

config::Config both(const Web& one, const Web& other) {
  config::Config config;
  config.services = {one.service, other.service};
  return config;
}

struct Flow {
  IpAddress vip;
  Client client;
  IpAddress owner;
};

class World {
 public:
  Kernel kernel;

  void begin(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
      const std::uint8_t network = i % 2 == 0 ? 1 : 2;
      const IpAddress vip = i % 4 < 2 ? IpAddress::v4({203, 0, 113, network})
                                      : ip("2001:db8::" + std::to_string(network));
      const auto low = static_cast<std::uint8_t>(flows_.size());
      const Client client{
          i % 4 < 2 ? IpAddress::v4({198, 51, 100, low}) : ip("2001:db8:c::" + std::to_string(low)),
          static_cast<std::uint16_t>(1024 + flows_.size() * 7)};
      const auto owner = kernel.backend_of(test::frame_to(vip, client, Kind::syn));
      REQUIRE(owner);
      packets_++;
      flows_.push_back({vip, client, *owner});
    }
  }
  /// Every flow is where it was; every packet is counted once, by its own service.
  void check(bool counts = true) {
    for (const Flow& flow : flows_) {
      const auto now = kernel.backend_of(test::frame_to(flow.vip, flow.client, Kind::ack));
      INFO(flow.vip.str() << " from " << flow.client.address.str());
      REQUIRE(now == flow.owner);
      packets_++;
    }
    if (!counts) return;
    std::uint64_t sum = 0;
    for (const auto& one : kernel.snapshot().services)
      for (const auto& port : one.ports) sum += port.count.packets;
    CHECK(sum == packets_);
  }

 private:
  std::vector<Flow> flows_;
  std::uint64_t packets_ = 0;
};

struct Change {
  const char* name;
  config::Config before;
  config::Config after;
};

/// Kills a daemon at the n-th write of `change`, or lets it go through; then a successor comes.
bool survives(const Change& change, int n) {
  INFO(change.name << ", killed before write " << n);
  World world;
  world.kernel.apply(change.before);
  world.begin(60);
  const bool killed = killed_at(n, [&] { world.kernel.apply(change.after); });
  world.check(false);  // nobody is there: packets go on
  world.kernel.restart();
  if (n % 2 == 0) {
    world.kernel.apply(change.after);
  } else {  // the successor's file is the old one again, or it is refused: no service strays
    world.kernel.apply(change.before);
    world.check();
    world.kernel.apply(change.after);
  }
  world.check();
  CHECK(world.kernel.apply(change.after).writes == 0);
  world.begin(8);
  world.check();
  return killed;
}

/// Rows are alike: all writes at the ends, one in `stride` between.
void change_under_deaths(int stride) {
  Web drained = service("one", 1, 3);
  drained.service.backends[1].state = AdminState::drain;
  const Change changes[] = {
      {"a service outgrows its place", both(service("one", 1, 3), service("two", 2, 3)),
       both(service("one", 1, 12), service("two", 2, 3))},
      {"both outgrow theirs", both(service("one", 1, 3), service("two", 2, 3)),
       both(service("one", 1, 12), service("two", 2, 12))},
      {"a backend is drained", both(service("one", 1, 3), service("two", 2, 3)),
       both(drained, service("two", 2, 3))},
      {"one is added, one removed", both(service("one", 1, 3), service("two", 2, 3)),
       both(service("one", 1, 2), service("two", 2, 4))},
  };
  for (const Change& change : changes) {
    int n = 0;
    while (survives(change, n)) n += n < 40 ? 1 : stride;
    CHECK(n > 10);
  }
}

}  // namespace

TEST_CASE("a daemon killed before a write of a change leaves flows and counts whole") {
  change_under_deaths(61);
}

TEST_CASE("the same before every single write", "[.long]") {
  change_under_deaths(1);
}

TEST_CASE("a daemon killed while it sweeps neither loses nor repeats anything") {
  constexpr std::chrono::seconds idle{30};
  int n = 0;
  for (bool killed = true; killed; n += n < 20 ? 1 : 31) {
    INFO("killed before write " << n);
    World world;
    world.kernel.apply(both(service("one", 1, 3), service("two", 2, 3)));
    world.begin(60);
    world.kernel.apply(both(service("one", 1, 2), service("two", 2, 3)));
    world.check();
    world.kernel.pass(idle + std::chrono::seconds{2});
    const auto sweep = [&] { world.kernel.sweep(idle); };
    killed = killed_at(n, sweep);  // gives up homes, forgets flows that are idle
    world.kernel.restart();
    sweep();
    world.kernel.pass(std::chrono::seconds{20});
    killed = killed_at(n, sweep) || killed;  // settles rows, frees the removed backend
    world.kernel.restart();
    // A clock that the dead daemon had just set is late by an idle time, never early.
    for (const auto time : {idle + std::chrono::seconds{2}, std::chrono::seconds{20}}) {
      world.kernel.pass(time);
      sweep();
    }
    CHECK(world.kernel.snapshot().rows_moving == 0);
    CHECK(world.kernel.snapshot().flows.entries == 0);
    std::uint64_t sum = 0;
    const auto snapshot = world.kernel.snapshot();
    for (const auto& one : snapshot.services)
      for (const auto& port : one.ports) sum += port.count.packets;
    CHECK(snapshot.services.at(0).backends.size() == 2);
    CHECK(sum == 120);
  }
  CHECK(n > 20);
}
