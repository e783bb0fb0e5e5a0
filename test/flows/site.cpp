#include "site.h"

namespace lbd::test {

Site::Site(std::uint32_t rows) : service{Web{}.service} {
  service.table_size = rows;
}

IpAddress Site::address(unsigned backend) {
  const auto high = static_cast<std::uint8_t>(backend >> 8);
  const auto low = static_cast<std::uint8_t>(backend);
  if (backend % 3 == 2)
    return IpAddress::v6({0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, high, low});
  return IpAddress::v4({10, 7, high, low});
}

std::optional<unsigned> Site::backend_at(const IpAddress& address) {
  const auto bytes = address.bytes();
  const unsigned backend = bytes[bytes.size() - 2] * 256U + bytes[bytes.size() - 1];
  return Site::address(backend) == address ? std::optional{backend} : std::nullopt;
}

Site& Site::set(unsigned backend, As as) {
  if (backend >= backends_.size()) backends_.resize(backend + 1);
  backends_[backend].as = as;
  return *this;
}

Site& Site::weigh(unsigned backend, std::uint16_t weight) {
  backends_.at(backend).weight = weight;
  return *this;
}

Site& Site::up(unsigned count) {
  for (unsigned backend = 0; backend < count; backend++) set(backend, As::up);
  return *this;
}

As Site::as(unsigned backend) const {
  return backends_.at(backend).as;
}

std::uint16_t Site::weight(unsigned backend) const {
  return backends_.at(backend).weight;
}

bool Site::takes_new(unsigned backend) const {
  return as(backend) == As::up && weight(backend) != 0;
}

bool Site::serves_known(unsigned backend) const {
  switch (as(backend)) {
    case As::up:
    case As::drained:
    case As::down_keep:
      return true;
    case As::absent:
      return service.removed_backends == RemovedBackends::drain;
    case As::disabled:
    case As::down_reselect:
      return false;
  }
  return false;
}

bool Site::serves_unknown_udp(unsigned backend) const {
  return serves_known(backend) && as(backend) != As::down_keep;
}

desired::Desired Site::desired() const {
  config::Config config;
  config.services.push_back(service);
  auto& configured = config.services[0].backends;
  for (unsigned backend = 0; backend < size(); backend++) {
    if (as(backend) == As::absent) continue;
    const auto state = as(backend) == As::drained    ? AdminState::drain
                       : as(backend) == As::disabled ? AdminState::disabled
                                                     : AdminState::enabled;
    configured.push_back({address(backend), weight(backend), state});
  }
  desired::Desired desired = desired::desire(config);
  for (desired::Backend& backend : desired.services[0].backends) {
    const As now = as(*backend_at(backend.address));
    if (now != As::down_keep && now != As::down_reselect) continue;
    backend.state = desired::State::down;
    backend.takes_new = false;
    backend.serves_known = now == As::down_keep;
  }
  return desired;
}

}  // namespace lbd::test
