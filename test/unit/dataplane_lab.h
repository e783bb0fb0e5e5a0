// What the tests of the data plane share: pin paths of their own, one service, and a packet to it.
#pragma once
#include <net/if.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lb/dataplane/data_plane.h"
#include "lb/dataplane/keys.h"

namespace lbd::dataplane::test {

namespace fs = std::filesystem;

inline const Log quiet{Level::error};

/// A pin path of this process alone, removed with all below it.
class PinPath {
 public:
  PinPath() {
    static int made = 0;
    path_ = "/sys/fs/bpf/lbd-test-" + std::to_string(::getpid()) + "-" + std::to_string(made++);
  }
  PinPath(const PinPath&) = delete;
  PinPath& operator=(const PinPath&) = delete;
  ~PinPath() { static_cast<void>(DataPlane::cleanup(path_).has_value()); }
  operator const fs::path&() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

inline Options small(const PinPath& path) {
  Options options;
  options.pin_path = path;
  options.sizes = {.rows = 64, .backends = 4, .counters = 4, .flow_lines = 4, .start_lines = 2};
  options.hash_key.k[0] = 1;
  return options;
}

/// The data plane; the test ends where it can't be opened.
inline std::unique_ptr<DataPlane> opened(const Options& options) {
  auto plane = DataPlane::open(options, quiet);
  if (!plane) FAIL(plane.error().message());
  return std::move(*plane);
}

template <class T>
T expect(Result<T> result) {
  if (!result) FAIL(result.error().message());
  return std::move(*result);
}
inline void expect(const Result<>& result) {
  if (!result) FAIL(result.error().message());
}

/// One UDP service whose counter 1 counts what its only backend gets.
inline void fill(Tables& tables) {
  const FrontendKey key{*IpAddress::parse("198.51.100.1"), Port{53}, 17};
  tables.next_hops[1].mtu = 1500;
  tables.next_hops[1].source4 = 1;
  tables.next_hops[1].ifindex = ::if_nametoindex("lo");
  tables.backends[0].flags = abi::BACKEND_USED;
  tables.backends[0].next_hop = 1;
  set_address(tables.backends[0], *IpAddress::parse("10.0.0.3"));
  auto& cell = tables.frontends4[buckets_of(key).home].cell[0];
  cell.value = {};
  cell.value.ring_size = 32;
  cell.value.counter_base = 1;
  publish(cell.key, key4_of(key));
  const std::uint32_t bit = address_bit_of(key.address);
  tables.address_filter[bit / 64] |= 1ULL << (bit % 64);
}

/// As a program stores it, but for the print.
inline void store_flow(Tables& tables, std::uint16_t slot) {
  abi::flow_cell& cell = tables.flows[1].cell[1];
  cell.slot = slot;
  cell.flags = abi::FLOW_USED;
}
[[nodiscard]] inline std::uint16_t stored_slot(const Tables& tables) {
  return tables.flows[1].cell[1].slot;
}

/// To that service. The IPv4 checksum is left 0: nobody on the way to the program looks.
inline std::vector<std::uint8_t> packet() {
  return {0x02, 0,    0, 0,  0, 1, 0x02, 0, 0,  0,  0, 2, 0x08, 0,  // Ethernet
          0x45, 0,    0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 10,   0, 0, 9, 198, 51, 100, 1,  // IPv4
          0x30, 0x39, 0, 53, 0, 8, 0,    0};                                               // UDP
}

inline std::uint64_t packets_counted(Tables& tables, std::uint32_t index) {
  return expect(tables.counters.sum(index)).packets + tables.counted[index].packets;
}

}  // namespace lbd::dataplane::test
