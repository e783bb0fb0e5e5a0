#include "lb/log/log.h"

#include <fmt/chrono.h>

#include <chrono>

namespace lbd {
namespace {

std::string_view name(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
  }
  return "";
}

/// As it is where that is unambiguous, else quoted with escapes, so that a line stays one line.
void append_value(fmt::memory_buffer& line, std::string_view value) {
  const auto plain = [](char c) {
    return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
  };
  bool quoted = value.empty();
  for (const char c : value) quoted = quoted || !plain(c);
  auto out = std::back_inserter(line);
  if (!quoted) {
    fmt::format_to(out, "{}", value);
    return;
  }
  line.push_back('"');
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n')
      fmt::format_to(out, "\\n");
    else if (c == '"' || c == '\\')
      fmt::format_to(out, "\\{}", c);
    else if (byte < ' ' || c == 0x7f)
      fmt::format_to(out, "\\x{:02x}", byte);
    else
      line.push_back(c);
  }
  line.push_back('"');
}

}  // namespace

void Log::debug(std::string_view event, std::initializer_list<Field> fields) const {
  write(Level::debug, event, fields);
}
void Log::info(std::string_view event, std::initializer_list<Field> fields) const {
  write(Level::info, event, fields);
}
void Log::warn(std::string_view event, std::initializer_list<Field> fields) const {
  write(Level::warning, event, fields);
}
void Log::error(std::string_view event, std::initializer_list<Field> fields) const {
  write(Level::error, event, fields);
}

void Log::write(Level level, std::string_view event, std::initializer_list<Field> fields) const {
  if (level < least_) return;
  const auto now = std::chrono::system_clock::now();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  fmt::memory_buffer line;
  auto out = std::back_inserter(line);
  fmt::format_to(out, "{:%Y-%m-%dT%H:%M:%S}.{:03}Z {} {}",
                 fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms.count() % 1000,
                 name(level), event);
  for (const Field& field : fields) {
    fmt::format_to(out, " {}=", field.key);
    append_value(line, field.value);
  }
  line.push_back('\n');
  std::fwrite(line.data(), 1, line.size(), to_);
  std::fflush(to_);
}

}  // namespace lbd
