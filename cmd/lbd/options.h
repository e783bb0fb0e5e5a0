// The daemon's flags.
#pragma once
#include <span>
#include <string>

#include "lb/log/log.h"
#include "lb/model/result.h"

namespace lbd::daemon {

inline constexpr std::string_view usage =
    "usage: lbd --config FILE [--check | --cleanup] [--log-level LEVEL]\n"
    "\n"
    "Balances the services of FILE in the kernel and keeps them as FILE says. Stays in the\n"
    "foreground and logs to stderr. When it ends, the data plane goes on with the last good "
    "state.\n"
    "\n"
    "  --config FILE      the configuration (docs/configuration.md); SIGHUP, `lbctl reload` or a\n"
    "                     change of the file reload it\n"
    "  --check            only reads FILE: exit 0, or 2 and its errors\n"
    "  --cleanup          takes all that lbd put into the kernel away again, and ends\n"
    "  --log-level LEVEL  debug, info (default), warning or error\n"
    "  --version, --help\n"
    "\n"
    "exit: 0 ended by a signal, 1 could not run, 2 usage or bad configuration\n";

struct Options {
  std::string config;
  bool check = false;
  bool cleanup = false;
  bool help = false;
  bool version = false;
  Level log_level = Level::info;
};

Result<Options> parse(std::span<char* const> arguments);

}  // namespace lbd::daemon
