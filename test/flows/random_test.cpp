// Random changes under random flows, with attackers, refusals and daemons that die: no flow breaks
// whose backend lives, no start is misled.
#include <fmt/format.h>

#include <cstdio>

#include "world.h"

namespace {

using namespace lbd;
using test::As;
using test::Flood;
using test::Settings;
using test::World;

/// One change of one backend's state or weight.
void change_one(World& world) {
  const unsigned backend = world.up_to(world.site.size() - 1);
  if (world.up_to(4) == 0) {
    world.site.weigh(backend, static_cast<std::uint16_t>(25 * world.up_to(6)));
    return;
  }
  constexpr As states[] = {As::up,        As::up,        As::up,       As::drained,
                           As::down_keep, As::down_keep, As::disabled, As::down_reselect,
                           As::absent};
  world.set(backend, states[world.up_to(std::size(states) - 1)]);
}

void change_some(World& world) {
  for (unsigned i = world.up_to(2); i < 3; i++) change_one(world);
  if (world.up_to(9) == 0 && world.site.size() < 24) world.set(world.site.size(), As::up);
  // A service without any backend is another test's.
  if (!world.site.takes_new(0) && world.up_to(1) == 0) world.site.set(0, As::up).weigh(0, 100);
  bool any = false;
  for (unsigned backend = 0; backend < world.site.size(); backend++)
    any = any || world.site.takes_new(backend);
  if (!any) world.site.set(1, As::up).weigh(1, 100);
}

void report(const char* name, const World& world) {
  const test::Tally& t = world.tally;
  std::printf(
      "%-28s %7.0f s  %7llu flows  %8llu packets  %8llu spoofed | broken %llu misled %llu | "
      "unkept %llu yielded %llu stopgap %llu lost %llu never %llu | moving %.3f entries %llu\n",
      name, world.time(), (unsigned long long)t.flows, (unsigned long long)t.packets,
      (unsigned long long)t.spoofed, (unsigned long long)t.broken, (unsigned long long)t.misled,
      (unsigned long long)t.unkept, (unsigned long long)t.yielded, (unsigned long long)t.stopgap,
      (unsigned long long)t.lost, (unsigned long long)t.never,
      t.seconds == 0
          ? 0
          : double(t.seconds_moving) / double(t.seconds) / double(2 * world.settings.rows),
      (unsigned long long)t.most_entries);
  std::fflush(stdout);
}

}  // namespace

TEST_CASE("random changes") {
  Settings settings{.seed = test::seed_of_run()};
  settings.spoofed = 3;
  World world{settings};
  INFO("LBD_SEED=" << settings.seed);
  world.packets_between_writes(20);
  world.run(100);
  for (int round = 0; round < 60; round++) {
    change_some(world);
    world.apply();
    INFO("round " << round << ", " << world.time() << " s");
    REQUIRE(world.violation().empty());
    for (unsigned left = world.up_to(10); left > 0; left--) {
      world.run(1);
      REQUIRE(world.violation() == "");
    }
    REQUIRE(world.tally.broken == 0);
    REQUIRE(world.tally.misled == 0);
  }
  report("random", world);
}
