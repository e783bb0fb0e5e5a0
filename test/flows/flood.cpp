#include "flood.h"

#include <array>

namespace lbd::test {
namespace {

Kind kind_of(Flood flood) {
  switch (flood) {
    case Flood::syn:
    case Flood::syn_ack_pairs:
      return Kind::syn;
    case Flood::fin:
      return Kind::fin;
    case Flood::rst:
      return Kind::rst;
    case Flood::udp:
      return Kind::udp;
    default:
      return Kind::ack;
  }
}

}  // namespace

const char* to_string(Flood flood) {
  constexpr std::array names{"no flood", "SYN", "ACK", "SYN and ACK", "FIN", "RST", "UDP"};
  return names.at(static_cast<std::size_t>(flood));
}

Flooder::Flooder(Kernel& kernel, std::uint64_t seed) : kernel_{kernel}, random_{seed} {}

void Flooder::send(Flood flood, unsigned count) {
  const Kind kind = kind_of(flood);
  for (unsigned i = 0; i < count; i++) {
    const bool v6 = random_() % 2 == 0;
    const IpAddress vip = v6 ? ip("2001:db8::10") : ip("203.0.113.10");
    const auto low = static_cast<std::uint32_t>(random_());
    const auto byte = [&](unsigned n) { return static_cast<std::uint8_t>(low >> 8 * n); };
    // Networks of their own, so that no client is met by chance.
    const Client client{v6 ? IpAddress::v6({0xfd, 0, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0, byte(0), byte(1),
                                            byte(2), byte(3)})
                           : IpAddress::v4({12, byte(0), byte(1), byte(2)}),
                        static_cast<std::uint16_t>(random_() | 1)};
    const auto sequence = static_cast<std::uint32_t>(random_());
    kernel_.backend_of(frame_to(vip, client, kind, sequence));
    if (flood == Flood::syn_ack_pairs)
      kernel_.backend_of(frame_to(vip, client, Kind::ack, sequence + 1));
  }
}

}  // namespace lbd::test
