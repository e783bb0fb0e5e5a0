// A small world of clients, servers, attackers and one daemon around the real program: events in
// their order, every packet a test run, hours in seconds. LBD_SEED chooses the run, LBD_FOLLOW a
// client whose packets and row are printed.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "flood.h"
#include "invariants.h"
#include "memory.h"
#include "site.h"

namespace lbd::test {

/// LBD_SEED, or else a random one; printed once.
std::uint64_t seed_of_run();

struct Settings {
  std::uint64_t seed = 1;
  std::uint32_t rows = 251;
  unsigned backends = 10;
  double flows_per_row = 15;  ///< living at once, of both protocols
  double life = 60;           ///< s, the mean of a flow that is not quiet
  double gap = 4;             ///< s, the mean between its packets
  double quiet = 0.2;         ///< of the flows: gaps up to 0.9 of the idle time
  double udp = 0.15;          ///< of the flows; a third of them begin as QUIC does
  double loss = 0.02;         ///< of SYNs, of their answers, and of first ACKs
  double half_closed = 0.05;  ///< of TCP flows: the client's end is not the last of it
  double reset = 0.1;         ///< end with RST
  double reused = 0.05;       ///< use the tuple of an ended flow again
  unsigned spoofed = 0;       ///< SYNs, FINs and RSTs a second, into living flows
  std::uint32_t flow_entries = 65536;
  std::uint32_t start_cells = 65536;
  reconcile::IdleTimes idle{.tcp = std::chrono::seconds{120},
                            .tcp_closing = std::chrono::seconds{40},
                            .udp = std::chrono::seconds{40},
                            .change_wait = std::chrono::seconds{300}};
  unsigned scan_each = 5;  ///< s; rounds without a scan each second
};

/// What became of flows. Their backend serves known flows in all but the last rows.
struct Tally {
  std::uint64_t flows = 0;       ///< that were begun
  std::uint64_t packets = 0;     ///< of theirs
  std::uint64_t spoofed = 0;     ///< packets of attackers
  std::uint64_t broken = 0;      ///< went elsewhere later than with their first packet
  std::uint64_t misled = 0;      ///< began at one backend and went on at another
  std::uint64_t no_backend = 0;  ///< packets to nobody while a backend was up
  std::uint64_t unkept = 0;      ///< broken that began where there was no room for them
  std::uint64_t yielded = 0;     ///< broken since a home was given up before its time
  std::uint64_t rows_yielded = 0;
  std::uint64_t stopgap = 0;         ///< broken UDP that met a backend which is down
  std::uint64_t lost = 0;            ///< with their backend
  std::uint64_t never = 0;           ///< had no answer
  std::uint64_t to_last = 0;         ///< began at the newest backend
  std::uint64_t begun = 0;           ///< had an answer
  std::uint64_t seconds_moving = 0;  ///< rows times seconds
  std::uint64_t seconds = 0;
  std::uint64_t most_entries = 0;
};

class World {
 public:
  explicit World(const Settings&);

  /// What a backend is from the next apply() on.
  void set(unsigned backend, As as) { site.set(backend, as); }
  /// Its process ends or begins, whatever the balancer knows.
  void kill(unsigned backend);
  void revive(unsigned backend);

  void apply();
  /// The daemon dies before its n-th write; then there is none until restart(). False: it had
  /// fewer.
  bool apply_and_die(unsigned writes);
  bool sweep_and_die(unsigned writes);
  void restart();
  [[nodiscard]] bool has_daemon() const { return daemon_; }

  void run(unsigned seconds);
  /// A round of the daemon's at once, as after a change that came just before its second.
  void sweep();
  void flood(Flood flood, unsigned packets_a_second) {
    flood_ = flood;
    flood_rate_ = packets_a_second;
  }
  /// The clients of flows that live there close them when they next have something to say.
  void hang_up(unsigned backend);
  /// No new flows; those that live go on.
  void stop_arrivals() { arrivals_ = false; }
  /// Packets of living flows between any two writes of changes: one in so many writes; 0: none.
  void packets_between_writes(unsigned one_in) { between_ = one_in; }

  [[nodiscard]] std::size_t living() const { return living_.size(); }
  [[nodiscard]] std::string violation() const;
  [[nodiscard]] double time() const { return static_cast<double>(now_) / 1e6; }
  std::mt19937_64& random() { return random_; }
  unsigned up_to(unsigned n);  ///< 0 … n

  Settings settings;
  Kernel kernel;
  Memory memory;
  Site site;
  Tally tally;

 private:
  using Time = std::int64_t;  // µs
  enum class What : std::uint8_t { arrival, start, answer, packet };
  enum class FlowKind : std::uint8_t { tcp, udp, quic };
  struct Event {
    Time at;
    std::uint64_t order;
    What what;
    std::uint32_t flow;
    std::uint32_t life;  ///< of the flow's place: an event of one that is gone is nothing
    bool operator>(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  struct Flow {
    IpAddress vip = IpAddress::v4({});
    Client client{IpAddress::v4({}), 0};
    FlowKind kind = FlowKind::tcp;
    std::uint32_t life = 0;
    std::uint32_t place = 0;  ///< in living_
    std::uint32_t isn = 0;
    std::uint32_t sequence = 0;
    Time end = 0;
    std::optional<unsigned> at;  ///< where its last start went, then where it lives
    unsigned tries = 0;
    bool quiet = false;
    bool answered = false;
    bool known = false;  ///< a packet after the answer has gone right
    bool ended = false;  ///< FIN was sent
    bool half_closed = false;
    bool unkept = false;
    bool stopgap = false;
  };
  struct Tuple {
    IpAddress vip;
    Client client;
  };

  [[nodiscard]] dataplane::Tuple tuple_of(const Flow&) const;
  double fraction() { return std::uniform_real_distribution<>{0, 1}(random_); }
  bool chance(double p) { return fraction() < p; }
  double exponential(double mean) { return std::exponential_distribution<>{1 / mean}(random_); }

  void at(double seconds_from_now, What, std::uint32_t flow);
  void handle(const Event&);
  void new_second();
  void arrive();
  Tuple new_tuple(FlowKind);
  void start(std::uint32_t);
  void answer(std::uint32_t);
  void packet(std::uint32_t);
  void close(std::uint32_t);
  [[nodiscard]] double next_gap(const Flow&);
  std::optional<unsigned> send(Flow&, Kind, std::uint32_t sequence);
  /// Whether the packet went where the flow lives; if not, that is the flow's end.
  bool went_right(std::uint32_t, std::optional<unsigned> to);
  void note_room(Flow&);
  void finish(std::uint32_t);
  void end_flows_of(unsigned backend);
  void end_lost_flows();
  void end_yielded_flows();
  void spoof_into_living();
  void send_between_writes();
  void follow(const char* what, const Flow&, std::optional<unsigned> to);
  [[nodiscard]] bool runs(unsigned backend) const {
    return backend >= dead_.size() || !dead_[backend];
  }

  std::mt19937_64 random_;
  Flooder flooder_;
  Flood flood_ = Flood::none;
  unsigned flood_rate_ = 0;
  unsigned between_ = 0;
  bool arrivals_ = true;
  bool daemon_ = true;
  bool broken_off_ = false;
  unsigned rounds_ = 0;
  Time now_ = 0;
  std::uint64_t order_ = 0;
  std::uint32_t tuples_ = 0;
  double arrivals_a_second_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<Flow> flows_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> living_;
  std::vector<Tuple> ended_;
  std::vector<bool> dead_;
  std::optional<IpAddress> followed_;
};

/// One line of what happened so far.
void print(const char* name, const World&);

}  // namespace lbd::test
