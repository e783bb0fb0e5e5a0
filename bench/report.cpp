#include "report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "rewinder.h"

namespace lbd::bench {
namespace {

/// What is there; an empty document where nothing is, or something else than a document.
boost::json::object read_document(const std::string& path) {
  std::ifstream file{path};
  std::stringstream text;
  text << file.rdbuf();
  boost::json::error_code failure;
  auto document = boost::json::parse(text.str(), failure);
  return !failure && document.is_object() ? std::move(document.as_object()) : boost::json::object{};
}

/// For people and diffs: what holds only single values is one line. Numbers as short as they are.
void print(std::string& out, const boost::json::value& value, std::size_t depth) {
  const auto separate = [&](bool first) {
    const bool lines = depth < 3;
    out += first ? "" : lines ? "," : ", ";
    if (lines) out += "\n" + std::string(2 * depth + 2, ' ');
  };
  bool first = true;
  if (const auto* object = value.if_object()) {
    out += "{";
    for (const auto& [key, member] : *object) {
      separate(std::exchange(first, false));
      out += boost::json::serialize(key) + ": ";
      print(out, member, depth + 1);
    }
    out += "}";
  } else if (const auto* array = value.if_array()) {
    out += "[";
    for (const auto& element : *array) {
      separate(std::exchange(first, false));
      print(out, element, depth + 1);
    }
    out += "]";
  } else {
    out +=
        value.is_double() ? fmt::format("{}", value.get_double()) : boost::json::serialize(value);
  }
}

}  // namespace

double minimum(const std::vector<double>& samples) {
  return *std::min_element(samples.begin(), samples.end());
}

double median(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<long>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

double rounded(double value, int digits) {
  const double scale = std::pow(10, digits);
  return std::round(value * scale) / scale;
}

void show_progress(std::string_view what, int round, int rounds) {
  fmt::print(stderr, "\r\033[K{}", what);
  if (rounds != 0) fmt::print(stderr, ": round {} of {}", round + 1, rounds);
}

void end_progress() {
  fmt::print(stderr, "\r\033[K");
}

void write_section(const std::string& path, std::string_view section, boost::json::value content) {
  auto document = read_document(path);
  document[section] = std::move(content);
  std::string text;
  print(text, document, 0);
  errno = 0;
  if (!(std::ofstream{path} << text << "\n").flush()) die("write " + path);
}

}  // namespace lbd::bench
