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
  flows      the flows that are stored while rows move, and the backend of each
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

constexpr std::string_view flows =
    R"(usage: lbctl [--socket PATH] flows [OPTION]... [-o json|table]

Lists the stored flows: those of rows whose owner changed not long ago. All others need no
memory and are not listed. With several options a flow must be what all of them say.
  --vip ADDRESS[:PORT]       flows to this address; [2001:db8::1]:80 with a port
  --client ADDRESS[:PORT]    flows from this address, or from a prefix: 198.51.100.0/24,
                             [2001:db8::/32]:1024 with a port
  --backend ADDRESS          flows that this backend has
  --service NAME             only this service's
  --protocol tcp|udp         only these

IDLE is the time since the client's last packet. STATE: open, or closing once FIN or RST
was seen. ORIGIN: started on a moving row, or adopted in its middle. ROW says what the
backend is to the flow's row: its owner, which gets the new flows; its home, where flows
are that are not stored; neither: the entry alone keeps the flow there; or the row has
settled, and the entry is about to go. Flows that come and go meanwhile may be missed.
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
    case Command::flows:
      return flows;
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
