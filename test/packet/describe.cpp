#include "packet/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "lb/model/address.h"

namespace lbd::test {
namespace {

enum class As { number, hex, address, mac };

/// A field of a header: its bytes are `offset` … `offset + size - 1`.
struct Field {
  std::string name;
  std::size_t offset;
  std::size_t size;
  As as = As::number;
};

/// A header: its fields, which lie side by side, and what stands before their names.
struct Header {
  const char* name;
  std::vector<Field> fields;
};

const Header& ethernet() {
  static const Header header{
      "eth", {{"dst", 0, 6, As::mac}, {"src", 6, 6, As::mac}, {"type", 12, 2, As::hex}}};
  return header;
}
const Header& ip4() {
  static const Header header{"ip4",
                             {{"version_ihl", 0, 1, As::hex},
                              {"tos", 1, 1, As::hex},
                              {"length", 2, 2},
                              {"id", 4, 2},
                              {"fragment", 6, 2, As::hex},
                              {"ttl", 8, 1},
                              {"protocol", 9, 1},
                              {"checksum", 10, 2, As::hex},
                              {"src", 12, 4, As::address},
                              {"dst", 16, 4, As::address}}};
  return header;
}
const Header& ip6() {
  static const Header header{"ip6",
                             {{"version_class_label", 0, 4, As::hex},
                              {"length", 4, 2},
                              {"next", 6, 1},
                              {"hop_limit", 7, 1},
                              {"src", 8, 16, As::address},
                              {"dst", 24, 16, As::address}}};
  return header;
}
const Header& tcp() {
  static const Header header{"tcp",
                             {{"sport", 0, 2},
                              {"dport", 2, 2},
                              {"seq", 4, 4},
                              {"ack", 8, 4},
                              {"offset_flags", 12, 2, As::hex},
                              {"window", 14, 2},
                              {"checksum", 16, 2, As::hex},
                              {"urgent", 18, 2}}};
  return header;
}
const Header& udp() {
  static const Header header{
      "udp", {{"sport", 0, 2}, {"dport", 2, 2}, {"length", 4, 2}, {"checksum", 6, 2, As::hex}}};
  return header;
}

std::size_t size_of(const Header& header) {
  return header.fields.back().offset + header.fields.back().size;
}

/// The field that byte `at` of the frame is in, if it is in this header that begins at `start`.
std::optional<Field> field_in(const Header& header, std::size_t start, std::size_t at,
                              std::string_view where) {
  for (const Field& field : header.fields)
    if (at >= start + field.offset && at < start + field.offset + field.size)
      return Field{fmt::format("{}{}.{}", where, header.name, field.name), start + field.offset,
                   field.size, field.as};
  return std::nullopt;
}

/// The field that byte `at` is in; one byte without a name where it is in no header.
Field field_at(Frame frame, std::size_t at) {
  if (const auto field = field_in(ethernet(), 0, at, "")) return *field;
  std::size_t start = size_of(ethernet());
  for (const char* where : {"outer ", "inner "}) {
    if (start >= frame.size()) break;
    const bool v6 = frame[start] >> 4 == 6;
    const Header& ip = v6 ? ip6() : ip4();
    const std::size_t protocol_at = start + (v6 ? 6 : 9);
    const std::uint8_t protocol = protocol_at < frame.size() ? frame[protocol_at] : 0;
    const bool encapsulates = protocol == 4 || protocol == 41;
    if (!encapsulates && *where == 'o') where = "";  // there is one IP header only
    if (const auto field = field_in(ip, start, at, where)) return *field;
    start += size_of(ip);
    if (encapsulates) continue;
    const bool has_ports = protocol == 6 || protocol == 17;
    const auto field = field_in(protocol == 6 ? tcp() : udp(), start, at, where);
    if (has_ports && field) return *field;
    break;
  }
  return {fmt::format("byte {}", at), at, 1, As::hex};
}

std::string value_of(const Field& field, Frame frame) {
  if (field.offset + field.size > frame.size()) return "nothing";
  const Frame bytes = frame.subspan(field.offset, field.size);
  if (field.as == As::mac) {
    Mac mac;
    std::copy(bytes.begin(), bytes.end(), mac.bytes.begin());
    return mac.str();
  }
  if (field.as == As::address && field.size == 4)
    return IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]}).str();
  if (field.as == As::address) {
    std::array<std::uint8_t, 16> address{};
    std::copy(bytes.begin(), bytes.end(), address.begin());
    return IpAddress::v6(address).str();
  }
  std::uint32_t number = 0;
  for (const std::uint8_t byte : bytes) number = number << 8 | byte;
  return field.as == As::hex ? fmt::format("{:#0{}x}", number, 2 + 2 * field.size)
                             : fmt::format("{}", number);
}

std::string marked_hex(Frame frame, Frame other) {
  std::string text;
  for (std::size_t i = 0; i < frame.size(); i++) {
    const bool differs = i >= other.size() || frame[i] != other[i];
    if (i > 0 && i % 16 == 0) text += "\n      ";
    text += fmt::format("{}{:02x}{}", differs ? '[' : ' ', frame[i], differs ? ']' : ' ');
  }
  return text;
}

std::string first_difference(Frame want, Frame got, std::size_t at) {
  if (at >= want.size() || at >= got.size())
    return fmt::format("length of the frame: want {}, got {}", want.size(), got.size());
  const Field field = field_at(want, at);
  return fmt::format("{}: want {}, got {}", field.name, value_of(field, want),
                     value_of(field, got));
}

}  // namespace

std::string difference(Frame want, Frame got) {
  const auto differs = std::mismatch(want.begin(), want.end(), got.begin(), got.end());
  if (differs.first == want.end() && differs.second == got.end()) return {};
  const auto at = static_cast<std::size_t>(differs.first - want.begin());
  return fmt::format("{}\n want {}\n got  {}", first_difference(want, got, at),
                     marked_hex(want, got), marked_hex(got, want));
}

}  // namespace lbd::test
