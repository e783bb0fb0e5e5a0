#include "lbctl/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lbctl/flow_options.h"

namespace lbd::lbctl {
namespace {

struct Name {
  std::string_view text;
  Command command;
};
constexpr Name names[] = {
    {"status", Command::status}, {"services", Command::services}, {"backends", Command::backends},
    {"stats", Command::stats},   {"flows", Command::flows},       {"reload", Command::reload},
    {"replay", Command::replay}, {"help", Command::help},
};

Result<Command> find_command(std::string_view text) {
  for (const Name& name : names)
    if (name.text == text) return name.command;
  return Error{fmt::format("no such command: '{}'", text)};
}

/// The arguments, taken one after the other; "--name=value" and "-nvalue" are taken as two.
class Cursor {
 public:
  explicit Cursor(std::span<const std::string> arguments) : rest_{arguments} {}

  [[nodiscard]] bool at_end() const { return rest_.empty() && !value_; }
  /// An option's name or a plain word.
  std::string next() {
    std::string word = rest_.front();
    rest_ = rest_.subspan(1);
    const std::size_t equals = word.find('=');
    if (word.starts_with("--") && equals != std::string::npos) {
      value_ = word.substr(equals + 1);
      word.resize(equals);
    } else if (word.starts_with("-o") && word.size() > 2) {
      value_ = word.substr(2);
      word.resize(2);
    }
    return word;
  }
  /// The value of the option that next() gave; none where the arguments end.
  std::optional<std::string> value() {
    if (value_) return std::exchange(value_, std::nullopt);
    if (rest_.empty()) return std::nullopt;
    std::string word = rest_.front();
    rest_ = rest_.subspan(1);
    return word;
  }
  [[nodiscard]] bool has_inline_value() const { return value_.has_value(); }
  std::span<const std::string> take_rest() { return std::exchange(rest_, {}); }

 private:
  std::span<const std::string> rest_;
  std::optional<std::string> value_;
};

Result<Output> parse_output(std::string_view text) {
  if (text == "json") return Output::json;
  if (text == "table") return Output::table;
  return Error{fmt::format("-o: '{}': json or table is expected", text)};
}

/// What was given, before it is known whether it belongs together.
struct Given {
  Arguments arguments;
  std::optional<Command> command;
  bool help = false;
  bool version = false;
  bool output = false;
  std::string flow_option;  // the last one given
};

bool takes_value(std::string_view name) {
  return name == "--socket" || name == "--service" || name == "-o" || name == "--output" ||
         is_flow_option(name);
}

Result<> take_value(const std::string& name, const std::string& value, Given& given) {
  Arguments& arguments = given.arguments;
  if (is_flow_option(name)) {
    given.flow_option = name;
    return set_flow_option(name, value, arguments.flows);
  }
  if (name == "--socket") {
    arguments.socket = value;
  } else if (name == "--service") {
    arguments.service = value;
  } else {
    auto output = parse_output(value);
    if (!output) return std::move(output).error();
    arguments.output = *output;
    given.output = true;
  }
  return {};
}

Result<> take_option(const std::string& name, Cursor& cursor, Given& given) {
  Arguments& arguments = given.arguments;
  if (takes_value(name)) {
    const auto value = cursor.value();
    if (!value) return Error{fmt::format("{} needs a value", name)};
    return take_value(name, *value, given);
  }
  if (cursor.has_inline_value()) return Error{fmt::format("{} takes no value", name)};
  if (name == "--break-flows")
    arguments.break_flows = true;
  else if (name == "--help" || name == "-h")
    given.help = true;
  else if (name == "--version")
    given.version = true;
  else
    return Error{fmt::format("no such option: {}", name)};
  return {};
}

Result<> take_word(const std::string& word, Cursor& cursor, Given& given) {
  if (given.command && *given.command != Command::help)
    return Error{fmt::format("unexpected: '{}'", word)};
  auto command = find_command(word);
  if (!command) return std::move(command).error();
  if (given.command) {  // help COMMAND
    if (given.arguments.help_about) return Error{fmt::format("unexpected: '{}'", word)};
    given.arguments.help_about = *command;
    return {};
  }
  given.command = *command;
  if (*command != Command::replay) return {};
  if (given.output)
    given.arguments.replay = {"-o", given.arguments.output == Output::json ? "json" : "table"};
  const auto rest = cursor.take_rest();
  given.arguments.replay.insert(given.arguments.replay.end(), rest.begin(), rest.end());
  given.help = given.help || std::any_of(rest.begin(), rest.end(), [](const std::string& one) {
                 return one == "--help" || one == "-h";
               });
  return {};
}

}  // namespace

Result<Arguments> parse_arguments(std::span<const std::string> given_arguments) {
  Given given;
  Cursor cursor{given_arguments};
  while (!cursor.at_end()) {
    const std::string word = cursor.next();
    const bool option = word.size() > 1 && word.front() == '-';
    auto taken = option ? take_option(word, cursor, given) : take_word(word, cursor, given);
    if (!taken) return std::move(taken).error();
  }
  Arguments& arguments = given.arguments;
  if (given.version) {
    arguments.command = Command::version;
    return arguments;
  }
  if (given.help) {
    if (given.command != Command::help) arguments.help_about = given.command;
    arguments.command = Command::help;
    return arguments;
  }
  if (!given.command) return Error{"a command is expected"};
  arguments.command = *given.command;
  if (arguments.break_flows && arguments.command != Command::reload)
    return Error{"--break-flows belongs to reload"};
  if (arguments.service && arguments.command != Command::backends &&
      arguments.command != Command::flows)
    return Error{"--service belongs to backends and flows"};
  if (!given.flow_option.empty() && arguments.command != Command::flows)
    return Error{fmt::format("{} belongs to flows", given.flow_option)};
  if (arguments.service && arguments.command == Command::flows)
    if (auto set = set_flow_service(*arguments.service, arguments.flows); !set)
      return std::move(set).error();
  return arguments;
}

}  // namespace lbd::lbctl
