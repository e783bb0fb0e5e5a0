#include "lb/desired/desired.h"

#include "maglev/maglev.h"

namespace lbd::desired {
namespace {

Backend desire_backend(const lbd::Backend& configured) {
  Backend backend{.address = configured.address, .weight = configured.weight};
  switch (configured.state) {
    case AdminState::enabled:
      backend.serves_known = true;
      backend.takes_new = configured.weight > 0;
      if (!backend.takes_new) backend.why = "weight 0";
      break;
    case AdminState::drain:
      backend.state = State::draining;
      backend.serves_known = true;
      backend.why = "draining by configuration";
      break;
    case AdminState::disabled:
      backend.state = State::disabled;
      backend.why = "disabled by configuration";
      break;
  }
  return backend;
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::up:
      return "up";
    case State::down:
      return "down";
    case State::draining:
      return "draining";
    case State::disabled:
      return "disabled";
    case State::terminating:
      return "terminating";
  }
  return "";
}

Desired desire(const config::Config& config) {
  Desired desired{.decap = config.decap, .tunnel_source = config.node.tunnel_source};
  for (const lbd::Service& configured : config.services) {
    Service service{.policy = configured};
    for (const lbd::Backend& backend : configured.backends)
      service.backends.push_back(desire_backend(backend));
    desired.services.push_back(std::move(service));
  }
  return desired;
}

std::vector<std::uint16_t> table(const Service& service) {
  std::vector<maglev::Member> members;
  members.reserve(service.backends.size());
  for (const Backend& backend : service.backends)
    members.push_back({.identity = maglev::identity_of(backend.address.bytes(), 0),
                       .weight = backend.takes_new ? backend.weight : 0U});
  return maglev::build(members, service.policy.table_size);
}

}  // namespace lbd::desired
