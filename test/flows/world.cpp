#include "world.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "dying_daemon.h"
#include "peers.h"

namespace lbd::test {
namespace {

constexpr double max_quiet = 0.9;  // of the idle time
constexpr std::uint32_t end_window = 16U << 20;

}  // namespace

std::uint64_t seed_of_run() {
  static const std::uint64_t seed = [] {
    const char* given = std::getenv("LBD_SEED");
    const std::uint64_t chosen =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::printf("LBD_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    return chosen;
  }();
  return seed;
}

World::World(const Settings& given)
    : settings{given},
      kernel{given.flow_entries, given.start_cells},
      memory{kernel},
      site{given.rows},
      random_{given.seed},
      flooder_{kernel, given.seed + 1} {
  const double quiet_life = 0.9 * static_cast<double>(settings.idle.tcp.count()) * 2;
  const double mean = (1 - settings.quiet) * settings.life + settings.quiet * quiet_life;
  arrivals_a_second_ = settings.flows_per_row * settings.rows / mean;
  if (const char* client = std::getenv("LBD_FOLLOW")) followed_ = ip(client);
  site.up(settings.backends);
  apply();
  at(0, What::arrival, 0);
}

unsigned World::up_to(unsigned n) {
  return std::uniform_int_distribution<unsigned>{0, n}(random_);
}

dataplane::Tuple World::tuple_of(const Flow& flow) const {
  return {flow.client.address, Port{flow.client.port}, flow.vip, Port{80},
          flow.kind == FlowKind::tcp ? Protocol::tcp : Protocol::udp};
}

// ---- The daemon and the backends

void World::kill(unsigned backend) {
  if (backend >= dead_.size()) dead_.resize(backend + 1);
  dead_[backend] = true;
  end_flows_of(backend);
}

void World::revive(unsigned backend) {
  if (backend < dead_.size()) dead_[backend] = false;
}

void World::apply() {
  if (!daemon_) restart();
  end_lost_flows();
  with_packets_between([this] { send_between_writes(); }, [this] { kernel.apply(site.desired()); });
  broken_off_ = false;
}

bool World::apply_and_die(unsigned writes) {
  end_lost_flows();
  const bool died = ends_before_write(writes, [this] { kernel.apply(site.desired()); });
  daemon_ = !died;
  broken_off_ = died;
  return died;
}

bool World::sweep_and_die(unsigned writes) {
  const bool died = ends_before_write(writes, [this] { sweep(); });
  daemon_ = !died;
  return died;
}

void World::restart() {
  kernel.restart();
  daemon_ = true;
}

void World::sweep() {
  const bool scans = rounds_++ % settings.scan_each == 0;
  auto swept =
      kernel.reconciler().sweep(settings.idle, scans ? reconcile::Scan::yes : reconcile::Scan::no);
  if (!swept) FAIL(swept.error().message());
  tally.seconds++;
  tally.seconds_moving += swept->rows_moving;
  tally.rows_yielded += swept->rows_yielded;
  tally.most_entries = std::max(tally.most_entries, swept->flows);
  if (swept->rows_yielded != 0) end_yielded_flows();
}

void World::send_between_writes() {
  if (between_ == 0 || living_.empty() || up_to(between_ - 1) != 0) return;
  const std::uint32_t id = living_[up_to(static_cast<unsigned>(living_.size()) - 1)];
  Flow& flow = flows_[id];
  if (!flow.known || flow.ended) return;
  went_right(id, send(flow, flow.kind == FlowKind::tcp ? Kind::ack : Kind::udp, flow.sequence));
}

void World::hang_up(unsigned backend) {
  for (const std::uint32_t id : living_) {
    Flow& flow = flows_[id];
    if (flow.at != backend) continue;
    flow.end = std::min(flow.end, now_);
    flow.half_closed = false;
  }
}

// ---- Time

void World::at(double seconds_from_now, What what, std::uint32_t flow) {
  events_.push({now_ + static_cast<Time>(seconds_from_now * 1e6), order_++, what, flow,
                flow < flows_.size() ? flows_[flow].life : 0});
}

void World::run(unsigned seconds) {
  const Time end = now_ + Time{seconds} * 1'000'000;
  for (Time tick = now_ + 100'000; tick <= end; tick += 100'000) {
    while (!events_.empty() && events_.top().at < tick) {
      const Event event = events_.top();
      events_.pop();
      now_ = std::max(now_, event.at);
      handle(event);
    }
    now_ = tick;
    if (flood_ != Flood::none) {
      flooder_.send(flood_, flood_rate_ / 10);
      tally.spoofed += flood_rate_ / 10;
    }
    if (tick % 1'000'000 == 0) new_second();
  }
}

void World::new_second() {
  kernel.pass(std::chrono::seconds{1});
  if (settings.spoofed != 0) spoof_into_living();
  if (daemon_) sweep();
  if (followed_)
    for (const std::uint32_t id : living_)
      if (flows_[id].client.address == followed_) follow("second", flows_[id], flows_[id].at);
}

void World::handle(const Event& event) {
  if (event.what == What::arrival) {
    if (!arrivals_) return;
    arrive();
    at(exponential(1 / arrivals_a_second_), What::arrival, 0);
    return;
  }
  if (flows_[event.flow].life != event.life) return;
  switch (event.what) {
    case What::start:
      return start(event.flow);
    case What::answer:
      return answer(event.flow);
    default:
      return packet(event.flow);
  }
}

// ---- A flow's life

World::Tuple World::new_tuple(FlowKind kind) {
  if (kind == FlowKind::tcp && !ended_.empty() && chance(settings.reused)) {
    const auto which = up_to(static_cast<unsigned>(ended_.size()) - 1);
    const Tuple again = ended_[which];
    ended_[which] = ended_.back();
    ended_.pop_back();
    return again;
  }
  const std::uint32_t n = tuples_++;
  const auto byte = [&](unsigned i) { return static_cast<std::uint8_t>(n >> 8 * i); };
  const bool v6 = n % 2 != 0;
  return {v6 ? ip("2001:db8::10") : ip("203.0.113.10"),
          {v6 ? IpAddress::v6({0xfd, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(2), byte(1), byte(0)})
              : IpAddress::v4({11, byte(2), byte(1), byte(0)}),
           static_cast<std::uint16_t>(1024 + n * 7 % 60000)}};
}

void World::arrive() {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(flows_.size()));
    flows_.emplace_back();
  }
  const std::uint32_t id = free_.back();
  free_.pop_back();
  const auto kind = !chance(settings.udp) ? FlowKind::tcp
                    : chance(1.0 / 3)     ? FlowKind::quic
                                          : FlowKind::udp;
  const Tuple tuple = new_tuple(kind);
  Flow flow;
  flow.vip = tuple.vip;
  flow.client = tuple.client;
  flow.kind = kind;
  flow.life = flows_[id].life;
  flow.place = static_cast<std::uint32_t>(living_.size());
  flow.isn = static_cast<std::uint32_t>(random_());
  flow.quiet = chance(settings.quiet);
  // A quiet flow's FIN may come when its row's home has an idle time behind it already.
  flow.half_closed = !flow.quiet && chance(settings.half_closed);
  const double quiet_life = max_quiet * static_cast<double>(settings.idle.tcp.count()) * 2;
  flow.end = now_ + static_cast<Time>(exponential(flow.quiet ? quiet_life : settings.life) * 1e6);
  flows_[id] = flow;
  living_.push_back(id);
  tally.flows++;
  if (kind == FlowKind::udp)
    packet(id);
  else
    start(id);
}

void World::start(std::uint32_t id) {
  Flow& flow = flows_[id];
  flow.tries++;
  if (!chance(settings.loss)) {
    const auto to =
        flow.kind == FlowKind::tcp ? send(flow, Kind::syn, flow.isn) : send(flow, Kind::udp, 0);
    if (to && runs(*to)) {
      flow.at = to;
      note_room(flow);
      if (!chance(settings.loss)) return at(0.01 + 0.2 * fraction(), What::answer, id);
    }
  }
  constexpr double waits[] = {1, 2, 4};
  if (flow.tries <= std::size(waits)) return at(waits[flow.tries - 1], What::start, id);
  tally.never++;
  finish(id);
}

void World::answer(std::uint32_t id) {
  Flow& flow = flows_[id];
  flow.answered = true;
  flow.sequence = flow.isn + 1;
  tally.begun++;
  if (*flow.at + 1 == site.size()) tally.to_last++;
  if (chance(settings.loss)) return at(fraction(), What::packet, id);  // its ACK is lost
  const Kind kind = flow.kind == FlowKind::tcp ? Kind::ack : Kind::udp;
  if (went_right(id, send(flow, kind, flow.sequence))) at(next_gap(flow), What::packet, id);
}

double World::next_gap(const Flow& flow) {
  const auto idle = static_cast<double>((flow.kind != FlowKind::tcp ? settings.idle.udp
                                         : flow.ended               ? settings.idle.tcp_closing
                                                                    : settings.idle.tcp)
                                            .count());
  const double most = max_quiet * idle;
  return flow.quiet ? most * (0.1 + 0.9 * fraction())
                    : std::min(0.05 + exponential(settings.gap), most);
}

void World::packet(std::uint32_t id) {
  Flow& flow = flows_[id];
  if (now_ >= flow.end) return close(id);
  if (flow.kind != FlowKind::tcp) {
    const bool first = !flow.at;
    if (first) {
      const RowState row = memory.row_of(tuple_of(flow));
      flow.stopgap = row.moving && row.home != row.owner &&
                     memory.owner_of_unknown(row, Protocol::udp) == row.owner;
    }
    const auto to = send(flow, Kind::udp, 0);
    if (first) {
      if (!to || !runs(*to)) return finish(id);
      flow.at = to;
      flow.answered = true;
      tally.begun++;
      if (*to + 1 == site.size()) tally.to_last++;
    }
    if (went_right(id, to)) at(next_gap(flow), What::packet, id);
    return;
  }
  const bool data = flow.ended ? false : chance(0.7);
  if (data) flow.sequence += 1;
  if (!went_right(id, send(flow, data ? Kind::data : Kind::ack, flow.sequence))) return;
  if (data) flow.sequence += up_to(100'000);
  at(next_gap(flow), What::packet, id);
}

/// A TCP flow's end: RST, or FIN and the last ACK; half-closed ones go on for a while after FIN.
void World::close(std::uint32_t id) {
  Flow& flow = flows_[id];
  if (flow.kind != FlowKind::tcp) return finish(id);
  if (!flow.ended) {
    flow.ended = true;
    if (chance(settings.reset)) {
      if (went_right(id, send(flow, Kind::rst, flow.sequence))) finish(id);
      return;
    }
    if (!went_right(id, send(flow, Kind::fin, flow.sequence))) return;
    flow.sequence++;
    if (!flow.half_closed) return at(0.05, What::packet, id);
    flow.end = now_ + static_cast<Time>(exponential(settings.life) * 1e6);
    return at(next_gap(flow), What::packet, id);
  }
  if (went_right(id, send(flow, Kind::ack, flow.sequence))) finish(id);
}

void World::finish(std::uint32_t id) {
  Flow& flow = flows_[id];
  flow.life++;
  if (flow.kind == FlowKind::tcp) ended_.push_back({flow.vip, flow.client});
  living_[flow.place] = living_.back();
  flows_[living_.back()].place = flow.place;
  living_.pop_back();
  free_.push_back(id);
}

// ---- Packets

std::optional<unsigned> World::send(Flow& flow, Kind kind, std::uint32_t sequence) {
  const bool initial = flow.kind == FlowKind::quic && !flow.answered;
  const auto frame = initial ? quic_initial(flow.vip, flow.client)
                             : frame_to(flow.vip, flow.client, kind, sequence);
  const auto to = kernel.backend_of(frame);
  tally.packets++;
  if (followed_ == flow.client.address)
    follow(initial             ? "initial"
           : kind == Kind::syn ? "SYN"
           : kind == Kind::fin ? "FIN"
           : kind == Kind::rst ? "RST"
                               : "packet",
           flow, to ? Site::backend_at(*to) : std::nullopt);
  if (to) return Site::backend_at(*to);
  for (unsigned backend = 0; backend < site.size(); backend++)
    if (site.takes_new(backend)) {
      tally.no_backend++;
      break;
    }
  return std::nullopt;
}

void World::follow(const char* what, const Flow& flow, std::optional<unsigned> to) {
  const RowState row = memory.row_of(tuple_of(flow));
  const auto backend = [&](std::uint16_t slot) {
    const auto found = slot == SLOT_NONE ? std::nullopt : Site::backend_at(memory.address_of(slot));
    return found ? fmt::format("{}", *found) : std::string{"none"};
  };
  std::printf(
      "%8.3f s (%u) %s: %s -> %s | row %u: owner %s, moving %d, home %s, started %u, refused %u, "
      "%s\n",
      time(), kernel.now(), flow.client.address.str().c_str(), what,
      to ? fmt::format("{}", *to).c_str() : "nobody", row.index, backend(row.owner).c_str(),
      row.moving ? 1 : 0, backend(row.home).c_str(), row.started, row.refused,
      memory.stored(tuple_of(flow)) ? "stored" : "not stored");
}

bool World::went_right(std::uint32_t id, std::optional<unsigned> to) {
  Flow& flow = flows_[id];
  if (to == flow.at) {
    flow.known = flow.known || !flow.ended;  // an end alone makes nothing known
    note_room(flow);
    return true;
  }
  const auto [what, count] = [&]() -> std::pair<const char*, std::uint64_t*> {
    if (!runs(*flow.at) || !site.serves_known(*flow.at)) return {"lost", &tally.lost};
    if (flow.stopgap) return {"stopgap", &tally.stopgap};
    if (flow.unkept) return {"unkept", &tally.unkept};
    if (!flow.known) return {"misled", &tally.misled};
    return {"broken", &tally.broken};
  }();
  ++*count;
  if (followed_) follow(what, flow, to);
  finish(id);
  return false;
}

/// A flow that began away from home and could not be kept is nowhere known.
void World::note_room(Flow& flow) {
  const auto tuple = tuple_of(flow);
  const RowState row = memory.row_of(tuple);
  if (!row.moving) return;
  if (memory.stored(tuple))
    flow.unkept = false;
  else if (row.refused == kernel.now() && row.home != row.owner && row.home != SLOT_NONE &&
           memory.address_of(row.home) != Site::address(*flow.at))
    flow.unkept = true;
}

void World::end_flows_of(unsigned backend) {
  for (std::size_t i = living_.size(); i-- > 0;) {
    const std::uint32_t id = living_[i];
    if (flows_[id].at != backend) continue;
    tally.lost++;
    finish(id);
  }
}

/// Those whose backend serves known flows no longer; and UDP that is not kept where it is down.
void World::end_lost_flows() {
  for (unsigned backend = 0; backend < site.size(); backend++)
    if (!site.serves_known(backend)) end_flows_of(backend);
  for (const std::uint32_t id : living_) {
    Flow& flow = flows_[id];
    if (flow.at && flow.kind != FlowKind::tcp && !site.serves_unknown_udp(*flow.at))
      flow.stopgap = true;
  }
}

void World::end_yielded_flows() {
  for (std::size_t i = living_.size(); i-- > 0;) {
    const std::uint32_t id = living_[i];
    const Flow& flow = flows_[id];
    const auto tuple = tuple_of(flow);
    if (!flow.at || memory.stored(tuple)) continue;
    if (!flow.known && (flow.kind != FlowKind::tcp || memory.start(tuple, flow.isn))) continue;
    const std::uint16_t to = memory.owner_of_unknown(memory.row_of(tuple), tuple.protocol);
    if (to != SLOT_NONE && memory.address_of(to) == Site::address(*flow.at)) continue;
    tally.yielded++;
    finish(id);
  }
}

/// SYN, FIN and RST with numbers that are not the flow's.
void World::spoof_into_living() {
  for (unsigned i = 0; i < settings.spoofed && !living_.empty(); i++) {
    const Flow& flow = flows_[living_[up_to(static_cast<unsigned>(living_.size()) - 1)]];
    if (!flow.known || flow.kind != FlowKind::tcp) continue;
    constexpr Kind kinds[] = {Kind::syn, Kind::fin, Kind::rst};
    const Kind kind = kinds[up_to(2)];
    auto sequence = static_cast<std::uint32_t>(random_());
    if (sequence - flow.isn < 2 * end_window || flow.sequence - sequence < 2 * end_window)
      sequence += 1U << 31;
    kernel.backend_of(frame_to(flow.vip, flow.client, kind, sequence));
    tally.spoofed++;
  }
}

std::string World::violation() const {
  std::vector<Known> known;
  for (const std::uint32_t id : living_) {
    const Flow& flow = flows_[id];
    if (!flow.known || flow.unkept || flow.stopgap) continue;
    known.push_back({tuple_of(flow), Site::address(*flow.at)});
  }
  return test::violation(memory, known, broken_off_ ? Moment::broken_off : Moment::whole);
}

void print(const char* name, const World& world) {
  const Tally& t = world.tally;
  const double rows =
      2.0 * world.settings.rows * static_cast<double>(std::max<std::uint64_t>(1, t.seconds));
  fmt::print(
      "{}: {:.0f} s, {} flows, {} packets and {} spoofed; broken {}, misled {}; no room {}, "
      "yielded {}, UDP of backends down {}, lost with their backend {}, no answer {}; rows moving "
      "{:.3f}, yielded {}; at most {} entries\n",
      name, world.time(), t.flows, t.packets, t.spoofed, t.broken, t.misled, t.unkept, t.yielded,
      t.stopgap, t.lost, t.never, static_cast<double>(t.seconds_moving) / rows, t.rows_yielded,
      t.most_entries);
  std::fflush(stdout);
}

}  // namespace lbd::test
