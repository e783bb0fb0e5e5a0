#include "lb/desired/changes.h"

#include <map>

namespace lbd::desired {
namespace {

void compare_backends(const Service& from, const Service& to, Changes& changes) {
  std::map<IpAddress, const Backend*> before;
  for (const Backend& backend : from.backends) before.emplace(backend.address, &backend);
  const auto name = [&](const Backend& backend) {
    return to.policy.name + "/" + backend.address.str();
  };
  for (const Backend& backend : to.backends) {
    const auto old = before.find(backend.address);
    if (old == before.end()) {
      changes.backends_added.push_back(name(backend));
      continue;
    }
    if (*old->second != backend) changes.backends_changed.push_back(name(backend));
    before.erase(old);
  }
  for (const Backend& backend : from.backends)
    if (before.contains(backend.address)) changes.backends_removed.push_back(name(backend));
}

}  // namespace

Changes changes(const Desired& from, const Desired& to) {
  Changes changes;
  std::map<std::string_view, const Service*> before;
  for (const Service& service : from.services) before.emplace(service.policy.name, &service);
  for (const Service& service : to.services) {
    const auto old = before.find(service.policy.name);
    if (old == before.end()) {
      changes.services_added.push_back(service.policy.name);
      continue;
    }
    if (*old->second != service) {
      changes.services_changed.push_back(service.policy.name);
      compare_backends(*old->second, service, changes);
    }
    before.erase(old);
  }
  for (const Service& service : from.services)
    if (before.contains(service.policy.name))
      changes.services_removed.push_back(service.policy.name);
  return changes;
}

}  // namespace lbd::desired
