#include "lbd/options.h"

#include <fmt/format.h>

#include <optional>

namespace lbd::daemon {
namespace {

std::optional<Level> level_of(std::string_view name) {
  if (name == "debug") return Level::debug;
  if (name == "info") return Level::info;
  if (name == "warning") return Level::warning;
  if (name == "error") return Level::error;
  return std::nullopt;
}

bool set_switch(std::string_view name, Options& options) {
  if (name == "--check")
    options.check = true;
  else if (name == "--cleanup")
    options.cleanup = true;
  else if (name == "--help" || name == "-h")
    options.help = true;
  else if (name == "--version")
    options.version = true;
  else
    return false;
  return true;
}

Result<> set_value(std::string_view name, std::string_view value, Options& options) {
  if (name == "--config") {
    options.config = value;
    return {};
  }
  const auto level = level_of(value);
  if (!level) return Error{fmt::format("{}: expected debug, info, warning or error", name)};
  options.log_level = *level;
  return {};
}

}  // namespace

Result<Options> parse(std::span<char* const> arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); i++) {
    const std::string_view argument = arguments[i];
    const auto equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    if (set_switch(argument, options)) continue;
    if (name != "--config" && name != "--log-level")
      return Error{fmt::format("unknown argument '{}'", argument)};
    const bool joined = equals != std::string_view::npos;
    if (!joined && i + 1 == arguments.size())
      return Error{fmt::format("{}: a value is expected", name)};
    const std::string_view value = joined ? argument.substr(equals + 1) : arguments[++i];
    if (auto set = set_value(name, value, options); !set) return std::move(set).error();
  }
  if (options.help || options.version) return options;
  if (options.config.empty()) return Error{"--config FILE is expected"};
  if (options.check && options.cleanup) return Error{"--check and --cleanup exclude each other"};
  return options;
}

}  // namespace lbd::daemon
