// The packets that benchmarks send, and the form in which the BPF side writes them anew.
#pragma once
#include <cstdint>
#include <vector>

#include "lb/model/address.h"
#include "rewind.h"

namespace lbd::bench {

/// Of literals: not one is a programming error.
[[nodiscard]] IpAddress ip(std::string_view text);

struct Frame {
  std::vector<std::uint8_t> bytes;  ///< at least REWIND_FRAME
  bool v6 = false;                  ///< the outer header
  bool many_clients = true;         ///< address and port of the client vary with the flow
};

/// A TCP segment to port 443 of a VIP, without its client.
[[nodiscard]] Frame tcp_to(const IpAddress& vip, std::uint8_t tcp_flags = REWIND_FLAGS);

struct Ends {
  IpAddress source;
  IpAddress destination;
};
/// An encapsulated packet as a balancer sends it. Always the same one: nothing depends on its flow.
[[nodiscard]] Frame tunnelled(const Ends& outer, const Ends& inner);

/// The state of a wrapper that walks `flows` flows with this frame, each once, in another order
/// than that of their indices; by `growth` the program under test makes it longer.
[[nodiscard]] rewind_words words_of(const Frame& frame, std::uint32_t flows, int growth);

}  // namespace lbd::bench
