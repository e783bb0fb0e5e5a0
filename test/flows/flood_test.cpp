// What a flood must not stop: new backends get their share, drains end, known flows live.
#include <fmt/format.h>

#include "world.h"

namespace {

using namespace lbd;
using test::As;
using test::Flood;
using test::Settings;
using test::World;

constexpr unsigned backends = 10;
constexpr unsigned drained = 3;

/// Room for 48 starts and 12 adoptions a second on moving rows, and for 2,000 flows.
Settings settings_of(std::uint64_t seed) {
  Settings settings{.seed = seed,
                    .backends = backends,
                    .flows_per_row = 10,
                    .flow_entries = 2048,
                    .start_cells = 512};
  settings.idle = {.tcp = std::chrono::seconds{60},
                   .tcp_closing = std::chrono::seconds{20},
                   .udp = std::chrono::seconds{20},
                   .change_wait = std::chrono::seconds{60}};
  return settings;
}

/// Of flows that begin within so many seconds, the newest backend's part times the number of
/// backends that take new flows: 1 is fair.
double share_of_newest(World& world, unsigned seconds) {
  unsigned taking = 0;
  for (unsigned backend = 0; backend < world.site.size(); backend++)
    taking += world.site.takes_new(backend) ? 1 : 0;
  const auto before = world.tally;
  world.run(seconds);
  return static_cast<double>(world.tally.to_last - before.to_last) * taking /
         static_cast<double>(world.tally.begun - before.begun);
}

bool is_home(const World& world, unsigned backend) {
  const auto slot = world.memory.slot_of(test::Site::address(backend));
  for (const auto& row : world.memory.rows())
    if (row.moving && row.home == slot) return true;
  return false;
}

struct Case {
  Flood flood;
  unsigned rate;  ///< packets a second
  bool fits;      ///< what it stores on the rows of one change
};

/// A tenth of the rows moves, and so meets a tenth of the flood.
void withstand(const Case& c, std::uint64_t seed) {
  const auto name = fmt::format("{} {}/s", to_string(c.flood), c.rate);
  INFO("LBD_SEED=" << seed << ", " << name);
  World world{settings_of(seed)};
  world.run(60);
  world.flood(c.flood, c.rate);
  world.run(2);

  world.set(backends, As::up);
  world.apply();
  if (c.fits) CHECK(share_of_newest(world, 40) > 0.6);
  world.run(c.fits ? 30 : 80);  // changeWait, and what it takes to be sure
  CHECK(share_of_newest(world, 60) > 0.7);
  REQUIRE(world.tally.broken == 0);
  CHECK(world.violation() == "");

  world.set(drained, As::absent);
  world.apply();
  world.run(80);
  CHECK(world.tally.broken == 0);
  CHECK(is_home(world, drained) != c.fits);  // a drained home waits for those without room
  if (c.fits) {
    CHECK(world.tally.misled + world.tally.unkept + world.tally.yielded == 0);
  } else {
    world.flood(Flood::none, 0);
    world.run(30);  // rows that refused hold for a while
  }
  world.hang_up(drained);
  world.run(160);
  CHECK(world.violation() == "");
  CHECK_FALSE(world.memory.slot_of(test::Site::address(drained)).has_value());
  CHECK(world.tally.broken == 0);
  test::print(name.c_str(), world);
}

}  // namespace

TEST_CASE("under a flood new backends get their share, drains end and known flows live") {
  constexpr Case cases[] = {
      {Flood::syn, 200, true},
      {Flood::ack, 1500, false},
      {Flood::syn_ack_pairs, 1000, false},
      {Flood::rst, 500, true},
  };
  for (const Case& c : cases) withstand(c, test::seed_of_run());
}

TEST_CASE("the same under every flood, with room for it and without", "[.long]") {
  constexpr Case cases[] = {
      {Flood::none, 0, true},
      {Flood::syn, 300, true},
      {Flood::syn, 3000, false},
      {Flood::ack, 50, true},
      {Flood::ack, 3000, false},
      {Flood::syn_ack_pairs, 50, true},
      {Flood::syn_ack_pairs, 3000, false},
      {Flood::fin, 3000, true},
      {Flood::rst, 3000, true},
      {Flood::udp, 50, true},
      {Flood::udp, 3000, false},
  };
  for (std::uint64_t more = 0; more < 3; more++)
    for (const Case& c : cases) withstand(c, test::seed_of_run() + more);
}
