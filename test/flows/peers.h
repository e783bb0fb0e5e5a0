// Clients of both families for tests that follow single packets, and where their packets go.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "memory.h"
#include "site.h"

namespace lbd::test {

struct Peer {
  IpAddress vip;
  Client client;
  std::uint32_t isn = 0;

  [[nodiscard]] dataplane::Tuple tuple(Protocol protocol = Protocol::tcp) const {
    return {client.address, Port{client.port}, vip, Port{80}, protocol};
  }
};

/// `count` peers from the first-th on; IPv4 and IPv6 by turns.
std::vector<Peer> peers(unsigned count, unsigned first = 0);

/// A client's first datagram of QUIC: an Initial of 1,200 bytes, or with less one that shows no
/// beginning.
std::vector<std::uint8_t> quic_initial(const IpAddress& vip, const Client&,
                                       unsigned payload = 1200);

/// A kernel with a site on it.
class Rig {
 public:
  explicit Rig(unsigned backends, std::uint32_t flows = 4096, std::uint32_t starts = 4096)
      : kernel{flows, starts}, memory{kernel} {
    site.up(backends);
    apply();
  }
  void apply() { kernel.apply(site.desired()); }
  void set(unsigned backend, As as) {
    site.set(backend, as);
    apply();
  }
  void pass(unsigned seconds) { kernel.pass(std::chrono::seconds{seconds}); }

  /// The backend a packet goes to; nothing where it is not forwarded. `offset` is added to the
  /// peer's initial sequence number.
  std::optional<unsigned> send(const Peer&, Kind, std::uint32_t offset = 1);
  std::optional<unsigned> syn(const Peer& peer) { return send(peer, Kind::syn, 0); }
  std::optional<unsigned> ack(const Peer& peer) { return send(peer, Kind::ack); }
  std::optional<unsigned> quic(const Peer&, unsigned payload = 1200);

  [[nodiscard]] RowState row_of(const Peer& peer, Protocol protocol = Protocol::tcp) const {
    return memory.row_of(peer.tuple(protocol));
  }
  [[nodiscard]] std::optional<unsigned> backend_in(std::uint16_t slot) const;
  [[nodiscard]] std::optional<unsigned> home_of(const Peer&, Protocol = Protocol::tcp) const;
  [[nodiscard]] std::optional<unsigned> owner_of(const Peer&, Protocol = Protocol::tcp) const;
  [[nodiscard]] std::uint64_t entries() const { return memory.flows().size(); }
  /// Peers among `count` whose row has that owner, or moves from one backend to another.
  std::vector<Peer> owned_by(unsigned backend, unsigned count = 400) const;
  std::vector<Peer> moving_from(unsigned home, Protocol = Protocol::tcp,
                                unsigned count = 400) const;

  Kernel kernel;
  Memory memory;
  Site site;
  reconcile::IdleTimes idle{.tcp = std::chrono::seconds{300},
                            .tcp_closing = std::chrono::seconds{60},
                            .udp = std::chrono::seconds{60},
                            .change_wait = std::chrono::seconds{600}};
  reconcile::Swept sweep() { return kernel.sweep(idle); }
};

}  // namespace lbd::test
