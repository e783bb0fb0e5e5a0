#include "lbctl/arguments.h"
#include "lbctl/replay_options.h"

namespace lbd::lbctl {
namespace {

constexpr std::string_view overall = R"(usage: lbctl [--socket PATH] COMMAND [-o json|table] ...

Commands:
  status     how the daemon runs: interfaces, maps and their memory, configuration
  services   frontends and endpoints, and why an endpoint gets no new flows
  backends   backends with their counters and next hops
  stats      packets and bytes by reason and by service, port and backend
  reload     make the daemon read its configuration file now
  replay     what lbd does with the packets of a capture; needs no daemon
  help       this, or `lbctl help COMMAND`

Options:
  --socket PATH   the daemon's admin socket (default /run/lbd/lbd.sock)
  -o json|table   json: JSON on stdout and nothing else (default table)
  --help          help on lbctl or the command
  --version       lbctl's version

Exit status: 0 done; 1 refused, or the daemon can't be reached; 2 wrong usage or a
bad configuration. Messages go to stderr.
)";

constexpr std::string_view status = R"(usage: lbctl [--socket PATH] status [-o json|table]

Shows version, uptime and configuration file, the interfaces with XDP, every map with
its entries and memory, and the services that do not fit. Succeeds as soon as the file
is in the data plane.
)";

constexpr std::string_view services = R"(usage: lbctl [--socket PATH] services [-o json|table]

Shows each port's frontends with what happens to new flows (forward or drop), and the
endpoints behind it: state, weight, whether they get new flows now, and if not, why.
)";

constexpr std::string_view backends =
    R"(usage: lbctl [--socket PATH] backends [--service NAME] [-o json|table]

Shows each service's backends: state, weight, packets and bytes over all ports, and the
next hop that packets to it take.
  --service NAME   only this service's backends
)";

constexpr std::string_view stats = R"(usage: lbctl [--socket PATH] stats [-o json|table]

Shows exact counters since the maps were made: packets not forwarded by reason, and what
went to each service, port and backend. Bytes are the IP packets' before encapsulation.
)";

constexpr std::string_view reload =
    R"(usage: lbctl [--socket PATH] reload [--break-flows] [-o json|table]

Makes the daemon read its configuration file and shows what changed. A bad file changes
nothing; its errors are shown as FILE:LINE:COLUMN: KEY: what was expected, exit status 2.
Exit status 1: refused as a whole, or services that do not fit (the rest is in place).
  --break-flows    go ahead even where known flows would break
)";

}  // namespace

std::string_view help_text(std::optional<Command> about) {
  switch (about.value_or(Command::help)) {
    case Command::status:
      return status;
    case Command::services:
      return services;
    case Command::backends:
      return backends;
    case Command::stats:
      return stats;
    case Command::reload:
      return reload;
    case Command::replay:
      return replay_usage;
    case Command::help:
    case Command::version:
      break;
  }
  return overall;
}

}  // namespace lbd::lbctl
