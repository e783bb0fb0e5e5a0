// The scenarios of docs/performance.md's table, with their numbers; small ones in each run, those
// of 100 backends and 100,000 flows on request: lbd-flow-tests "[long]".
#include <fmt/format.h>

#include <functional>

#include "world.h"

namespace {

using namespace lbd;
using test::As;
using test::Flood;
using test::Settings;
using test::World;

/// Lets time pass, with what must be true looked at now and then.
void run(World& world, unsigned seconds) {
  for (unsigned left = seconds; left > 0;) {
    const unsigned step = std::min(left, 30U);
    world.run(step);
    left -= step;
    REQUIRE(world.violation() == "");
  }
}

void finish(const char* name, World& world, unsigned until) {
  const auto now = static_cast<unsigned>(world.time());
  if (now < until) run(world, until - now);
  CHECK(world.tally.broken == 0);
  CHECK(world.tally.misled == 0);
  CHECK(world.tally.unkept == 0);
  CHECK(world.tally.yielded == 0);
  CHECK(world.tally.no_backend == 0);
  test::print(name, world);
}

/// Every backend is replaced, one each 6 s: the old one drains for a minute, then it is gone.
void roll(World& world, unsigned count) {
  const unsigned first_new = world.site.size();
  for (unsigned i = 0; i < count + 12; i++) {
    if (i < count) {
      world.set(first_new + i, As::up);
      world.set(i, As::drained);
    }
    if (i >= 10 && i - 10 < count) world.set(i - 10, As::disabled);
    if (i >= 11 && i - 11 < count) world.set(i - 11, As::absent);
    world.apply();
    run(world, 6);
  }
}

void flap(World& world, As down, unsigned times) {
  for (unsigned i = 0; i < times; i++) {
    world.set(7, i % 2 == 0 ? down : As::up);
    world.apply();
    run(world, 10);
  }
}

void grow_and_shrink(World& world, unsigned count) {
  const unsigned first_new = world.site.size();
  for (unsigned i = 0; i < count; i++) {
    world.set(first_new + i, As::up);
    world.apply();
    run(world, 3);
  }
  run(world, 540);
  for (unsigned i = 0; i < count; i++) {
    world.set(first_new + i, As::drained);
    world.apply();
    run(world, 3);
  }
}

struct Scenario {
  const char* name;
  std::function<void(World&)> happens;
};

Settings large(std::uint64_t seed) {
  Settings settings{.seed = seed, .rows = 1009, .backends = 100, .spoofed = 2};
  settings.idle = {.tcp = std::chrono::seconds{900},
                   .tcp_closing = std::chrono::seconds{120},
                   .udp = std::chrono::seconds{60},
                   .change_wait = std::chrono::seconds{600}};
  return settings;
}

}  // namespace

TEST_CASE("twenty backends are rolled and no flow breaks") {
  World world{{.seed = test::seed_of_run(), .backends = 20, .spoofed = 2}};
  INFO("LBD_SEED=" << world.settings.seed);
  run(world, 60);
  roll(world, 20);
  finish("20 backends rolled", world, 0);
}

TEST_CASE("a hundred backends under a hundred thousand flows", "[.long]") {
  const std::uint64_t seed = test::seed_of_run();
  const Scenario scenarios[] = {
      {"100 backends rolled in 10 min", [](World& world) { roll(world, 100); }},
      {"one backend flapping each 10 s, keep",
       [](World& world) { flap(world, As::down_keep, 60); }},
      {"one backend flapping each 10 s, reselect",
       [](World& world) { flap(world, As::down_reselect, 60); }},
      {"a fifth more, then a fifth less", [](World& world) { grow_and_shrink(world, 20); }},
      {"100 rolled in a flood of spoofed SYNs",
       [](World& world) {
         world.flood(Flood::syn, 2000);
         roll(world, 100);
       }},
  };
  for (const Scenario& scenario : scenarios) {
    INFO("LBD_SEED=" << seed << ", " << scenario.name);
    World world{large(seed)};
    run(world, 300);
    scenario.happens(world);
    finish(scenario.name, world, 2700);
    CHECK(world.tally.flows > 100'000);
  }
}
