// moving-rows' rules of order, shown on the shipped program: every order of what packets of several
// CPUs and a daemon do to one row, its flows, and a table of a single line.
#include "vm/interleave.h"

#include <fmt/format.h>

#include "lb/dataplane/fault_point.h"
#include "lb/dataplane/keys.h"
#include "lb/reconcile/rows.h"
#include "unit/kernel_fixture.h"

namespace {

using namespace lbd;
using test::Client;
using test::ip;
using test::Kind;
using vm::DaemonStep;
using vm::DaemonWords;
using vm::PacketPlan;

constexpr std::uint16_t a = 0, b = 1, c = 2;  // slots

/// Three backends, and one row of theirs with all that packets on it share.
class Row {
 public:
  test::Kernel kernel{1, 8};  // a line of entries, a line of starts
  reconcile::Writer writer{kernel.plane()};
  reconcile::Rows rows{writer};
  std::uint32_t row = 0;

  Row() {
    kernel.apply(
        test::Web{}.backend("10.0.0.11").backend("10.0.0.12").backend("10.0.0.13").config());
    row = row_of({ip("198.51.100.1"), 1000});
    for (std::uint16_t port = 1000; clients_.size() < 8; port++)
      if (const Client client{ip("198.51.100.1"), port}; row_of(client) == row)
        clients_.push_back(client);
    rows.force(row, a);
    *tables().adopt_tokens = 100;
  }

  /// cur = `cur`, home = `home`, of a row that began to move long ago.
  void moves(std::uint16_t cur, std::uint16_t home) {
    abi::side& side = tables().side[row];
    side = {};
    side.home = home;
    side.filter = reconcile::every_flow;
    side.started = kernel.now() - 1000;
    tables().row(row) = cur | ROW_MOVING;
  }
  /// Sends a packet of a flow before all others.
  IpAddress sent(char flow, Kind kind, std::uint32_t sequence) {
    const auto to = kernel.backend_of(frame(flow, kind, sequence));
    REQUIRE(to);
    return *to;
  }

  PacketPlan syn(char flow, std::uint32_t isn = 1000) {
    return {.flow = flow, .frame = frame(flow, Kind::syn, isn), .begins = true};
  }
  PacketPlan ack(char flow, std::vector<std::size_t> after = {}, std::uint32_t sequence = 1001) {
    return {.flow = flow, .frame = frame(flow, Kind::ack, sequence), .after = std::move(after)};
  }
  PacketPlan fin(char flow) { return {.flow = flow, .frame = frame(flow, Kind::fin, 1002)}; }

  /// What the daemon's own code writes, one write a step.
  std::vector<DaemonStep> recorded(const std::string& name, const std::function<void()>& work) {
    const auto before = saved();
    snapshots_ = {};
    current_ = this;
    dataplane::before_map_write = [] { snapshots_.push_back(current_->saved()); };
    work();
    dataplane::before_map_write = nullptr;
    snapshots_.push_back(saved());
    restore(before);
    std::vector<DaemonStep> steps;
    for (std::size_t i = 0; i + 1 < snapshots_.size(); i++) {
      std::vector<std::pair<std::byte*, std::byte>> writes;
      std::size_t at = 0;
      for (const auto& part : memory())
        for (std::byte& byte : part) {
          if (snapshots_[i][at] != snapshots_[i + 1][at])
            writes.emplace_back(&byte, snapshots_[i + 1][at]);
          at++;
        }
      steps.push_back({fmt::format("{} {}", name, i), [writes](DaemonWords&) {
                         for (const auto& [place, value] : writes) *place = value;
                       }});
    }
    return steps;
  }
  std::vector<DaemonStep> change(std::uint16_t to) {
    return recorded("change", [&] { rows.change(row, to, true, kernel.now()); });
  }
  /// As a sweep ends a row: a look at each cell, then the row or its filter.
  std::vector<DaemonStep> end(bool with_grace = true) {
    std::vector<DaemonStep> steps;
    if (with_grace) steps.push_back({"grace", {}});
    for (std::uint32_t cell = 0; cell < flows().cells(); cell++)
      steps.push_back({fmt::format("look at {}", cell), [this, cell](DaemonWords& words) {
                         const auto flow = flows().at(cell);
                         if (!flow) return;
                         if (flow->cell.slot == rows.owner(row))
                           flows().remove(*flow);
                         else
                           words[0] |=
                               abi::filter_bit(dataplane::hash_of(kernel.hash_key(), flow->key));
                       }});
    steps.push_back({"end", [this](DaemonWords& words) {
                       rows.end(row, static_cast<std::uint16_t>(words[0]));
                     }});
    return steps;
  }
  /// FlowMemory::remove(), write by write.
  std::vector<DaemonStep> remove(char flow) {
    const auto stored = find(flow);
    REQUIRE(stored);
    abi::flow_cell& cell = tables().flows[0].cell[stored->index];
    const __u64 life = stored->cell.life;
    check_order_of_removal(*stored, cell);
    return {{"life",
             [&cell, life](DaemonWords& words) {
               words[1] = cell.life == life ? 1 : 0;
               if (words[1] != 0) cell.life = 0;
             }},
            {"owner", [&cell](DaemonWords& words) {
               if (words[1] != 0) cell.owner = 0;
             }}};
  }

  [[nodiscard]] dataplane::FlowMemory flows() { return {tables(), kernel.hash_key()}; }
  [[nodiscard]] std::optional<dataplane::StoredFlow> find(char flow) {
    return kernel.stored(tuple(client(flow)));
  }
  /// How often it is stored, and whether all say the same.
  std::string twice(char flow) {
    std::set<std::uint16_t> owners;
    unsigned count = 0;
    for (std::uint32_t cell = 0; cell < flows().cells(); cell++) {
      const auto stored = flows().at(cell);
      if (!stored || dataplane::tuple_of(stored->key) != tuple(client(flow))) continue;
      count++;
      owners.insert(stored->cell.slot);
    }
    return owners.size() > 1 ? fmt::format("{} is stored {} times, with two owners", flow, count)
                             : "";
  }
  std::string missing(char flow, std::uint16_t slot) {
    const auto stored = find(flow);
    return stored && stored->cell.slot == slot ? "" : fmt::format("{} is not stored", flow);
  }

  vm::Explored explore(std::vector<PacketPlan> packets, std::vector<DaemonStep> daemon,
                       std::map<char, std::uint16_t> lives = {},
                       std::function<std::string()> verdict = {}) {
    auto program = vm::Program::of_loaded(kernel.plane().program_fd());
    if (!program) FAIL(program.error().message());
    vm::World world{.program = &*program,
                    .shared = {"lbd_ring", "lbd_side", "lbd_flows", "lbd_flow_detail", "lbd_starts",
                               "lbd_adopts"},
                    .memory = memory(),
                    .packets = std::move(packets),
                    .daemon = std::move(daemon),
                    .backend = outer_destination,
                    .verdict = std::move(verdict)};
    for (const auto& [flow, slot] : lives) world.lives.emplace(flow, address(slot));
    auto explored = vm::explore(world);
    if (!explored) FAIL(explored.error().message());
    CHECK(explored->states > 50);
    return *explored;
  }

 private:
  /// FlowMemory::remove() writes what remove() says, in that order.
  void check_order_of_removal(const dataplane::StoredFlow& flow, const abi::flow_cell& cell) {
    const auto before = saved();
    DaemonWords words{};
    const auto steps = recorded("remove", [&] { REQUIRE(flows().remove(flow)); });
    REQUIRE(steps.size() == 2);
    steps[0].work(words);
    CHECK((cell.life == 0 && cell.owner == flow.cell.owner));
    steps[1].work(words);
    CHECK((cell.life == 0 && cell.owner == 0));
    restore(before);
  }
  [[nodiscard]] dataplane::Tables& tables() { return kernel.plane().tables(); }
  [[nodiscard]] const Client& client(char flow) const {
    return clients_.at(static_cast<std::size_t>(flow - 'f'));
  }
  std::vector<std::uint8_t> frame(char flow, Kind kind, std::uint32_t sequence) const {
    return test::frame_to(ip("203.0.113.10"), client(flow), kind, sequence);
  }
  static dataplane::Tuple tuple(const Client& client) {
    return {client.address, Port{client.port}, ip("203.0.113.10"), Port{80}, Protocol::tcp};
  }
  std::uint32_t row_of(const Client& client) {
    const auto& ring = tables().services[0].ring[0];
    const auto hash = dataplane::hash_of(kernel.hash_key(), dataplane::flow_key_of(tuple(client)));
    return ring.base + abi::row_of(hash, ring.size);
  }
  IpAddress address(std::uint16_t slot) {
    return dataplane::address_of(tables().backends[tables().services[0].backend_base + slot]);
  }
  static std::optional<IpAddress> outer_destination(const dataplane::TestRun& run) {
    if (run.action != XDP_TX) return std::nullopt;
    return IpAddress::v4({run.frame[30], run.frame[31], run.frame[32], run.frame[33]});
  }

  template <class T>
  static std::span<std::byte> bytes(T& record) {
    return std::as_writable_bytes(std::span{&record, 1});
  }
  std::vector<std::span<std::byte>> memory() {
    dataplane::Tables& t = tables();
    return {bytes(t.row(row)),     bytes(t.side[row]),
            bytes(t.flows[0]),     std::as_writable_bytes(t.flow_details.first(FLOWS_PER_LINE)),
            bytes(t.starts[0]),    bytes(t.adopts[0]),
            bytes(*t.adopt_tokens)};
  }
  std::vector<std::byte> saved() {
    std::vector<std::byte> all;
    for (const auto& part : memory()) all.insert(all.end(), part.begin(), part.end());
    return all;
  }
  void restore(std::span<const std::byte> all) {
    for (const auto& part : memory()) {
      std::copy_n(all.begin(), part.size(), part.begin());
      all = all.subspan(part.size());
    }
  }

  static inline std::vector<std::vector<std::byte>> snapshots_;
  static inline Row* current_ = nullptr;
  std::vector<Client> clients_;
};

std::vector<DaemonStep> then(std::vector<DaemonStep> first, const std::vector<DaemonStep>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

}  // namespace

TEST_CASE("a row begins to move while its flows send") {
  Row r;
  CHECK(r.explore({r.ack('f'), r.ack('f')}, r.change(b), {{'f', a}}).wrong == "");
  CHECK(r.explore({r.ack('f'), r.syn('g')}, r.change(b), {{'f', a}}).wrong == "");
  CHECK(r.explore({r.syn('g'), r.ack('g', {0}), r.ack('g', {0})}, r.change(b)).wrong == "");
}

TEST_CASE("were cur written before home, a flow would stray: the explorer sees it") {
  Row r;
  r.moves(a, c);  // a stale side record
  r.rows.force(r.row, a);
  auto steps = r.change(b);
  REQUIRE(steps.size() == 3);
  std::swap(steps[1], steps[2]);
  CHECK(r.explore({r.ack('f')}, steps, {{'f', a}}).wrong != "");
}

TEST_CASE("a second change comes while flows of the first begin") {
  Row r;
  r.moves(b, a);
  CHECK(r.explore({r.syn('g'), r.ack('g', {0}), r.ack('f')}, r.change(c), {{'f', a}}).wrong == "");
}

TEST_CASE("a start becomes an entry on two CPUs at once, under a change") {
  Row r;
  r.moves(b, a);
  REQUIRE(r.sent('g', Kind::syn, 1000) == ip("10.0.0.12"));
  const auto explored = r.explore({r.ack('g'), r.ack('g'), r.ack('g', {0, 1})}, r.change(c),
                                  {{'g', b}}, [&] { return r.twice('g') + r.missing('g', b); });
  CHECK(explored.wrong == "");
}

TEST_CASE("a SYN and its copy on two CPUs keep one start") {
  Row r;
  r.moves(b, a);
  const auto explored = r.explore({r.syn('g'), r.syn('g'), r.ack('g', {0, 1})}, {}, {});
  CHECK(explored.wrong == "");
}

TEST_CASE("a flow is adopted on two CPUs at once") {
  Row r;
  r.moves(b, a);
  CHECK(r.explore({r.ack('f'), r.ack('f'), r.ack('f', {0, 1})}, {}, {{'f', a}}, [&] {
           return r.twice('f') + r.missing('f', a);
         }).wrong == "");
}

TEST_CASE("home is given up over known flows, and starts under way") {
  Row r;
  r.moves(b, a);
  REQUIRE(r.sent('f', Kind::ack, 1001) == ip("10.0.0.11"));
  REQUIRE(r.sent('g', Kind::syn, 1000) == ip("10.0.0.12"));
  const auto steps = r.recorded("give up", [&] { r.rows.give_up_home(r.row, r.kernel.now()); });
  CHECK(r.explore({r.ack('f'), r.ack('g')}, steps, {{'f', a}, {'g', b}}).wrong == "");
  CHECK(r.explore({r.ack('g'), r.syn('h')}, steps, {{'g', b}}).wrong == "");
}

TEST_CASE("a row ends under the flows that keep it moving") {
  Row r;
  r.moves(b, a);
  REQUIRE(r.sent('f', Kind::ack, 1001) == ip("10.0.0.11"));
  r.moves(b, b);
  CHECK(r.explore({r.ack('f'), r.syn('g'), r.ack('g', {1})}, r.end(), {{'f', a}}).wrong == "");
}

TEST_CASE("back at home, a row that ended without a grace period would lose a start") {
  // cur goes back to a while g's SYN is being stored as b's.
  Row r;
  r.moves(b, a);
  const auto back = r.change(a);
  CHECK(r.explore({r.syn('g'), r.ack('g', {0})}, then(back, r.end(false))).wrong != "");
  // In truth nothing ends before the start's life has passed, with a grace period in it.
  r.moves(b, a);
  CHECK(r.explore({r.syn('g'), r.ack('g', {0})}, back).wrong == "");
  r.rows.change(r.row, a, true, r.kernel.now());
  CHECK_FALSE(r.rows.may_end(r.row, r.kernel.now() + START_LIFE));
  CHECK(r.rows.may_end(r.row, r.kernel.now() + START_LIFE + 2));
}

TEST_CASE("an idle flow's cell is given to another while its last packet is under way") {
  Row r;
  r.moves(b, a);
  for (const char flow : {'i', 'j', 'k'}) r.sent(flow, Kind::ack, 1001);
  r.sent('f', Kind::ack, 1001);  // the fourth cell
  r.kernel.pass(std::chrono::seconds{2});
  // h can be stored in f's cell alone: seen by f's packet, it stays f's; else it is h's.
  const auto explored = r.explore({r.ack('f'), r.ack('h'), r.ack('h', {1})}, r.remove('f'),
                                  {{'f', a}, {'h', a}}, [&]() -> std::string {
                                    const bool f = r.find('f').has_value();
                                    const bool h = r.find('h').has_value();
                                    if (f && h) return "both are stored in one cell";
                                    return r.twice('f') + r.twice('h');
                                  });
  CHECK(explored.wrong == "");
}

TEST_CASE("a spoofed SYN on a drained backend's flow kills nothing, whatever comes with it") {
  Row r;
  r.moves(b, a);
  REQUIRE(r.sent('f', Kind::ack, 1001) == ip("10.0.0.11"));
  abi::backend& record =
      r.kernel.plane().tables().backends[r.kernel.plane().tables().services[0].backend_base + a];
  record.flags = abi::BACKEND_USED | abi::BACKEND_SERVES_KNOWN | abi::BACKEND_DRAINING;
  PacketPlan spoofed = r.syn('f', 5'000'000);
  spoofed.flow = 'x';
  CHECK(r.explore({spoofed, r.ack('f'), r.fin('f')}, {}, {{'f', a}}).wrong == "");
}

TEST_CASE("a FIN and data that undoes it, on two CPUs, with a refresh") {
  Row r;
  r.moves(b, a);
  REQUIRE(r.sent('f', Kind::ack, 1001) == ip("10.0.0.11"));
  r.kernel.pass(std::chrono::seconds{1});
  CHECK(r.explore({r.fin('f'), r.ack('f'), r.ack('f', {0, 1})}, r.change(c), {{'f', a}}, [&] {
           return r.missing('f', a);
         }).wrong == "");
}
