#include "lb/reconcile/held.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "lb/dataplane/keys.h"

namespace lbd::reconcile {

std::optional<ServicePort> port_of(const FrontendKey& key) {
  if (key.protocol == 0) return std::nullopt;
  const auto number = key.protocol & static_cast<std::uint8_t>(~PROTOCOL_EVERY_PORT);
  return ServicePort{key.port, static_cast<Protocol>(number)};
}

FrontendKey key_of(const IpAddress& address, const ServicePort& port) {
  auto protocol = static_cast<std::uint8_t>(port.protocol);
  if (port.port.host_order() == 0) protocol |= PROTOCOL_EVERY_PORT;
  return {address, port.port, protocol};
}

FrontendKey address_key_of(const IpAddress& address) {
  return {address, Port{0}, 0};
}

const HeldService* Held::find(std::string_view name) const {
  const auto found = std::find_if(services.begin(), services.end(), [&](const HeldService& s) {
    return s.name == name && !s.leaving();
  });
  return found == services.end() ? nullptr : &*found;
}

std::uint32_t row_hash(const abi::service& service, const abi::hash_key& hash_key,
                       const abi::flow_key& key) {
  if ((service.flags & abi::FRONTEND_SOURCE_IP) == 0) return dataplane::hash_of(hash_key, key);
  abi::flow_key source_only{};
  std::copy(std::begin(key.source), std::end(key.source), std::begin(source_only.source));
  source_only.protocol = key.protocol;
  source_only.v6 = key.v6;
  return dataplane::hash_of(hash_key, source_only);
}

Held read_held(Writer& writer) {
  const auto& tables = writer.tables();
  Held held{.frontends = FrontendTable{writer}.read()};
  std::map<std::uint32_t, std::size_t> at;
  for (std::uint32_t index = 0; index < tables.services.size(); index++) {
    const abi::service& record = tables.services[index];
    if (record.name[0] == 0) continue;
    HeldService service{.index = index, .record = record};
    service.name = std::string{record.name, strnlen(record.name, sizeof record.name)};
    for (std::uint32_t slot = 0; slot < record.slots; slot++) {
      const abi::backend& backend = tables.backends[record.backend_base + slot];
      if (backend.flags & abi::BACKEND_USED)
        service.slots.emplace(dataplane::address_of(backend), static_cast<std::uint16_t>(slot));
    }
    at.emplace(index, held.services.size());
    held.services.push_back(std::move(service));
  }
  for (const auto& [key, frontend] : held.frontends) {
    const auto port = port_of(key);
    const auto service = at.find(frontend.service);
    if (port && service != at.end())
      held.services[service->second].counter_bases.emplace(*port, frontend.counter_base);
  }
  return held;
}

}  // namespace lbd::reconcile
