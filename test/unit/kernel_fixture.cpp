#include "kernel_fixture.h"

#include <linux/bpf.h>

namespace lbd::test {
namespace {

constexpr std::array<std::uint8_t, 16> test_key = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                                   0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

void put16(std::vector<std::uint8_t>& bytes, unsigned value) {
  bytes.push_back(static_cast<std::uint8_t>(value >> 8));
  bytes.push_back(static_cast<std::uint8_t>(value));
}

void append(std::vector<std::uint8_t>& bytes, std::span<const std::uint8_t> more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

std::uint8_t tcp_flags(Kind kind) {
  switch (kind) {
    case Kind::syn:
      return 0x02;
    case Kind::fin:
      return 0x11;
    case Kind::rst:
      return 0x04;
    default:
      return 0x10;
  }
}

}  // namespace

std::vector<std::uint8_t> frame_to(const IpAddress& vip, const Client& client, Kind kind,
                                   std::optional<std::uint32_t> asked) {
  const std::uint32_t sequence = asked.value_or(kind == Kind::syn ? 1 : 2);
  std::vector<std::uint8_t> frame(12, 2);
  const std::uint8_t protocol = kind == Kind::udp ? 17 : 6;
  const unsigned transport = kind == Kind::udp ? 8 : kind == Kind::data ? 21 : 20;
  if (vip.is_v4()) {
    append(frame, std::array<std::uint8_t, 4>{0x08, 0x00, 0x45, 0x00});
    put16(frame, 20 + transport);
    append(frame, std::array<std::uint8_t, 8>{0, 1, 0x40, 0, 63, protocol, 0, 0});
  } else {
    append(frame, std::array<std::uint8_t, 6>{0x86, 0xdd, 0x60, 0, 0, 0});
    put16(frame, transport);
    append(frame, std::array<std::uint8_t, 2>{protocol, 63});
  }
  append(frame, client.address.bytes());
  append(frame, vip.bytes());
  put16(frame, client.port);
  put16(frame, 80);
  if (kind == Kind::udp) {
    put16(frame, 8);
    put16(frame, 0);
    return frame;
  }
  put16(frame, sequence >> 16);
  put16(frame, sequence);
  append(frame, std::array<std::uint8_t, 4>{});
  append(frame, std::array<std::uint8_t, 8>{0x50, tcp_flags(kind), 1, 0, 0, 0, 0, 0});
  if (kind == Kind::data) frame.push_back('x');
  return frame;
}

Kernel::Kernel(std::uint32_t flows, std::uint32_t starts)
    : hash_key_{dataplane::hash_key_from(test_key)} {
  auto opened =
      dataplane::DataPlane::open({.sizes = {.rows = 4096,
                                            .backends = 256,
                                            .counters = 1024,
                                            .flow_lines = dataplane::flow_lines_for(flows),
                                            .start_lines = dataplane::start_lines_for(starts)},
                                  .hash_key = hash_key_,
                                  .trace = true,
                                  .given_time = true},
                                 log_);
  if (!opened) FAIL(opened.error().message());
  plane_ = std::move(*opened);
  pass(std::chrono::seconds{100000});  // as if the machine had been up for a day
  restart();
}

reconcile::Applied Kernel::apply(const config::Config& config) {
  desired_ = desired::desire(config);
  auto applied = reconciler_->apply(desired_, neighbors, false);
  if (!applied) FAIL(applied.error().message());
  applied_ = *applied;
  return *applied;
}

std::optional<IpAddress> Kernel::backend_of(std::span<const std::uint8_t> frame) {
  const auto ran = plane_->run(frame);
  if (!ran) FAIL(ran.error().message());
  if (ran->action != XDP_TX) return std::nullopt;
  const auto& tables = plane_->tables();
  const abi::service& service = tables.services[trace().service];
  return dataplane::address_of(tables.backends[service.backend_base + trace().slot]);
}

void Kernel::pass(std::chrono::seconds time) {
  dataplane::publish(*plane_->tables().seconds,
                     plane_->now() + static_cast<std::uint32_t>(time.count()));
}

std::optional<dataplane::StoredFlow> Kernel::stored(const dataplane::Tuple& tuple,
                                                    std::uint32_t service) {
  return dataplane::FlowMemory{plane_->tables(), hash_key_}.find(
      dataplane::flow_key_of(tuple, service));
}

Web::Web() {
  service.name = "web";
  service.addresses = {ip("203.0.113.10"), ip("2001:db8::10")};
  service.ports = {{Port{80}, Protocol::tcp}, {Port{80}, Protocol::udp}};
  service.table_size = 251;
  service.allow_from = {*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")};
}

Web& Web::backend(std::string_view address, std::uint16_t weight, AdminState state) {
  service.backends.push_back({ip(address), weight, state});
  return *this;
}

config::Config Web::config() const {
  config::Config config;
  config.services.push_back(service);
  return config;
}

}  // namespace lbd::test
