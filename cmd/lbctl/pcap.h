// Captures in the classic pcap format, Ethernet only: what replay reads and writes. Stricter than a
// library that takes any format: what isn't this is refused.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <vector>

#include "lb/model/result.h"

namespace lbd::lbctl {

struct Frame {
  std::uint32_t seconds = 0;
  std::uint32_t fraction = 0;  ///< of a second, in the capture's unit
  std::vector<std::uint8_t> bytes;
};

class PcapReader {
 public:
  static Result<PcapReader> open(const std::filesystem::path&);

  /// The next frame; nothing at the end. An Error where the file is cut or not what it said.
  Result<std::optional<Frame>> next();
  [[nodiscard]] bool nanoseconds() const { return nanoseconds_; }

 private:
  explicit PcapReader(std::ifstream file) : file_{std::move(file)} {}
  [[nodiscard]] std::uint32_t word(std::span<const char, 4> bytes) const;

  std::ifstream file_;
  bool swapped_ = false;  // in the other byte order than this machine's
  bool nanoseconds_ = false;
};

class PcapWriter {
 public:
  /// In this machine's byte order, with the unit of `like`.
  static Result<PcapWriter> create(const std::filesystem::path&, const PcapReader& like);

  Result<> write(const Frame&);
  Result<> finish();

 private:
  explicit PcapWriter(std::ofstream file) : file_{std::move(file)} {}
  std::ofstream file_;
};

}  // namespace lbd::lbctl
