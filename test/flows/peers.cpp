#include "peers.h"

namespace lbd::test {

std::vector<Peer> peers(unsigned count, unsigned first) {
  std::vector<Peer> all;
  for (unsigned i = first; i < first + count; i++) {
    const auto high = static_cast<std::uint8_t>(i >> 8);
    const auto low = static_cast<std::uint8_t>(i);
    const bool v4 = i % 2 == 0;
    all.push_back(
        {.vip = v4 ? ip("203.0.113.10") : ip("2001:db8::10"),
         .client = {v4 ? IpAddress::v4({198, 51, high, low})
                       : IpAddress::v6({0xfd, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low}),
                    static_cast<std::uint16_t>(1024 + i * 7)},
         .isn = i * 2654435761U});
  }
  return all;
}

std::vector<std::uint8_t> quic_initial(const IpAddress& vip, const Client& client,
                                       unsigned payload) {
  auto frame = frame_to(vip, client, Kind::udp);
  const unsigned udp = 8 + payload;
  const unsigned ip_length = vip.is_v4() ? 20 + udp : udp;
  const std::size_t ip_at = vip.is_v4() ? 16 : 18;  // of the length field
  const std::size_t udp_at = frame.size() - 4;
  const auto put = [&](std::size_t at, unsigned value) {
    frame[at] = static_cast<std::uint8_t>(value >> 8);
    frame[at + 1] = static_cast<std::uint8_t>(value);
  };
  put(ip_at, ip_length);
  put(udp_at, udp);
  frame.push_back(0xc3);
  frame.resize(frame.size() + payload - 1);
  return frame;
}

std::optional<unsigned> Rig::send(const Peer& peer, Kind kind, std::uint32_t offset) {
  const auto owner = kernel.backend_of(frame_to(peer.vip, peer.client, kind, peer.isn + offset));
  return owner ? Site::backend_at(*owner) : std::nullopt;
}

std::optional<unsigned> Rig::quic(const Peer& peer, unsigned payload) {
  const auto owner = kernel.backend_of(quic_initial(peer.vip, peer.client, payload));
  return owner ? Site::backend_at(*owner) : std::nullopt;
}

std::optional<unsigned> Rig::backend_in(std::uint16_t slot) const {
  return slot == SLOT_NONE ? std::nullopt : Site::backend_at(memory.address_of(slot));
}

std::optional<unsigned> Rig::home_of(const Peer& peer, Protocol protocol) const {
  return backend_in(row_of(peer, protocol).home);
}

std::optional<unsigned> Rig::owner_of(const Peer& peer, Protocol protocol) const {
  return backend_in(row_of(peer, protocol).owner);
}

std::vector<Peer> Rig::owned_by(unsigned backend, unsigned count) const {
  std::vector<Peer> all = peers(count);
  std::erase_if(all, [&](const Peer& peer) { return owner_of(peer) != backend; });
  return all;
}

std::vector<Peer> Rig::moving_from(unsigned home, Protocol protocol, unsigned count) const {
  std::vector<Peer> all = peers(count);
  std::erase_if(all, [&](const Peer& peer) {
    const RowState row = row_of(peer, protocol);
    return !row.moving || row.owner == row.home || backend_in(row.home) != home;
  });
  return all;
}

}  // namespace lbd::test
