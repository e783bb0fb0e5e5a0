// The flow memory's rules, one by one: what a row, a start, an entry and a slot may and may not do.
#include <algorithm>
#include <map>
#include <set>

#include "dying_daemon.h"
#include "peers.h"

namespace {

using namespace lbd;
using test::As;
using test::Kind;
using test::Peer;
using test::Rig;

/// One peer of each row.
std::vector<Peer> one_a_row(const Rig& rig, std::vector<Peer> peers) {
  std::set<std::uint32_t> rows;
  std::erase_if(peers,
                [&](const Peer& peer) { return !rows.insert(rig.row_of(peer).index).second; });
  return peers;
}

std::int64_t& tokens(Rig& rig) {
  return *rig.kernel.plane().tables().adopt_tokens;
}

/// Whether the peer's row has given its home up.
bool gave_up(const Rig& rig, const Peer& peer) {
  const auto row = rig.row_of(peer);
  return !row.moving || row.home == row.owner;
}

std::uint64_t count_given_up(const Rig& rig, const std::vector<Peer>& peers) {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(peers, [&](const Peer& peer) { return gave_up(rig, peer); }));
}

}  // namespace

// ---- Homes

TEST_CASE("no row has a home that serves no known flows, at any moment of a change") {
  for (const As before : {As::up, As::drained, As::down_keep})
    for (const As after : {As::disabled, As::down_reselect}) {
      Rig rig{3};
      rig.set(0, before);
      const auto peers = test::peers(100);
      for (const Peer& peer : peers) rig.ack(peer);
      const std::uint16_t slot = *rig.memory.slot_of(test::Site::address(0));
      unsigned late = 0;
      unsigned looked = 0;
      const auto look = [&] {
        looked++;
        const bool serves = (rig.memory.record(slot).flags & abi::BACKEND_SERVES_KNOWN) != 0;
        for (const auto& row : rig.memory.rows())
          late += !serves && (row.owner == slot || (row.moving && row.home == slot)) ? 1 : 0;
        const Peer& peer = peers[looked % peers.size()];
        late += !serves && rig.ack(peer) == 0 ? 1 : 0;
      };
      test::with_packets_between(look, [&] { rig.set(0, after); });
      look();
      CHECK(looked > 10);
      CHECK(late == 0);
    }
}

TEST_CASE(
    "a home that is down yields its rows to flows without room 15 s after their clock began") {
  struct Case {
    const char* name;
    As home;
    unsigned refused_at, swept_at;
    bool yields;
  };
  const Case cases[] = {
      {"down, and not yet 15 s", As::down_keep, 14, 15, false},
      {"down, after 15 s", As::down_keep, 14, 16, true},
      {"down, refused 10 s ago", As::down_keep, 6, 16, true},
      {"down, refused longer ago", As::down_keep, 5, 16, false},
      {"draining", As::drained, 14, 16, false},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    Rig rig{3};
    rig.set(0, c.home);
    const auto moved = rig.moving_from(0);
    tokens(rig) = 0;
    rig.pass(c.refused_at);
    for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
    rig.pass(c.swept_at - c.refused_at);
    CHECK((rig.sweep().rows_yielded != 0) == c.yields);
    CHECK(count_given_up(rig, moved) == (c.yields ? moved.size() : 0));
  }
}

TEST_CASE("a home that is down and refuses nobody keeps its rows") {
  Rig rig{3};
  rig.set(0, As::down_keep);
  const auto moved = rig.moving_from(0);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
  rig.pass(200);
  CHECK(rig.sweep().rows_yielded == 0);
  CHECK(count_given_up(rig, moved) == 0);
}

TEST_CASE(
    "changeWait: a home in service yields the rows that refuse for so long, a draining one never") {
  struct Case {
    const char* name;
    bool drained;
    bool once;
    std::optional<std::chrono::seconds> wait;
    bool yields;
  };
  const std::optional<std::chrono::seconds> forever;
  const Case cases[] = {
      {"in service, always refusing", false, false, std::chrono::seconds{100}, true},
      {"in service, always refusing, forever", false, false, forever, false},
      {"in service, refused once", false, true, std::chrono::seconds{100}, false},
      {"draining, always refusing", true, false, std::chrono::seconds{100}, false},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    Rig rig{3, 4};  // as good as no room
    rig.idle.change_wait = c.wait;
    rig.site.set(c.drained ? 0 : 3, c.drained ? As::drained : As::up);
    rig.apply();
    std::vector<Peer> moved;
    for (const Peer& peer : test::peers(400))
      if (!gave_up(rig, peer) && (!c.drained || rig.home_of(peer) == 0U)) moved.push_back(peer);
    std::vector<Peer> refused;
    const auto ack_all = [&] {
      for (const Peer& peer : moved) rig.ack(peer);
    };
    ack_all();
    rig.pass(1);
    ack_all();  // who was met before is kept now, if there is room
    for (const Peer& peer : moved)
      if (rig.row_of(peer).refused == rig.kernel.now()) refused.push_back(peer);
    REQUIRE(refused.size() > 50);
    rig.sweep();
    for (unsigned second = 5; second <= 100; second += 5) {
      rig.pass(5);
      if (!c.once) ack_all();
      REQUIRE(rig.sweep().rows_yielded == 0);
    }
    rig.pass(5);
    if (!c.once) ack_all();
    CHECK((rig.sweep().rows_yielded != 0) == c.yields);
    CHECK(count_given_up(rig, refused) == (c.yields ? refused.size() : 0));
    if (!c.drained) continue;
    for (unsigned second = 0; second < 1000; second += 5) {
      rig.pass(5);
      ack_all();
      REQUIRE(rig.sweep().rows_yielded == 0);
    }
    CHECK(count_given_up(rig, refused) == 0);
  }
}

TEST_CASE("a row that refused waits an idle time from its last refusal") {
  Rig rig{3, 4};
  rig.set(0, As::drained);
  const auto moved = rig.moving_from(0);
  rig.pass(200);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
  std::vector<Peer> refused;
  for (const Peer& peer : moved)
    if (rig.row_of(peer).refused == rig.kernel.now()) refused.push_back(peer);
  REQUIRE(refused.size() > 50);
  rig.pass(301);
  rig.sweep();
  CHECK(count_given_up(rig, refused) == 0);
  rig.pass(1);
  rig.sweep();
  CHECK(count_given_up(rig, refused) == refused.size());
}

TEST_CASE("a UDP row's clock is udpIdle, a TCP row's tcpIdle") {
  Rig rig{3};
  rig.set(0, As::drained);
  const auto tcp = rig.moving_from(0);
  const auto udp = rig.moving_from(0, Protocol::udp);
  REQUIRE(udp.size() > 50);
  const auto udp_given_up = [&] {
    return std::ranges::count_if(udp, [&](const Peer& peer) {
      const auto row = rig.row_of(peer, Protocol::udp);
      return !row.moving || row.home == row.owner;
    });
  };
  rig.pass(61);
  rig.sweep();
  CHECK(udp_given_up() == 0);
  rig.pass(1);
  rig.sweep();
  CHECK(udp_given_up() == static_cast<std::ptrdiff_t>(udp.size()));
  CHECK(count_given_up(rig, tcp) == 0);
  rig.pass(240);
  rig.sweep();
  CHECK(count_given_up(rig, tcp) == tcp.size());
}

TEST_CASE("unknown UDP goes to a home that is up or drains, not to one that is down") {
  struct Case {
    As home;
    bool goes_home;
  };
  for (const Case& c : {Case{As::up, true}, Case{As::drained, true}, Case{As::down_keep, false}}) {
    Rig rig{3};
    rig.site.set(0, c.home).weigh(0, c.home == As::up ? 25 : 100);
    rig.apply();
    const auto moved = rig.moving_from(0, Protocol::udp);
    REQUIRE(moved.size() > 20);
    for (const Peer& peer : moved) CHECK((rig.send(peer, Kind::udp) == 0U) == c.goes_home);
    for (const Peer& peer : moved)
      CHECK(rig.quic(peer) == (c.goes_home ? 0U : rig.owner_of(peer, Protocol::udp)));
  }
}

// ---- Starts

TEST_CASE(
    "a QUIC Initial of 1,200 bytes starts a flow with the new owner, a shorter datagram does not") {
  Rig rig{3};
  rig.set(0, As::drained);
  for (const Peer& peer : rig.moving_from(0, Protocol::udp)) {
    const bool starts = peer.client.port % 2 == 0;
    const auto to = rig.quic(peer, starts ? 1200 : 1199);
    CHECK((to == 0U) != starts);
    CHECK(rig.send(peer, Kind::udp) == to);
  }
}

TEST_CASE("a start is confirmed by what follows its SYN within 65,535 bytes, for 16 s") {
  struct Case {
    Kind kind;
    std::uint32_t offset;
    unsigned after;
    bool confirms;
  };
  const Case cases[] = {
      {Kind::ack, 1, 0, true},           {Kind::data, 65535, 0, true}, {Kind::ack, 65536, 0, false},
      {Kind::ack, 0, 0, false},          {Kind::ack, 1, 16, true},     {Kind::ack, 1, 17, false},
      {Kind::ack, 0xffffffff, 0, false},
  };
  for (const Case& c : cases) {
    INFO("offset " << c.offset << " after " << c.after << " s");
    Rig rig{3};
    rig.set(0, As::drained);
    for (const Peer& peer : rig.moving_from(0)) {
      const auto to = rig.syn(peer);
      REQUIRE(to != 0);
      rig.send(peer, Kind::syn, 0);  // a SYN confirms nothing
      REQUIRE_FALSE(rig.kernel.stored(peer.tuple()));
    }
    rig.pass(c.after);
    for (const Peer& peer : rig.moving_from(0)) {
      const auto owner = rig.owner_of(peer);
      CHECK(rig.send(peer, c.kind, c.offset) == (c.confirms ? owner : 0U));
    }
  }
}

TEST_CASE("what ends a flow neither confirms its start nor is sent elsewhere") {
  Rig rig{3};
  rig.set(0, As::drained);
  for (const Peer& peer : rig.moving_from(0)) {
    const auto to = rig.syn(peer);
    CHECK(rig.send(peer, Kind::rst) == to);
    CHECK_FALSE(rig.kernel.stored(peer.tuple()));
  }
}

TEST_CASE("no start of the last 8 s is overwritten, and a row that refused one holds for 8 s") {
  Rig rig{3, 4096, 8};
  rig.set(0, As::drained);
  const auto moved = one_a_row(rig, rig.moving_from(0));
  REQUIRE(moved.size() > 40);
  std::size_t next = 0;
  for (; next < 8; next++) REQUIRE(rig.syn(moved[next]) != 0);
  const Peer refused = moved[next++];
  CHECK(rig.syn(refused) == 0);
  for (const unsigned wait : {1, 2, 4}) {
    rig.pass(wait);
    CHECK(rig.syn(moved[next++]) == 0);  // on another row: it tries, and there is no room
    CHECK(rig.syn(refused) == 0);        // its copies go where it went
  }
  CHECK(rig.ack(refused) == 0);
  for (std::size_t i = 0; i < 8; i++) CHECK(rig.ack(moved[i]) != 0);  // they are all there
  CHECK(rig.entries() == 9);
}

TEST_CASE("starts of 8 s and more make room, and a row that refused tries again") {
  Rig rig{3, 4096, 8};
  rig.set(0, As::drained);
  const auto moved = one_a_row(rig, rig.moving_from(0));
  for (std::size_t i = 0; i < 8; i++) REQUIRE(rig.syn(moved[i]) != 0);
  REQUIRE(rig.syn(moved[8]) == 0);
  rig.pass(8);
  CHECK(rig.syn(moved[8]) != 0);
  CHECK(rig.syn(moved[9]) != 0);
}

TEST_CASE("starts and adoptions do not take each other's room") {
  SECTION("no tokens, no room for adoptions: starts are kept") {
    Rig rig{3, 4096, 8};
    rig.set(0, As::drained);
    const auto moved = one_a_row(rig, rig.moving_from(0));
    tokens(rig) = 0;
    for (std::size_t i = 0; i < 20; i++) REQUIRE(rig.ack(moved[i]) == 0);
    for (std::size_t i = 20; i < 28; i++) CHECK(rig.syn(moved[i]) != 0);
  }
  SECTION("no room for starts: flows are adopted") {
    Rig rig{3, 4096, 8};
    rig.set(0, As::drained);
    const auto moved = one_a_row(rig, rig.moving_from(0));
    for (std::size_t i = 0; i < 20; i++) rig.syn(moved[i]);
    for (std::size_t i = 20; i < 40; i++) CHECK(rig.ack(moved[i]) == 0);
    CHECK(rig.entries() == 20);
  }
}

// ---- Adoption

TEST_CASE("a flow is adopted at once while there are tokens, else with its second packet") {
  Rig rig{3};
  rig.set(0, As::drained);
  const auto moved = one_a_row(rig, rig.moving_from(0));
  tokens(rig) = 5;
  rig.pass(20);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
  CHECK(rig.entries() == 5);
  for (std::size_t i = 0; i < moved.size(); i++)  // who was not kept has left a stamp
    CHECK((rig.row_of(moved[i]).refused == rig.kernel.now()) == (i >= 5));
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
  CHECK(rig.entries() == moved.size());
}

TEST_CASE(
    "tokens of adoption come back in an idle time, and are never more than a quarter of the "
    "table") {
  Rig rig{3};
  const std::int64_t most = dataplane::adopt_tokens_for(
      static_cast<std::uint32_t>(rig.kernel.plane().tables().flows.size()));
  CHECK(tokens(rig) == most);
  rig.sweep();
  tokens(rig) = 0;
  for (unsigned second = 0; second < 300; second++) {
    rig.pass(1);
    rig.kernel.sweep(rig.idle);
    CHECK(tokens(rig) <= most * (second + 1) / 300 + 1);
  }
  CHECK(tokens(rig) >= most * 9 / 10);
  for (unsigned i = 0; i < 3; i++) {
    rig.pass(300);
    rig.sweep();
    CHECK(tokens(rig) == most);
  }
}

// ---- Rows whose home was given up

TEST_CASE(
    "on a row whose home was given up nothing is stored, and only entries of others hold it") {
  Rig rig{3};
  rig.set(0, As::drained);
  const auto moved = rig.moving_from(0);
  const std::size_t half = moved.size() / 2;
  const auto adopt = [&] {
    for (std::size_t i = 0; i < half; i++) REQUIRE(rig.ack(moved[i]) == 0);
  };
  adopt();
  for (unsigned i = 0; i < 3; i++) {
    rig.pass(100);
    adopt();
  }
  rig.pass(2);
  rig.sweep();
  REQUIRE(count_given_up(rig, moved) == moved.size());
  const auto entries = rig.entries();
  for (std::size_t i = half; i < moved.size(); i++) {
    CHECK(rig.syn(moved[i]) == rig.owner_of(moved[i]));
    CHECK(rig.ack(moved[i]) == rig.owner_of(moved[i]));
  }
  CHECK(rig.entries() == entries);
  CHECK(rig.memory.started_slots().empty());

  rig.pass(18);
  rig.sweep();
  std::map<std::uint32_t, std::uint16_t> bits;
  for (std::size_t i = 0; i < half; i++)
    bits[rig.row_of(moved[i]).index] |= rig.memory.filter_bit_of(moved[i].tuple());
  for (const Peer& peer : moved) {
    const auto row = rig.row_of(peer);
    REQUIRE(row.moving == bits.contains(row.index));
    if (row.moving) CHECK(row.filter == bits[row.index]);
  }
  for (std::size_t i = 0; i < half; i++) CHECK(rig.ack(moved[i]) == 0);
  rig.pass(301);
  rig.sweep();
  for (const Peer& peer : moved) CHECK_FALSE(rig.row_of(peer).moving);
  CHECK(rig.entries() == 0);
}

// ---- Slots

TEST_CASE("a removed backend's slot is free when neither a row nor an entry names it") {
  Rig rig{3};
  rig.set(0, As::absent);
  const auto moved = rig.moving_from(0);
  const Peer known = moved[0];
  const auto slot = *rig.memory.slot_of(test::Site::address(0));
  const auto generation = rig.memory.record(slot).generation;
  for (unsigned second = 0; second < 320; second += 20) {
    REQUIRE(rig.ack(known) == 0);
    rig.sweep();
    REQUIRE(rig.memory.slot_of(test::Site::address(0)) == slot);
    rig.pass(20);
  }
  for (unsigned second = 0; second < 280; second += 20) {  // no row names it any more
    rig.sweep();
    REQUIRE(rig.memory.slot_of(test::Site::address(0)) == slot);
    REQUIRE(rig.kernel.stored(known.tuple()));
    rig.pass(20);
  }
  rig.pass(60);
  rig.sweep();
  CHECK_FALSE(rig.memory.slot_of(test::Site::address(0)));
  SECTION("another backend gets it with the next generation") {
    rig.set(7, As::up);
    CHECK(rig.memory.slot_of(test::Site::address(7)) == slot);
    CHECK(rig.memory.record(slot).generation == generation + 1);
  }
}

TEST_CASE("an entry of an earlier generation of its slot is nobody's") {
  Rig rig{3};
  rig.set(0, As::drained);
  const auto moved = rig.moving_from(0);
  for (const Peer& peer : moved) REQUIRE(rig.ack(peer) == 0);
  const auto slot = *rig.memory.slot_of(test::Site::address(0));
  rig.kernel.plane().tables().backends[slot].generation++;
  for (const Peer& peer : moved) CHECK(rig.ack(peer) == rig.owner_of(peer));
}

// ---- Services

TEST_CASE("with hash: source-ip each of a client's flows stays where it lives") {
  Rig rig{3};
  rig.site.service.name = "by-source";
  rig.site.service.addresses = {test::ip("203.0.113.77"), test::ip("2001:db8::77")};
  rig.site.service.hash = HashMode::source_ip;
  rig.apply();
  std::vector<Peer> peers = test::peers(200);
  for (Peer& peer : peers)
    peer.vip = peer.vip.is_v4() ? test::ip("203.0.113.77") : test::ip("2001:db8::77");
  std::map<std::size_t, std::optional<unsigned>> lives;
  for (std::size_t i = 0; i < peers.size(); i++) lives[i] = rig.syn(peers[i]);
  rig.set(0, As::drained);
  unsigned apart = 0;
  for (std::size_t i = 0; i < peers.size(); i++) {
    CHECK(rig.ack(peers[i]) == lives[i]);
    Peer second = peers[i];
    second.client.port++;
    const auto to = rig.syn(second);
    CHECK(to != 0);
    CHECK(rig.ack(second) == to);
    CHECK(rig.ack(peers[i]) == lives[i]);
    apart += to != lives[i] ? 1 : 0;
  }
  CHECK(apart > 30);
  for (const unsigned wait : {302, 18}) {  // the rows wait for them by the source's bit
    for (unsigned left = wait; left > 0; left -= std::min(left, 100U)) {
      rig.pass(std::min(left, 100U));
      for (std::size_t i = 0; i < peers.size(); i++) CHECK(rig.ack(peers[i]) == lives[i]);
    }
    rig.sweep();
  }
  for (std::size_t i = 0; i < peers.size(); i++) CHECK(rig.ack(peers[i]) == lives[i]);
}

TEST_CASE("who is not allowed leaves nothing on a moving row") {
  Rig rig{3};
  rig.site.service.allow_from = {*Prefix::parse("192.0.2.0/24"), *Prefix::parse("2001:db8:1::/48")};
  rig.site.set(0, As::drained);
  rig.apply();
  tokens(rig) = 0;
  const auto moved = rig.moving_from(0);
  for (const Peer& peer : moved) {
    CHECK_FALSE(rig.syn(peer));
    CHECK_FALSE(rig.ack(peer));
    CHECK(rig.row_of(peer).refused == 0);
  }
  CHECK(rig.entries() == 0);
  CHECK(rig.memory.started_slots().empty());
}
