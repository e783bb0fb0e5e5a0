#include "dying_daemon.h"
#include "peers.h"

using namespace lbd;
using test::As;
using test::Kind;
using test::Peer;
using test::Rig;

TEST_CASE("a row that goes back to its home waits for the starts of the owner it had") {
  Rig rig{3};
  rig.set(0, As::down_keep);
  const auto moved = rig.moving_from(0);
  REQUIRE(moved.size() > 50);
  rig.pass(30);
  std::vector<std::optional<unsigned>> owners;
  for (const Peer& peer : moved) owners.push_back(rig.syn(peer));
  rig.set(0, As::up);
  rig.sweep();
  rig.pass(1);
  for (std::size_t i = 0; i < moved.size(); i++) CHECK(rig.ack(moved[i]) == owners[i]);
}

TEST_CASE("a daemon that dies while it takes a dead owner off a row leaves no clock early") {
  for (unsigned n = 0;; n += n < 12 ? 1 : 13) {  // rows are alike
    INFO("ended before write " << n);
    Rig rig{3};
    rig.set(0, As::down_keep);
    rig.set(0, As::up);  // rows with home == cur
    const auto mine = rig.owned_by(0);
    for (const Peer& peer : mine) REQUIRE(rig.syn(peer) == 0);
    for (const Peer& peer : mine) REQUIRE(rig.ack(peer) == 0);
    rig.pass(400);
    for (const Peer& peer : mine) REQUIRE(rig.ack(peer) == 0);
    rig.site.set(0, As::disabled);
    const bool ended = test::ends_before_write(n, [&] { rig.apply(); });
    rig.kernel.restart();
    rig.set(0, As::drained);  // its operator thought better of it
    if (!ended) break;
    std::vector<Peer> home;  // the others have another home: they were given up
    for (const Peer& peer : mine)
      if (rig.home_of(peer) == 0U) home.push_back(peer);
    rig.sweep();
    for (const Peer& peer : home) CHECK(rig.ack(peer) == 0);
  }
}

TEST_CASE("what a disabled backend had is not its again once it is removed") {
  for (const As dead : {As::disabled, As::down_reselect}) {
    Rig rig{3};
    rig.set(0, As::drained);
    const auto moved = rig.moving_from(0, Protocol::udp);
    REQUIRE(moved.size() > 30);
    for (const Peer& peer : moved) REQUIRE(rig.send(peer, Kind::udp) == 0);  // stored
    rig.set(0, dead);
    rig.set(0, As::absent);
    for (const Peer& peer : moved) CHECK(rig.send(peer, Kind::udp) != 0);
  }
}

TEST_CASE(
    "a connection that took over a tuple goes on where it began when the old backend returns") {
  Rig rig{3};
  rig.set(0, As::down_keep);
  auto moved = rig.moving_from(0);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);  // stored
  std::vector<std::optional<unsigned>> owners;
  for (Peer& peer : moved) {
    peer.isn += 1 << 30;
    owners.push_back(rig.syn(peer));
    REQUIRE(owners.back() != 0);
  }
  rig.set(0, As::up);
  for (std::size_t i = 0; i < moved.size(); i++) CHECK(rig.ack(moved[i]) == owners[i]);
}

TEST_CASE("a connection that took over a tuple goes on where it began when the old backend goes") {
  Rig rig{4};
  rig.set(0, As::drained);
  auto moved = rig.moving_from(0);
  std::vector<std::optional<unsigned>> owners;
  for (Peer& peer : moved) {
    REQUIRE(rig.ack(peer) == 0);  // stored
    peer.isn += 1 << 30;
    owners.push_back(rig.syn(peer));
    REQUIRE(owners.back() != 0);
  }
  rig.site.set(4, As::up).set(5, As::up).set(0, As::disabled);
  rig.apply();
  for (std::size_t i = 0; i < moved.size(); i++) CHECK(rig.ack(moved[i]) == owners[i]);
}

TEST_CASE("a tuple used again just as its old entry is forgotten begins only once") {
  Rig rig{3};
  rig.site.up(4);
  rig.apply();
  std::vector<Peer> moved;
  for (const Peer& peer : test::peers(600))
    if (rig.row_of(peer).moving && rig.owner_of(peer) == 3U) moved.push_back(peer);
  REQUIRE(moved.size() > 30);
  for (const Peer& peer : moved) REQUIRE(rig.syn(peer) == 3);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 3);
  for (const Peer& peer : moved) REQUIRE(rig.send(peer, Kind::fin) == 3);
  rig.pass(60);
  for (Peer& peer : moved) peer.isn += 1 << 30;
  std::vector<std::optional<unsigned>> owners;
  for (const Peer& peer : moved) owners.push_back(rig.syn(peer));
  rig.pass(1);
  rig.sweep();
  for (std::size_t i = 0; i < moved.size(); i++) CHECK(rig.ack(moved[i]) == owners[i]);
}

TEST_CASE(
    "a SYN spoofed beside a stored flow is forgotten before a long upload comes to its number") {
  Rig rig{3};
  rig.set(0, As::drained);
  const auto moved = rig.moving_from(0);
  constexpr std::uint32_t ahead = 10'000'000;
  for (const Peer& peer : moved) {
    REQUIRE(rig.ack(peer) == 0);
    REQUIRE(rig.send(peer, Kind::syn, ahead) != 0);
  }
  rig.pass(17);
  for (const Peer& peer : moved) CHECK(rig.send(peer, Kind::data, ahead / 2) == 0);
  rig.pass(300);  // whatever a second of 8 bits makes of it
  for (const Peer& peer : moved) CHECK(rig.send(peer, Kind::data, ahead + 1) == 0);
}

TEST_CASE("the copy of a SYN beside a stored flow goes where the first one went") {
  Rig rig{3};
  rig.set(0, As::drained);
  auto moved = rig.moving_from(0);
  std::vector<std::optional<unsigned>> owners;
  for (Peer& peer : moved) {
    REQUIRE(rig.ack(peer) == 0);
    peer.isn += 1 << 30;
    owners.push_back(rig.syn(peer));
  }
  rig.site.set(1, As::drained).set(3, As::up).set(4, As::up);
  rig.apply();
  rig.pass(1);
  for (std::size_t i = 0; i < moved.size(); i++) CHECK(rig.syn(moved[i]) == owners[i]);
  for (std::size_t i = 0; i < moved.size(); i++) CHECK(rig.ack(moved[i]) == owners[i]);
}

TEST_CASE("an idle flow that is seen while the daemon is about to forget it stays known") {
  Rig rig{3};
  rig.set(0, As::drained);
  const auto moved = rig.moving_from(0);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
  rig.pass(100);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
  rig.pass(202);
  rig.sweep();  // homes are given up, the flows wait for their end
  for (const Peer& peer : moved) REQUIRE(rig.row_of(peer).home == rig.row_of(peer).owner);
  rig.pass(100);
  test::with_packets_between(
      [&] {
        for (const Peer& peer : moved)
          if (rig.kernel.stored(peer.tuple())) rig.ack(peer);
      },
      [&] { rig.sweep(); });
  for (const Peer& peer : moved) CHECK(rig.ack(peer) == 0);
}

TEST_CASE("a flow that ends after a long silence is known until its last packets have come") {
  Rig rig{3};
  rig.set(0, As::drained);
  const auto moved = rig.moving_from(0);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
  rig.pass(200);
  for (const Peer& peer : moved) REQUIRE(rig.send(peer, Kind::fin) == 0);
  rig.sweep();
  REQUIRE(rig.entries() == moved.size());
  rig.pass(30);
  for (const Peer& peer : moved) REQUIRE(rig.send(peer, Kind::fin) == 0);  // keeps nothing
  rig.pass(31);
  rig.sweep();
  CHECK(rig.entries() == 0);
}

TEST_CASE("a half-closed flow after a long silence stays where it lives") {
  Rig rig{3};
  rig.set(0, As::drained);
  const auto moved = rig.moving_from(0);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
  rig.site.set(0, As::down_keep);
  rig.pass(200);
  for (const Peer& peer : moved) REQUIRE(rig.send(peer, Kind::fin) == 0);
  for (unsigned i = 0; i < 3; i++) {
    rig.pass(50);
    rig.sweep();
    REQUIRE(rig.entries() == moved.size());
    for (const Peer& peer : moved) CHECK(rig.send(peer, Kind::ack, 2) == 0);
  }
}
