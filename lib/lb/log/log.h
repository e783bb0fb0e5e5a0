// Structured log to stderr: one line an event, "TIME LEVEL event key=value …". Passed in, no
// global.
#pragma once
#include <fmt/format.h>

#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>

namespace lbd {

enum class Level { debug, info, warning, error };

/// One key=value of a log line; anything fmt can print is a value.
struct Field {
  std::string_view key;
  std::string value;
  template <class T>
  Field(std::string_view field_key, const T& field_value)
      : key{field_key}, value{fmt::format("{}", field_value)} {}
};

class Log {
 public:
  explicit Log(Level least, std::FILE* to = stderr) : least_{least}, to_{to} {}

  void debug(std::string_view event, std::initializer_list<Field> fields = {}) const;
  void info(std::string_view event, std::initializer_list<Field> fields = {}) const;
  void warn(std::string_view event, std::initializer_list<Field> fields = {}) const;
  void error(std::string_view event, std::initializer_list<Field> fields = {}) const;

 private:
  void write(Level, std::string_view event, std::initializer_list<Field> fields) const;

  Level least_;
  std::FILE* to_;
};

}  // namespace lbd
