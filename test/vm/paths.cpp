#include "vm/paths.h"

#include <fmt/format.h>
#include <linux/bpf.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>

#include "lb/config/config.h"
#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/keys.h"
#include "lb/desired/desired.h"
#include "lb/reconcile/reconciler.h"
#include "lb/reconcile/space.h"
#include "unit/frames.h"
#include "unit/neighbors.h"

namespace lbd::vm {
namespace {

using test::Client;
using test::ip;
using test::Kind;
using Frame = std::vector<std::uint8_t>;

constexpr const char* configuration = R"(
apiVersion: lbd.io/v1alpha1
kind: LoadBalancer
node: {interfaces: [lan0]}
decap: {enabled: true, allowFrom: [10.0.0.0/24, "fd01::/64"]}
services:
- name: four
  addresses: [192.0.2.10, "2001:db8::10"]
  ports: [{port: 80}]
  backends: [{address: 10.0.0.11}, {address: 10.0.0.12}]
- name: six
  addresses: [192.0.2.20, "2001:db8::20"]
  ports: [{port: 80}]
  backends: [{address: "fd01::11"}, {address: "fd01::12"}]
- name: picky
  addresses: [192.0.2.30, "2001:db8::30"]
  ports: [{port: 80}]
  allowFrom: [198.51.100.0/24, "2001:db8:c::/64"]
  backends: [{address: 10.0.0.11}]
)";

/// How a packet must end for its path to have been taken.
struct End {
  std::uint32_t action = XDP_TX;
  abi::reason reason = abi::REASON_NONE;
  std::optional<IpAddress> backend;  ///< where that matters
  bool operator==(const End&) const = default;
};

std::string to_string(const End& end) {
  return fmt::format("action {}, reason {}, backend {}", end.action,
                     static_cast<unsigned>(end.reason), end.backend ? end.backend->str() : "-");
}

std::optional<IpAddress> outer_destination(const dataplane::TestRun& ran) {
  if (ran.action != XDP_TX) return std::nullopt;
  const auto at = [&](std::size_t offset) {
    return ran.frame.begin() + static_cast<std::ptrdiff_t>(offset);
  };
  if (ran.frame[14] >> 4 == 4) {
    std::array<std::uint8_t, 4> bytes{};
    std::copy_n(at(30), bytes.size(), bytes.begin());
    return IpAddress::v4(bytes);
  }
  std::array<std::uint8_t, 16> bytes{};
  std::copy_n(at(38), bytes.size(), bytes.begin());
  return IpAddress::v6(bytes);
}

/// A balancer whose packets an interpreter handles, all in the same moment.
class Node {
 public:
  static Result<std::unique_ptr<Node>> make(std::uint32_t flows) {
    auto node = std::make_unique<Node>();
    node->config_ = config::parse(configuration).config;
    node->neighbors_.local = {ip("10.0.0.2"), ip("fd01::2"), ip("192.0.2.30"), ip("2001:db8::30")};
    const auto key = dataplane::hash_key_from(node->config_.hash_key);
    const auto sizes = reconcile::sizes_for(desired::desire(node->config_), flows);
    auto opened = dataplane::DataPlane::open({.sizes = sizes, .hash_key = key}, node->log_);
    if (!opened) return std::move(opened).error();
    node->plane_ = std::move(*opened);
    if (auto applied = node->apply(); !applied) return std::move(applied).error();
    auto program = Program::of_loaded(node->plane_->program_fd());
    if (!program) return std::move(program).error();
    node->program_ = std::move(*program);
    return node;
  }

  /// The first backends of both services drain: their rows move to the second ones.
  Result<> drain() {
    for (std::size_t i = 0; i < 2; i++) config_.services[i].backends[0].state = AdminState::drain;
    return apply();
  }
  /// Every row waits for foreign entries, of which it has none.
  void wait_for_others() {
    auto& tables = plane_->tables();
    for (std::uint32_t row = 0; row < tables.side.size(); row++) {
      const std::uint16_t owner = tables.row(row) & SLOT_NONE;
      tables.side[row].home = owner;
      tables.side[row].filter = 0;
      tables.row(row) = owner | ROW_MOVING;
    }
  }
  [[nodiscard]] bool has_refused() const {
    const auto& side = plane_->tables().side;
    return std::ranges::any_of(side, [](const abi::side& row) { return row.refused != 0; });
  }

  struct Ran {
    Cost cost;
    End end;
  };
  Result<Ran> send(const Frame& frame) {
    const auto before = reasons();
    Machine machine{*program_, frame, {.now_ns = now_ns_}};
    auto cost = cost_of(machine, *program_);
    if (!cost) return std::move(cost).error();
    const auto result = machine.result();
    Ran ran{std::move(*cost), {result.action, abi::REASON_NONE, outer_destination(result)}};
    const auto after = reasons();
    for (std::size_t i = 0; i < after.size(); i++)
      if (after[i] != before[i]) ran.end.reason = static_cast<abi::reason>(i);
    return ran;
  }

 private:
  using Reasons = std::array<std::uint64_t, abi::REASON_COUNT>;

  Result<> apply() {
    reconcile::Reconciler reconciler{*plane_, dataplane::hash_key_from(config_.hash_key), log_};
    auto applied = reconciler.apply(desired::desire(config_), neighbors_, false);
    if (!applied) return std::move(applied).error();
    return {};
  }
  Reasons reasons() {
    Reasons counts{};
    SharedMap* map = program_->find_map("lbd_reasons");
    for (std::size_t i = 0; map != nullptr && i < counts.size(); i++)
      if (const auto* counter = map->at(i * sizeof(abi::counter), sizeof(std::uint64_t)))
        std::memcpy(&counts[i], counter, sizeof counts[i]);
    return counts;
  }

  Log log_{Level::error};
  config::Config config_;
  test::Neighbors neighbors_;
  std::unique_ptr<dataplane::DataPlane> plane_;
  std::optional<Program> program_;
  std::uint64_t now_ns_ = coarse_now_ns();
};

/// What packets of one address family meet.
struct Family {
  const char* name;
  IpAddress client, vip, same, other, picky, foreign, node, sender;
  const char* settled_same;   // to a service with backends of this family
  const char* settled_other;  // and of the other one
  std::array<IpAddress, 2> backends;
};

const std::array<Family, 2>& families() {
  static const std::array<Family, 2> both{Family{"IPv4",
                                                 ip("198.51.100.1"),
                                                 ip("192.0.2.10"),
                                                 ip("192.0.2.10"),
                                                 ip("192.0.2.20"),
                                                 ip("192.0.2.30"),
                                                 ip("203.0.113.1"),
                                                 ip("10.0.0.2"),
                                                 ip("10.0.0.3"),
                                                 "settled 4in4",
                                                 "settled 4in6",
                                                 {ip("10.0.0.11"), ip("10.0.0.12")}},
                                          Family{"IPv6",
                                                 ip("2001:db8:c::1"),
                                                 ip("2001:db8::20"),
                                                 ip("2001:db8::20"),
                                                 ip("2001:db8::10"),
                                                 ip("2001:db8::30"),
                                                 ip("2001:db8:f::1"),
                                                 ip("fd01::2"),
                                                 ip("fd01::3"),
                                                 "settled 6in6",
                                                 "settled 6in4",
                                                 {ip("fd01::11"), ip("fd01::12")}}};
  return both;
}

class Measurement {
 public:
  Result<std::vector<Path>> run() {
    for (const auto& part : {&Measurement::settled, &Measurement::waiting, &Measurement::moving,
                             &Measurement::refused})
      for (const Family& family : families())
        if (auto measured = (this->*part)(family); !measured) return std::move(measured).error();
    return std::move(paths_);
  }

 private:
  Result<> settled(const Family& f) {
    auto node = Node::make(flows);
    if (!node) return std::move(node).error();
    const Client client{f.client, 40000};
    const auto to = [&](const IpAddress& vip) { return test::frame_to(vip, client, Kind::ack); };
    Frame other_port = to(f.vip);
    other_port[f.client.is_v4() ? 37 : 57] = 81;
    const Frame inner = to(f.picky);  // whose address this node has, too
    const struct {
      std::string name;
      Frame frame;
      End end;
    } cases[] = {
        {fmt::format("not a VIP, {}", f.name), to(f.foreign), {XDP_PASS, abi::REASON_NOT_A_VIP}},
        {f.settled_same, to(f.same), {XDP_TX}},
        {f.settled_other, to(f.other), {XDP_TX}},
        {fmt::format("allow list, {}", f.name), to(f.picky), {XDP_TX}},
        {fmt::format("no such port, {}", f.name),
         other_port,
         {XDP_DROP, abi::REASON_NO_SERVICE_PORT}},
        {fmt::format("decapsulated, {}", f.name),
         test::encapsulated(inner, f.sender, f.node),
         {XDP_PASS, abi::REASON_DECAPSULATED}},
    };
    for (const auto& c : cases)
      if (auto measured = measure(**node, c.name, c.frame, c.end); !measured) return measured;
    return {};
  }

  Result<> waiting(const Family& f) {
    auto node = Node::make(flows);
    if (!node) return std::move(node).error();
    (*node)->wait_for_others();
    return measure(**node, fmt::format("home == cur, filter clear, {}", f.name),
                   test::frame_to(f.vip, {f.client, 40000}, Kind::ack), {XDP_TX});
  }

  Result<> moving(const Family& f) {
    auto node = Node::make(flows);
    if (!node) return std::move(node).error();
    auto clients = clients_of(**node, f, 2);
    if (!clients) return std::move(clients).error();
    if (auto drained = (*node)->drain(); !drained) return drained;
    const auto& [home, cur] = f.backends;
    const struct {
      const char* name;
      Frame frame;
      IpAddress backend;
    } cases[] = {
        {"moving, new", test::frame_to(f.vip, (*clients)[0], Kind::syn, 1000), cur},
        {"moving, after its SYN", test::frame_to(f.vip, (*clients)[0], Kind::ack, 1001), cur},
        {"moving, known", test::frame_to(f.vip, (*clients)[0], Kind::ack, 1001), cur},
        {"moving, unknown", test::frame_to(f.vip, (*clients)[1], Kind::ack, 1001), home},
    };
    for (const auto& c : cases)
      if (auto measured = measure(**node, fmt::format("{}, {}", c.name, f.name), c.frame,
                                  {XDP_TX, abi::REASON_NONE, c.backend});
          !measured)
        return measured;
    return {};
  }

  /// The first start for which there is no room.
  Result<> refused(const Family& f) {
    auto node = Node::make(1);
    if (!node) return std::move(node).error();
    constexpr std::size_t enough = 2000;
    auto clients = clients_of(**node, f, enough);
    if (!clients) return std::move(clients).error();
    if (auto drained = (*node)->drain(); !drained) return drained;
    for (const Client& client : *clients) {
      const Frame syn = test::frame_to(f.vip, client, Kind::syn, 1000);
      auto ran = (*node)->send(syn);
      if (!ran) return std::move(ran).error();
      if ((*node)->has_refused())
        return add(fmt::format("moving, refused, {}", f.name), std::move(*ran),
                   {XDP_TX, abi::REASON_NONE, f.backends[0]});
      auto confirmed = (*node)->send(test::frame_to(f.vip, client, Kind::ack, 1001));
      if (!confirmed) return std::move(confirmed).error();
    }
    return Error{fmt::format("{} starts and none was refused", enough)};
  }

  /// Clients whose packets go to the family's first backend.
  static Result<std::vector<Client>> clients_of(Node& node, const Family& f, std::size_t count) {
    std::vector<Client> clients;
    for (std::uint16_t port = 1024; port < 65535 && clients.size() < count; port++) {
      auto ran = node.send(test::frame_to(f.vip, {f.client, port}, Kind::ack));
      if (!ran) return std::move(ran).error();
      if (ran->end.backend == f.backends[0]) clients.push_back({f.client, port});
    }
    if (clients.size() < count) return Error{"too few flows go to " + f.backends[0].str()};
    return clients;
  }

  Result<> measure(Node& node, std::string name, const Frame& frame, const End& wanted) {
    auto ran = node.send(frame);
    if (!ran) return std::move(ran).error().in(name);
    return add(std::move(name), std::move(*ran), wanted);
  }

  Result<> add(std::string name, Node::Ran ran, const End& wanted) {
    if (!wanted.backend) ran.end.backend.reset();
    if (ran.end != wanted)
      return Error{fmt::format("{}: {}: expected {}", name, to_string(ran.end), to_string(wanted))};
    paths_.push_back({std::move(name), std::move(ran.cost)});
    return {};
  }

  static constexpr std::uint32_t flows = 65536;
  std::vector<Path> paths_;
};

}  // namespace

Result<std::vector<Path>> measure_paths() {
  return Measurement{}.run();
}

}  // namespace lbd::vm
