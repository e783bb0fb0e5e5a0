// What a failing packet test prints.
#include "packet/describe.h"

#include <catch2/catch.hpp>
#include <vector>

namespace {

using Bytes = std::vector<std::uint8_t>;

/// Ethernet, IPv4 around IPv6, TCP.
Bytes encapsulated() {
  Bytes frame(14 + 20 + 40 + 20);
  frame[14] = 0x45;
  frame[14 + 8] = 64;
  frame[14 + 9] = 41;
  frame[34] = 0x60;
  frame[34 + 6] = 6;
  return frame;
}
/// Ethernet, IPv4, UDP.
Bytes plain() {
  Bytes frame(14 + 20 + 8 + 2);
  frame[14] = 0x45;
  frame[14 + 9] = 17;
  return frame;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

TEST_CASE("the first field that differs is told by name and value") {
  const struct {
    Bytes want;
    std::size_t at;
    std::uint8_t got;
    const char* line;
  } cases[] = {
      {encapsulated(), 5, 9, "eth.dst: want 00:00:00:00:00:00, got 00:00:00:00:00:09"},
      {encapsulated(), 12, 8, "eth.type: want 0x0000, got 0x0800"},
      {encapsulated(), 22, 63, "outer ip4.ttl: want 64, got 63"},
      {encapsulated(), 16, 1, "outer ip4.length: want 0, got 256"},
      {encapsulated(), 33, 7, "outer ip4.dst: want 0.0.0.0, got 0.0.0.7"},
      {encapsulated(), 35, 0x10, "inner ip6.version_class_label: want 0x60000000, got 0x60100000"},
      {encapsulated(), 73, 1, "inner ip6.dst: want ::, got ::1"},
      {encapsulated(), 74, 1, "inner tcp.sport: want 0, got 256"},
      {encapsulated(), 93, 1, "inner tcp.urgent: want 0, got 1"},
      {plain(), 22, 1, "ip4.ttl: want 0, got 1"},
      {plain(), 41, 1, "udp.checksum: want 0x0000, got 0x0001"},
      {plain(), 43, 1, "byte 43: want 0x00, got 0x01"},
  };
  for (const auto& c : cases) {
    Bytes got = c.want;
    got[c.at] = c.got;
    CHECK(first_line(lbd::test::difference(c.want, got)) == c.line);
  }
}

TEST_CASE("a frame of another length differs where it ends, an equal one nowhere") {
  const Bytes want = plain();
  const Bytes shorter(want.begin(), want.end() - 1);
  CHECK(first_line(lbd::test::difference(want, shorter)) == "length of the frame: want 44, got 43");
  CHECK(first_line(lbd::test::difference(shorter, want)) == "length of the frame: want 43, got 44");
  CHECK(first_line(lbd::test::difference(want, {})) == "length of the frame: want 44, got 0");
  CHECK(lbd::test::difference(want, want).empty());
}

TEST_CASE("bytes that differ are marked in both frames") {
  const Bytes want{1, 2, 3};
  const Bytes got{1, 9};
  const std::string text = lbd::test::difference(want, got);
  CHECK(text.substr(text.find('\n')) == "\n want  01 [02][03]\n got   01 [09]");
}
