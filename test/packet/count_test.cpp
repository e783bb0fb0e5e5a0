// What the reasons' counters count: the IP packet's bytes, as far as the program read its length.
#include <algorithm>

#include "unit/kernel_fixture.h"

namespace {

using namespace lbd;
using Frame = std::vector<std::uint8_t>;

reconcile::Count count_of(test::Kernel& kernel, std::string_view reason) {
  const auto reasons = kernel.snapshot().reasons;
  const auto found = std::find_if(reasons.begin(), reasons.end(),
                                  [&](const auto& r) { return r.reason == reason; });
  return found == reasons.end() ? reconcile::Count{} : found->count;
}

Frame to_port(Frame frame, std::uint8_t port) {
  frame[frame[12] == 0x86 ? 57 : 37] = port;  // behind Ethernet, IP, and the source port
  return frame;
}

Frame padded(Frame frame) {
  frame.resize(frame.size() + 46);
  return frame;
}

}  // namespace

TEST_CASE("a reason counts packets, and their bytes without Ethernet header and padding") {
  test::Kernel kernel;
  kernel.neighbors.unreachable = {test::ip("10.0.0.9")};
  kernel.apply(test::Web{}.backend("10.0.0.9").config());
  for (const char* client : {"198.51.100.1", "2001:db8:c::1"}) {
    const bool v4 = std::string_view{client}.find('.') != std::string_view::npos;
    const auto frame_to = [&](const char* vip4, const char* vip6) {
      return test::frame_to(test::ip(v4 ? vip4 : vip6), {test::ip(client), 1000}, test::Kind::syn);
    };
    const Frame web = frame_to("203.0.113.10", "2001:db8::10");
    const Frame foreign = frame_to("203.0.113.99", "2001:db8::99");
    const std::size_t length = web.size() - 14;
    const Frame cut{web.begin(), web.end() - 1};
    struct Case {
      const char* reason;
      Frame frame;
      std::size_t bytes;
    };
    const Case cases[] = {
        {"no-neighbor", web, length},
        {"no-neighbor", padded(web), length},
        {"no-service-port", padded(to_port(web, 81)), length},
        {"malformed", padded(to_port(web, 0)), length},
        {"truncated", cut, length - 1},               // what there is of it
        {"not-a-vip", padded(foreign), length + 46},  // whose length nobody reads
    };
    for (const Case& wanted : cases) {
      INFO(client << " " << wanted.reason << " " << wanted.frame.size());
      const reconcile::Count before = count_of(kernel, wanted.reason);
      REQUIRE(kernel.plane().run(wanted.frame).has_value());
      const reconcile::Count after = count_of(kernel, wanted.reason);
      CHECK(after.packets - before.packets == 1);
      CHECK(after.bytes - before.bytes == wanted.bytes);
    }
  }
}
