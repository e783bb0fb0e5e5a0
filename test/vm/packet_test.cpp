// The interpreted program against the kernel's: random packets, on maps that both share.
#include <chrono>
#include <cstring>
#include <random>

#include "unit/kernel_fixture.h"
#include "vm/machine.h"

namespace {

using namespace lbd;
using namespace std::chrono_literals;
using test::ip;
using test::Kind;
using vm::Machine;
using vm::Program;
using vm::Step;
using Frame = std::vector<std::uint8_t>;

Program program_of(test::Kernel& kernel) {
  auto program = Program::of_loaded(kernel.plane().program_fd());
  if (!program) FAIL(program.error().message());
  return std::move(*program);
}

/// A service for some clients, on a node that also decapsulates.
config::Config with(const test::Web& web) {
  config::Config config = web.config();
  config.services[0].allow_from = {*Prefix::parse("198.51.100.0/25"),
                                   *Prefix::parse("2001:db8:c::/64")};
  config.decap = {true, {*Prefix::parse("10.0.0.0/24"), *Prefix::parse("fd01::/64")}};
  return config;
}

class RandomFrames {
 public:
  explicit RandomFrames(std::mt19937& random) : random_{random} {}

  Frame next() {
    const bool v4 = below(2) == 0;
    const IpAddress clients4[] = {ip("198.51.100.1"), ip("198.51.100.2"), ip("198.51.100.200")};
    const IpAddress clients6[] = {ip("2001:db8:c::1"), ip("2001:db8:c::2"), ip("2001:db8:d::1")};
    const IpAddress to4[] = {ip("203.0.113.10"), ip("203.0.113.10"), ip("203.0.113.10"),
                             ip("10.0.0.2"), ip("192.0.2.99")};
    const IpAddress to6[] = {ip("2001:db8::10"), ip("2001:db8::10"), ip("2001:db8::10"),
                             ip("fd01::2"), ip("2001:db8::99")};
    const Kind kinds[] = {Kind::syn, Kind::ack,  Kind::ack, Kind::fin,
                          Kind::rst, Kind::data, Kind::udp};
    const test::Client client{v4 ? clients4[below(3)] : clients6[below(3)],
                              static_cast<std::uint16_t>(1000 + below(100))};
    Frame frame =
        test::frame_to(v4 ? to4[below(5)] : to6[below(5)], client, kinds[below(7)], 1 + below(3));
    if (below(6) == 0)
      frame = below(2) == 0
                  ? test::encapsulated(frame, ip(below(4) == 0 ? "192.0.2.1" : "10.0.0.9"),
                                       ip(below(4) == 0 ? "203.0.113.10" : "10.0.0.2"))
                  : test::encapsulated(frame, ip(below(4) == 0 ? "2001:db8::1" : "fd01::9"),
                                       ip(below(4) == 0 ? "2001:db8::10" : "fd01::2"));
    spoil(frame);
    return frame;
  }

 private:
  unsigned below(unsigned limit) { return static_cast<unsigned>(random_()) % limit; }

  void spoil(Frame& frame) {
    if (below(4) == 0)
      for (unsigned i = 0; i <= below(3); i++)
        frame[below(static_cast<unsigned>(frame.size()))] = static_cast<std::uint8_t>(random_());
    if (below(8) == 0) frame.resize(14 + below(static_cast<unsigned>(frame.size()) - 13));
    if (below(8) == 0) frame.resize(frame.size() + below(30));
    if (below(100) == 0) lengthen(frame, 1440 + below(60));
  }

  /// To an IP packet of that length, which some outer headers make too long for the way.
  static void lengthen(Frame& frame, unsigned length) {
    frame.resize(14 + length);
    const bool v4 = frame[12] == 0x08;
    const unsigned field = v4 ? length : length - 40;
    frame[v4 ? 16 : 18] = static_cast<std::uint8_t>(field >> 8);
    frame[v4 ? 17 : 19] = static_cast<std::uint8_t>(field);
  }

  std::mt19937& random_;
};

struct Outcome {
  std::uint32_t action;
  Frame frame;
  abi::trace trace;
};

Outcome by_kernel(test::Kernel& kernel, const Frame& frame) {
  const auto ran = kernel.plane().run(frame);
  if (!ran) FAIL(ran.error().message());
  return {ran->action, ran->frame, kernel.trace()};
}

Outcome by_machine(test::Kernel& kernel, Program& program, const Frame& frame) {
  Machine machine{program, frame, {.now_ns = vm::coarse_now_ns()}};
  const auto ran = machine.run();
  if (!ran) FAIL(ran.error().message());
  return {ran->action, ran->frame, kernel.trace()};
}

/// What this element of a per-CPU array counted for the interpreter.
abi::counter own_count(Program& program, const char* map, std::uint32_t index) {
  abi::counter counter{};
  const std::byte* at = program.find_map(map)->at(index * sizeof counter, sizeof counter);
  REQUIRE(at != nullptr);
  std::memcpy(&counter, at, sizeof counter);
  return counter;
}

void check_counters(const dataplane::PerCpuCounters& wanted, const dataplane::PerCpuCounters& got,
                    Program& program, const char* map) {
  for (std::uint32_t i = 0; i < wanted.entries(); i++) {
    INFO(map << " " << i);
    const auto own = own_count(program, map, i);
    REQUIRE(wanted.sum(i)->packets == got.sum(i)->packets + own.packets);
    REQUIRE(wanted.sum(i)->bytes == got.sum(i)->bytes + own.bytes);
  }
}

template <class Record>
bool same_bytes(std::span<Record> a, std::span<Record> b) {
  return a.size_bytes() == b.size_bytes() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// Steps until the machine has made an access of that kind to that map.
void run_past(Machine& machine, Program& program, Step::Kind kind, std::string_view map) {
  while (!machine.ended()) {
    const auto step = machine.step();
    if (!step) FAIL(step.error().message());
    if (step->kind == kind && step->map != Step::no_map &&
        program.maps()[static_cast<std::size_t>(step->map)].name() == map)
      return;
  }
  FAIL("no such access");
}

}  // namespace

TEST_CASE("interpreted and in the kernel, by turns on the same maps, packets end the same") {
  const auto seed = std::random_device{}();
  const std::uint32_t room = GENERATE(4096U, 24U);  // for flows: enough, and too little
  INFO("seed " << seed << ", room for " << room << " flows");
  std::mt19937 random{seed};
  RandomFrames frames{random};
  test::Kernel alone{room};   // all packets in the kernel
  test::Kernel shared{room};  // each packet in the kernel or by a machine
  for (test::Kernel* kernel : {&alone, &shared})
    kernel->neighbors.local = {ip("10.0.0.2"), ip("fd01::2"), ip("203.0.113.10"),
                               ip("2001:db8::10")};
  const auto apply = [&](AdminState first, AdminState second) {
    const auto config = with(test::Web{}
                                 .backend("10.0.0.11", 100, first)
                                 .backend("fd01::12", 100, second)
                                 .backend("10.0.0.13"));
    alone.apply(config);
    shared.apply(config);
  };
  apply(AdminState::enabled, AdminState::enabled);
  Program program = program_of(shared);
  std::set<std::uint32_t> reasons;
  std::set<std::uint32_t> slots;
  for (const auto& [first, second] : {std::pair{AdminState::enabled, AdminState::enabled},
                                      std::pair{AdminState::drain, AdminState::enabled},
                                      std::pair{AdminState::enabled, AdminState::disabled},
                                      std::pair{AdminState::enabled, AdminState::drain}}) {
    apply(first, second);
    alone.pass(1s);
    shared.pass(1s);
    for (int i = 0; i < 2500; i++) {
      const Frame frame = frames.next();
      const Outcome wanted = by_kernel(alone, frame);
      const bool by_turns = random() % 2 == 0;
      const Outcome got = by_turns ? by_kernel(shared, frame) : by_machine(shared, program, frame);
      INFO("packet " << i << (by_turns ? " in the kernel" : " interpreted"));
      REQUIRE(got.action == wanted.action);
      REQUIRE(got.trace.reason == wanted.trace.reason);
      REQUIRE(got.trace.slot == wanted.trace.slot);
      REQUIRE(got.trace.service == wanted.trace.service);
      REQUIRE(got.frame == wanted.frame);
      reasons.insert(got.trace.reason);
      slots.insert(got.trace.slot);
    }
  }
  for (const auto reason : {abi::REASON_NONE, abi::REASON_NOT_A_VIP, abi::REASON_NO_SERVICE_PORT,
                            abi::REASON_NOT_ALLOWED, abi::REASON_TRUNCATED, abi::REASON_MALFORMED,
                            abi::REASON_FRAGMENT, abi::REASON_TOO_BIG, abi::REASON_DECAPSULATED,
                            abi::REASON_DECAP_NOT_ALLOWED, abi::REASON_DECAP_NOT_LOCAL}) {
    INFO(reason);
    CHECK(reasons.contains(reason));
  }
  CHECK(slots.size() == 4);  // three backends, and none
  check_counters(alone.plane().tables().reasons, shared.plane().tables().reasons, program,
                 "lbd_reasons");
  check_counters(alone.plane().tables().flow_events, shared.plane().tables().flow_events, program,
                 "lbd_flow_events");
  check_counters(alone.plane().tables().counters, shared.plane().tables().counters, program,
                 "lbd_counters");
  const auto& wanted = alone.plane().tables();
  const auto& got = shared.plane().tables();
  CHECK(same_bytes(wanted.flows, got.flows));
  CHECK(same_bytes(wanted.flow_details, got.flow_details));
  CHECK(same_bytes(wanted.starts, got.starts));
  CHECK(same_bytes(wanted.adopts, got.adopts));
  CHECK(same_bytes(wanted.side, got.side));
  CHECK(*wanted.adopt_tokens == *got.adopt_tokens);
}

TEST_CASE("what the daemon writes between two steps is what the next one reads") {
  test::Kernel kernel;
  kernel.apply(test::Web{}.backend("10.0.0.11").backend("10.0.0.12").config());
  Program program = program_of(kernel);
  const Frame frame = test::frame_to(ip("203.0.113.10"), {ip("198.51.100.1"), 1000}, Kind::ack);
  const auto slot_after = [&](Machine& machine) {
    const auto ran = machine.run();
    if (!ran) FAIL(ran.error().message());
    CHECK(ran->action == XDP_TX);
    return kernel.trace().slot;
  };
  Machine first{program, frame, {}};
  run_past(first, program, Step::Kind::helper, "lbd_ring");  // has the word's address
  Machine second = first;
  run_past(second, program, Step::Kind::read, "lbd_ring");  // has its owner
  auto& tables = kernel.plane().tables();
  const auto& ring = tables.services[0].ring[0];
  const auto before = by_kernel(kernel, frame).trace.slot;
  for (std::uint32_t row = ring.base; row < ring.base + ring.size; row++)
    dataplane::publish(tables.row(row), static_cast<std::uint16_t>(1 - before));
  CHECK(slot_after(first) == 1 - before);
  CHECK(slot_after(second) == before);
}
