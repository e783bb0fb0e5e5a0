// The shipped program against packets made by scapy: every byte, the verdict, the reason, and the
// counters.
#include <fmt/format.h>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <fstream>
#include <iterator>
#include <map>

#include "packet/describe.h"
#include "unit/kernel_fixture.h"

namespace {

using namespace lbd;
using Bytes = std::vector<std::uint8_t>;

const std::string golden = LBD_SOURCE_DIR "/test/packet/golden/";

std::string read_file(const std::string& path) {
  std::ifstream file{path};
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>{file}, {}};
}

Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(
        static_cast<std::uint8_t>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16)));
  return bytes;
}

/// A string, or "" for null.
std::string text(const boost::json::value& value) {
  return value.is_null() ? "" : std::string{value.as_string()};
}

struct Outcome {
  std::string verdict;
  std::string reason;
  std::string service;
  std::string backend;
  Bytes frame;
};

Outcome run(test::Kernel& kernel, const Bytes& frame) {
  const auto ran = kernel.plane().run(frame);
  if (!ran) FAIL(ran.error().message());
  const auto& tables = kernel.plane().tables();
  const abi::trace& trace = kernel.trace();
  Outcome outcome{.verdict = std::string{reconcile::verdict_label(trace.verdict)},
                  .reason = std::string{reconcile::reason_label(trace.reason)},
                  .frame = ran->frame};
  if (trace.service == TRACE_NONE) return outcome;
  outcome.service = tables.services[trace.service].name;
  if (trace.slot != TRACE_NONE)
    outcome.backend = dataplane::address_of(
                          tables.backends[tables.services[trace.service].backend_base + trace.slot])
                          .str();
  return outcome;
}

/// The node that the golden packets meet, with one of the configurations beside them.
void set_up(test::Kernel& kernel, const std::string& config) {
  kernel.neighbors.mac = *Mac::parse("02:00:00:00:00:0b");
  kernel.neighbors.unreachable = {test::ip("10.0.9.9"), test::ip("fd01:9::9")};
  kernel.neighbors.other_ifindex = {{test::ip("10.0.5.5"), 7}, {test::ip("fd01:5::5"), 7}};
  kernel.neighbors.local = {test::ip("10.0.0.2"),     test::ip("fd01::2"),
                            test::ip("203.0.113.40"), test::ip("2001:db8:1::40"),
                            test::ip("127.0.0.1"),    test::ip("::1")};
  const auto loaded = config::load(golden + config);
  for (const auto& error : loaded.errors) FAIL(config::to_string(error, config));
  CHECK(kernel.apply(loaded.config).refused.empty());
}

using Counts = std::map<std::string, reconcile::Count>;

/// Every counter, by reason or by service and backend.
Counts counts_of(test::Kernel& kernel) {
  Counts counts;
  const auto snapshot = kernel.snapshot();
  for (const auto& reason : snapshot.reasons) counts[reason.reason] = reason.count;
  for (const auto& service : snapshot.services)
    for (const auto& port : service.ports)
      for (std::size_t i = 0; i < port.backend_count.size(); i++)
        counts[service.name + " " + service.backends[i].address.str()] += port.backend_count[i];
  return counts;
}

/// The counters that rose, with the packets and, of backends, the bytes they rose by.
std::vector<std::string> risen(const Counts& before, const Counts& after) {
  std::vector<std::string> lines;
  for (const auto& [name, count] : after) {
    const auto found = before.find(name);
    const reconcile::Count old = found == before.end() ? reconcile::Count{} : found->second;
    if (count == old) continue;
    std::string line = fmt::format("{}: {} packets", name, count.packets - old.packets);
    if (name.find(' ') != std::string::npos)
      line += fmt::format(", {} bytes", count.bytes - old.bytes);
    lines.push_back(line);
  }
  return lines;
}

/// RFC 1071: a header with its checksum sums to all ones.
bool header_checksum_holds(const Bytes& frame) {
  std::uint32_t sum = 0;
  for (std::size_t i = 14; i < 34; i += 2)
    sum += static_cast<std::uint32_t>(frame[i] << 8 | frame[i + 1]);
  return (sum & 0xffff) + (sum >> 16) == 0xffff;
}

void clear_free_bits(Bytes& frame, const boost::json::value& free) {
  for (const auto& one : free.as_array()) {
    const auto offset = static_cast<std::size_t>(one.at(0).as_int64());
    if (offset < frame.size()) frame[offset] &= static_cast<std::uint8_t>(~one.at(1).as_int64());
  }
}

/// The one counter that a case must raise; bytes are the inner packet's.
std::string wanted_count(const boost::json::value& wanted) {
  if (!wanted.at("reason").is_null()) return text(wanted.at("reason")) + ": 1 packets";
  const Bytes out = from_hex(text(wanted.at("out")));
  return fmt::format("{} {}: 1 packets, {} bytes", text(wanted.at("service")),
                     text(wanted.at("backend")), out.size() - 14 - (out[14] >> 4 == 4 ? 20 : 40));
}

void check_case(test::Kernel& kernel, const boost::json::value& wanted) {
  const Counts before = counts_of(kernel);
  Outcome got = run(kernel, from_hex(text(wanted.at("in"))));
  CHECK(got.verdict == text(wanted.at("verdict")));
  CHECK(got.reason == text(wanted.at("reason")));
  CHECK(got.service == text(wanted.at("service")));
  CHECK(got.backend == text(wanted.at("backend")));
  CHECK(risen(before, counts_of(kernel)) == std::vector{wanted_count(wanted)});
  if (wanted.at("out").is_null()) return;
  Bytes out = from_hex(text(wanted.at("out")));
  if (wanted.at("reason").is_null() && out[14] >> 4 == 4) CHECK(header_checksum_holds(got.frame));
  clear_free_bits(out, wanted.at("free"));
  clear_free_bits(got.frame, wanted.at("free"));
  const std::string difference = test::difference(out, got.frame);
  INFO(difference);
  CHECK(difference.empty());
}

/// The section's name is the case's: `lbd-packet-tests GROUP -c CASE` reruns it alone.
void check_group(const std::string& group) {
  static std::map<std::string, test::Kernel> kernels;  // by configuration: loading takes a while
  const auto file = boost::json::parse(read_file(golden + group + ".json"));
  const std::string config = text(file.at("config"));
  const auto [kernel, is_new] = kernels.try_emplace(config);
  if (is_new) set_up(kernel->second, config);
  REQUIRE_FALSE(file.at("cases").as_array().empty());
  for (const auto& wanted : file.at("cases").as_array()) {
    const std::string name = text(wanted.at("name"));
    DYNAMIC_SECTION(name) {
      INFO(fmt::format("rerun: build/lbd-packet-tests {} -c '{}'", group, name));
      check_case(kernel->second, wanted);
    }
  }
}

}  // namespace

TEST_CASE("forwarding") {
  check_group("forwarding");
}
TEST_CASE("unmatched") {
  check_group("unmatched");
}
TEST_CASE("hostile") {
  check_group("hostile");
}
TEST_CASE("decapsulation") {
  check_group("decapsulation");
}
TEST_CASE("plain") {
  check_group("plain");
}
