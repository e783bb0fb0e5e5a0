// lbctl, the operator's tool: asks the daemon over its admin socket and prints what it says.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lb/serve/flows.h"
#include "lbctl/arguments.h"
#include "lbctl/client.h"
#include "lbctl/fields.h"
#include "lbctl/replay.h"
#include "lbctl/show.h"

namespace lbd::lbctl {
namespace {

using boost::json::value;

enum Exit : int { done = 0, refused = 1, usage = 2 };

constexpr std::chrono::seconds answer_wait_max{10};
constexpr std::chrono::seconds reload_wait_max{60};

/// A command that is a question to the daemon, and how its answer is shown.
struct Question {
  const char* command;
  std::string (*show)(const value&);
};

Question question(Command command) {
  switch (command) {
    case Command::services:
      return {"services", show_services};
    case Command::backends:
      return {"backends", show_backends};
    case Command::stats:
      return {"stats", show_stats};
    case Command::reload:
      return {"reload", show_reload};
    default:
      return {"status", show_status};
  }
}

void complain(std::string_view text) {
  fmt::print(stderr, "lbctl: {}\n", text);
}

/// False where stdout can't take it: a full disk, a closed pipe.
bool print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return true;
  complain(errno_error("write to stdout", errno).message());
  return false;
}

/// What the daemon refused or can't do: its errors in a file are whole lines, ready for an editor.
int report(const Answer& answer) {
  for (const std::string& error : answer.errors) {
    if (answer.exit_code == usage)
      fmt::print(stderr, "{}\n", error);
    else
      complain(error);
  }
  return answer.exit_code;
}

bool is_of(const value& one, std::string_view key, const std::string& name) {
  return text(one, key) == name;
}

/// Leaves only the service's backends; an error where there is no such service.
Result<value> only_service(const Arguments& arguments, const value& backends) {
  boost::json::array left;
  if (const auto* all = backends.if_array())
    for (const value& one : *all)
      if (is_of(one, "service", *arguments.service)) left.push_back(one);
  if (!left.empty()) return value(std::move(left));

  auto services = ask(arguments.socket, {{"command", "services"}}, answer_wait_max);
  if (!services) return std::move(services).error();
  if (const auto* all = services->result.if_array())
    for (const value& one : *all)
      if (is_of(one, "name", *arguments.service)) return value(std::move(left));
  return Error{fmt::format("no such service: '{}'", *arguments.service)};
}

/// Warnings and refusals of a reload that went ahead; what lbctl exits with for them.
int report_reload(const value& reloaded) {
  for (const value& warning : list(reloaded, "warnings"))
    fmt::print(stderr, "warning: {}\n", text(warning));
  const auto& services = list(reloaded, "refused");
  for (const value& one : services)
    complain(fmt::format("service {} refused: {}", text(one, "service"), text(one, "reason")));
  return services.empty() ? done : refused;
}

int ask_and_show(const Arguments& arguments) {
  const Question asked = question(arguments.command);
  const bool reload = arguments.command == Command::reload;
  boost::json::object request{{"command", asked.command}};
  if (reload) request.emplace("breakFlows", arguments.break_flows);
  auto answer = ask(arguments.socket, request, reload ? reload_wait_max : answer_wait_max);
  if (!answer) {
    complain(answer.error().message());
    return refused;
  }
  if (answer->exit_code != done) return report(*answer);
  if (arguments.service) {
    auto left = only_service(arguments, answer->result);
    if (!left) {
      complain(left.error().message());
      return refused;
    }
    answer->result = std::move(*left);
  }
  const bool printed =
      print(arguments.output == Output::json ? boost::json::serialize(answer->result) + "\n"
                                             : asked.show(answer->result));
  const int outcome = reload ? report_reload(answer->result) : done;
  return printed ? outcome : refused;
}

/// Where the next page of flows begins; nothing where there is none. A daemon that doesn't get on
/// would be asked for ever.
Result<std::optional<std::uint32_t>> next_page(const value& page, std::uint32_t from) {
  if (field(page, "next").is_null()) return std::optional<std::uint32_t>{};
  const auto next = number(page, "next");
  if (!next || *next <= from || *next > UINT32_MAX)
    return Error{"the daemon's answer is not what lbctl expects"};
  return std::optional{static_cast<std::uint32_t>(*next)};
}

/// Asks for page after page, and prints each as it comes.
int list_flows(const Arguments& arguments) {
  FlowList flows{arguments.output};
  const auto cut = [&](int outcome) {
    print(flows.cut());
    return outcome;
  };
  for (std::optional<std::uint32_t> from = 0; from;) {
    const auto request = serve::flows_request({arguments.flows, *from});
    const auto answer = ask(arguments.socket, request, answer_wait_max);
    if (!answer) {
      complain(answer.error().message());
      return cut(refused);
    }
    if (answer->exit_code != done) return cut(report(*answer));
    if (!print(flows.page(answer->result))) return refused;
    const auto next = next_page(answer->result, *from);
    if (!next) {
      complain(next.error().message());
      return cut(refused);
    }
    from = *next;
  }
  return print(flows.end()) ? done : refused;
}

int run(std::span<const std::string> given) {
  auto arguments = parse_arguments(given);
  if (!arguments) {
    complain(arguments.error().message());
    fmt::print(stderr, "Try 'lbctl --help'.\n");
    return usage;
  }
  switch (arguments->command) {
    case Command::help:
      return print(help_text(arguments->help_about)) ? done : refused;
    case Command::version:
      return print("lbctl " LBD_VERSION "\n") ? done : refused;
    case Command::flows:
      return list_flows(*arguments);
    case Command::replay:
      return replay(arguments->replay);
    default:
      return ask_and_show(*arguments);
  }
}

}  // namespace
}  // namespace lbd::lbctl

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    return lbd::lbctl::run(arguments);
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "lbctl: %s\n", failed.what());
    return 1;
  }
}
