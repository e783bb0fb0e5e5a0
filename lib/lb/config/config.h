// The configuration file: what it may say (docs/configuration.md), read into values or refused with
// every error in it.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lb/model/address.h"
#include "lb/model/service.h"

namespace lbd::config {

enum class XdpMode : std::uint8_t { automatic, native, generic };

/// Addresses of this node that outer headers carry; unset: the egress interface's own.
struct TunnelSource {
  std::optional<IpAddress> ipv4;
  std::optional<IpAddress> ipv6;
  bool operator==(const TunnelSource&) const = default;
};

struct Node {
  std::vector<std::string> interfaces;
  XdpMode xdp_mode = XdpMode::automatic;
  TunnelSource tunnel_source;
  std::filesystem::path pin_path = "/sys/fs/bpf/lbd";
  std::filesystem::path state_dir = "/var/lib/lbd";
  bool operator==(const Node&) const = default;
};

/// The 128-bit key of the flow hash, as the file's 32 hexadecimal digits are written.
using HashKey = std::array<std::uint8_t, 16>;

struct ConnectionTable {
  std::uint32_t entries = 1'048'576;
  std::uint32_t starts = 1'048'576;
  std::chrono::milliseconds tcp_idle = std::chrono::minutes{125};
  std::chrono::milliseconds tcp_closing = std::chrono::seconds{120};
  std::chrono::milliseconds udp_idle = std::chrono::seconds{60};
  /// Nothing: forever.
  std::optional<std::chrono::milliseconds> change_wait = std::chrono::minutes{10};
  bool operator==(const ConnectionTable&) const = default;
};

struct Decap {
  bool enabled = false;
  std::vector<Prefix> allow_from;
  bool operator==(const Decap&) const = default;
};

struct Config {
  Node node;
  HashKey hash_key{};  ///< never left zero by load(): a fixed built-in one is the default
  ConnectionTable connection_table;
  Decap decap;
  std::filesystem::path admin_socket = "/run/lbd/lbd.sock";
  std::vector<Service> services;
  bool operator==(const Config&) const = default;
};

/// A place in the file and what was expected there.
struct Finding {
  std::uint32_t line = 1;    ///< from 1
  std::uint32_t column = 1;  ///< from 1
  std::string key;           ///< full path, "services[0].ports[1].port"; empty: the file as a whole
  std::string expected;
  bool operator==(const Finding&) const = default;
};

/// "FILE:LINE:COLUMN: KEY: EXPECTED", FILE as the operator gave it.
[[nodiscard]] std::string to_string(const Finding&, std::string_view file);

struct Loaded {
  Config config;                  ///< meaningless where there are errors
  std::vector<Finding> errors;    ///< all of the file's, in the order of their places
  std::vector<Finding> warnings;  ///< what is allowed and probably not meant
};

/// Reads and checks `text`. Never throws; a YAML syntax error is reported alone.
[[nodiscard]] Loaded parse(std::string_view text);
/// The same for a file; one that can't be read is an error at 1:1.
[[nodiscard]] Loaded load(const std::filesystem::path&);

/// What `next` would change that a running daemon cannot: one finding a key (places are 1:1), empty
/// where the reload may go ahead. interfaces.md: pinPath, stateDir and admin.socket never; hashKey,
/// the sizes of connectionTable, and of a service that stays tableSize and hash.
[[nodiscard]] std::vector<Finding> fixed_keys_changed(const Config& running, const Config& next);

}  // namespace lbd::config
