#include "lb/desired/desired.h"

#include <catch2/catch.hpp>

#include "lb/desired/changes.h"
#include "maglev/maglev.h"

namespace {

using namespace lbd;
using desired::State;

Backend backend(const char* address, std::uint16_t weight = 100,
                AdminState state = AdminState::enabled) {
  return {*IpAddress::parse(address), weight, state};
}

config::Config with(std::vector<Backend> backends, const char* name = "web") {
  config::Config config;
  Service service;
  service.name = name;
  service.table_size = 251;
  service.backends = std::move(backends);
  config.services.push_back(std::move(service));
  return config;
}

}  // namespace

TEST_CASE("a backend takes new flows where the operator and its weight let it") {
  struct Case {
    const char* name;
    Backend configured;
    State state;
    bool takes_new;
    bool serves_known;
  };
  const Case cases[] = {
      {"an enabled one takes all", backend("10.0.0.1"), State::up, true, true},
      {"weight 0 keeps known flows", backend("10.0.0.1", 0), State::up, false, true},
      {"drain keeps known flows", backend("10.0.0.1", 100, AdminState::drain), State::draining,
       false, true},
      {"disabled keeps none", backend("10.0.0.1", 100, AdminState::disabled), State::disabled,
       false, false},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const auto desired = desired::desire(with({c.configured}));
    const desired::Backend& got = desired.services.at(0).backends.at(0);
    CHECK(got.state == c.state);
    CHECK(got.takes_new == c.takes_new);
    CHECK(got.serves_known == c.serves_known);
    CHECK(got.why.empty() == c.takes_new);
  }
}

TEST_CASE("the table has rows of those alone that take new flows") {
  const auto desired =
      desired::desire(with({backend("10.0.0.1"), backend("10.0.0.2", 0),
                            backend("10.0.0.3", 100, AdminState::drain), backend("2001:db8::1")}));
  std::vector<unsigned> rows(4);
  for (const std::uint16_t owner : desired::table(desired.services[0])) rows.at(owner)++;
  CHECK(rows[1] == 0);
  CHECK(rows[2] == 0);
  CHECK(rows[0] + rows[3] == 251);
  CHECK(rows[0] >= 125);
  CHECK(rows[3] >= 125);
}

TEST_CASE("without a backend that takes new flows no row has an owner") {
  const auto desired = desired::desire(with({backend("10.0.0.1", 0)}));
  for (const std::uint16_t owner : desired::table(desired.services[0]))
    REQUIRE(owner == maglev::no_owner);
}

TEST_CASE("changes name services and backends") {
  const auto before = desired::desire(with({backend("10.0.0.1"), backend("10.0.0.2")}));
  auto after = desired::desire(with({backend("10.0.0.1", 50), backend("10.0.0.3")}));
  after.services.push_back(desired::desire(with({backend("10.0.0.4")}, "dns")).services[0]);

  const auto changed = desired::changes(before, after);
  CHECK(changed.services_added == std::vector<std::string>{"dns"});
  CHECK(changed.services_changed == std::vector<std::string>{"web"});
  CHECK(changed.services_removed.empty());
  CHECK(changed.backends_added == std::vector<std::string>{"web/10.0.0.3"});
  CHECK(changed.backends_removed == std::vector<std::string>{"web/10.0.0.2"});
  CHECK(changed.backends_changed == std::vector<std::string>{"web/10.0.0.1"});

  CHECK(desired::changes(before, before) == desired::Changes{});
  CHECK(desired::changes(after, before).services_removed == std::vector<std::string>{"dns"});
}
