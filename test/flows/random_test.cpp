// Random changes under random flows, with attackers, refusals and daemons that die: no flow breaks
// whose backend lives, no start is misled.

#include <utility>

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
  if (world.up_to(9) == 0) {  // a process that dies, and is not found dead until a later change
    const unsigned backend = world.up_to(world.site.size() - 1);
    world.up_to(1) == 0 ? world.kill(backend) : world.revive(backend);
  }
  bool any = false;  // a service without any backend is another test's
  for (unsigned backend = 0; backend < world.site.size(); backend++)
    any = any || world.site.takes_new(backend);
  if (!any) world.site.set(1, As::up).weigh(1, 100);
}

/// Second by second, with all that must be true after each.
void run(World& world, unsigned seconds) {
  for (; seconds > 0; seconds--) {
    world.run(1);
    REQUIRE(world.violation() == "");
  }
  REQUIRE(world.tally.broken == 0);
  REQUIRE(world.tally.no_backend == 0);
}

/// All changes and traffic end: so do all rows' moves, and all that is stored.
void settle(World& world) {
  world.flood(Flood::none, 0);
  world.stop_arrivals();
  world.settings.spoofed = 0;
  if (!world.has_daemon()) world.apply();
  const auto settled = [&] { return test::unsettled(world.memory).empty() && world.living() == 0; };
  world.settings.scan_each = 20;
  for (int i = 0; i < 200 && !settled(); i++) run(world, 20);
  REQUIRE(world.living() == 0);
  REQUIRE(test::unsettled(world.memory) == "");
}

void change_at_random(std::uint64_t seed) {
  const Settings settings{.seed = seed, .spoofed = 3, .scan_each = 2};
  World world{settings};
  world.packets_between_writes(20);
  run(world, 100);
  for (int round = 0; round < 40; round++) {
    INFO("LBD_SEED=" << settings.seed << ", round " << round << ", " << world.time() << " s");
    change_some(world);
    world.apply();
    REQUIRE(world.violation() == "");
    if (world.up_to(1) == 0) world.sweep();
    run(world, world.up_to(10));
    REQUIRE(world.tally.misled == 0);
  }
  settle(world);
  CHECK(world.tally.unkept + world.tally.yielded == 0);
  CHECK(world.tally.begun > 5'000);
  test::print("random changes", world);
}

void change_without_room(std::uint64_t seed) {
  Settings settings{.seed = seed, .spoofed = 3, .flow_entries = 1500, .start_cells = 512};
  settings.idle.change_wait = std::chrono::hours{24};
  World world{settings};
  world.packets_between_writes(20);
  run(world, 100);
  std::int64_t taken = 0;  // tokens of adoption
  for (int round = 0; round < 40; round++) {
    INFO("LBD_SEED=" << settings.seed << ", round " << round << ", " << world.time() << " s");
    std::int64_t& tokens = *world.kernel.plane().tables().adopt_tokens;
    if (round % 6 == 2) taken = std::exchange(tokens, 0);
    if (round % 6 == 5) tokens += std::exchange(taken, 0);
    constexpr Flood floods[] = {Flood::none,          Flood::none, Flood::syn, Flood::ack,
                                Flood::syn_ack_pairs, Flood::fin,  Flood::rst, Flood::udp};
    world.flood(floods[world.up_to(std::size(floods) - 1)], 10 + world.up_to(1000));
    change_some(world);
    world.apply();
    REQUIRE(world.violation() == "");
    run(world, world.up_to(10));
  }
  settle(world);
  CHECK(world.tally.spoofed > 10'000);
  test::print("random changes, no room", world);
}

void change_and_die(std::uint64_t seed) {
  const Settings settings{.seed = seed, .spoofed = 3};
  World world{settings};
  run(world, 100);
  unsigned deaths = 0;
  for (int round = 0; round < 40; round++) {
    INFO("LBD_SEED=" << settings.seed << ", round " << round << ", " << world.time() << " s");
    change_some(world);
    // Most changes have some hundred writes, most rounds of a sweep some ten.
    const bool in_sweep = world.up_to(3) == 0;
    const unsigned writes = world.up_to(1) == 0 ? world.up_to(20) : world.up_to(600);
    if (in_sweep) world.apply();
    const bool died = in_sweep ? world.sweep_and_die(writes) : world.apply_and_die(writes);
    deaths += died ? 1 : 0;
    REQUIRE(world.violation() == "");
    run(world, world.up_to(died ? 5 : 10));
    if (world.up_to(1) == 0) change_some(world);  // the successor finds another file
    if (world.up_to(3) == 0) world.restart();
    world.apply();
    REQUIRE(world.violation() == "");
    run(world, world.up_to(5));
    REQUIRE(world.tally.misled == 0);
  }
  settle(world);
  CHECK(world.tally.unkept + world.tally.yielded == 0);
  CHECK(deaths > 5);
  test::print("random changes, deaths", world);
}

}  // namespace

TEST_CASE("random changes break no flow whose backend lives and mislead no start") {
  change_at_random(test::seed_of_run());
}

TEST_CASE("random changes break no flow while there is room for few, or for none at times") {
  change_without_room(test::seed_of_run());
}

TEST_CASE("random changes break no flow when daemons die before any of their writes") {
  change_and_die(test::seed_of_run());
}

TEST_CASE("the same with many seeds", "[.long]") {
  for (std::uint64_t more = 1; more <= 5; more++) {
    change_at_random(test::seed_of_run() + more);
    change_without_room(test::seed_of_run() + more);
    change_and_die(test::seed_of_run() + more);
  }
}
