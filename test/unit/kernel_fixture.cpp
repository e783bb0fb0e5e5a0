#include "kernel_fixture.h"

#include <linux/bpf.h>

namespace lbd::test {
namespace {

constexpr std::array<std::uint8_t, 16> test_key = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                                   0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

}  // namespace

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
  return apply(desired::desire(config));
}

reconcile::Applied Kernel::apply(desired::Desired desired) {
  desired_ = std::move(desired);
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
