// Packets of nobody: floods with spoofed sources.
#pragma once
#include <cstdint>
#include <random>

#include "unit/kernel_fixture.h"

namespace lbd::test {

enum class Flood : std::uint8_t { none, syn, ack, syn_ack_pairs, fin, rst, udp };

/// "SYN", …
[[nodiscard]] const char* to_string(Flood);

class Flooder {
 public:
  Flooder(Kernel& kernel, std::uint64_t seed);
  /// Sends `count` packets (pairs: twice as many), each of another random source.
  void send(Flood, unsigned count);

 private:
  Kernel& kernel_;
  std::mt19937_64 random_;
};

}  // namespace lbd::test
