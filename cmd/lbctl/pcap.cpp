#include "lbctl/pcap.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace lbd::lbctl {
namespace {

constexpr std::uint32_t magic_us = 0xa1b2c3d4;
constexpr std::uint32_t magic_ns = 0xa1b23c4d;
constexpr std::uint32_t ethernet = 1;                 // LINKTYPE_ETHERNET
constexpr std::uint32_t link_type_bits = 0x0fffffff;  // above: the length of a frame check sequence
constexpr std::uint32_t frame_max = 262144;           // the snapshot length that tcpdump allows

void append(std::ofstream& file, std::initializer_list<std::uint32_t> words) {
  for (const std::uint32_t word : words)
    file.write(reinterpret_cast<const char*>(&word), sizeof word);
}

}  // namespace

std::uint32_t PcapReader::word(std::span<const char, 4> bytes) const {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return swapped_ ? __builtin_bswap32(value) : value;
}

Result<PcapReader> PcapReader::open(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  if (!file) return errno_error("open " + path.string(), errno);
  PcapReader reader{std::move(file)};
  std::array<char, 24> header{};
  if (!reader.file_.read(header.data(), header.size()))
    return Error{path.string() + ": expected an Ethernet pcap file, got a shorter one"};
  const std::span<const char, 24> bytes{header};
  std::uint32_t magic = reader.word(bytes.first<4>());
  if (magic == __builtin_bswap32(magic_us) || magic == __builtin_bswap32(magic_ns)) {
    reader.swapped_ = true;
    magic = __builtin_bswap32(magic);
  }
  if (magic != magic_us && magic != magic_ns)
    return Error{path.string() + ": expected a pcap file (microseconds or nanoseconds; no pcapng)"};
  reader.nanoseconds_ = magic == magic_ns;
  if ((reader.word(bytes.last<4>()) & link_type_bits) != ethernet)
    return Error{path.string() + ": expected Ethernet frames (link type 1)"};
  return reader;
}

Result<std::optional<Frame>> PcapReader::next() {
  std::array<char, 16> header{};
  file_.read(header.data(), header.size());
  if (file_.gcount() == 0) return std::optional<Frame>{};
  if (!file_) return Error{"the capture ends within a record's header"};
  const std::span<const char, 16> bytes{header};
  const std::uint32_t length = word(bytes.subspan<8, 4>());
  if (length > frame_max) return Error{"a record of the capture is longer than 262144 bytes"};
  Frame frame{word(bytes.first<4>()), word(bytes.subspan<4, 4>()), {}};
  frame.bytes.resize(length);
  if (!file_.read(reinterpret_cast<char*>(frame.bytes.data()), length))
    return Error{"the capture ends within a frame"};
  return std::optional<Frame>{std::move(frame)};
}

Result<PcapWriter> PcapWriter::create(const std::filesystem::path& path, const PcapReader& like) {
  std::ofstream file{path, std::ios::binary | std::ios::trunc};
  if (!file) return errno_error("create " + path.string(), errno);
  constexpr std::uint32_t version = 4U << 16 | 2;  // 2.4, as two 16-bit words
  append(file, {like.nanoseconds() ? magic_ns : magic_us, version, 0, 0, frame_max, ethernet});
  return PcapWriter{std::move(file)};
}

Result<> PcapWriter::write(const Frame& frame) {
  const auto length = static_cast<std::uint32_t>(frame.bytes.size());
  append(file_, {frame.seconds, frame.fraction, length, length});
  file_.write(reinterpret_cast<const char*>(frame.bytes.data()), length);
  if (!file_) return errno_error("write the output capture", errno);
  return {};
}

Result<> PcapWriter::finish() {
  file_.close();
  if (!file_) return errno_error("write the output capture", errno);
  return {};
}

}  // namespace lbd::lbctl
