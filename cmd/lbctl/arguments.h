// lbctl's command line, read into values.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lb/model/result.h"
#include "lb/reconcile/flows.h"

namespace lbd::lbctl {

enum class Command { status, services, backends, stats, flows, reload, replay, help, version };
enum class Output { table, json };

struct Arguments {
  Command command = Command::help;
  std::string socket = "/run/lbd/lbd.sock";
  Output output = Output::table;
  bool break_flows = false;            ///< reload
  std::optional<std::string> service;  ///< backends and flows: only this one's
  reconcile::FlowFilter flows;         ///< flows: which ones, `service` among it
  std::optional<Command> help_about;   ///< help; unset: lbctl as a whole
  std::vector<std::string> replay;     ///< replay's own arguments, as they came
};

/// Reads what follows the program's name. Options may stand before and behind the command; all
/// that follows `replay` is replay's, and `-o` before it is put in front of that.
Result<Arguments> parse_arguments(std::span<const std::string>);

/// What `lbctl help` or `lbctl COMMAND --help` prints.
[[nodiscard]] std::string_view help_text(std::optional<Command> about);

}  // namespace lbd::lbctl
