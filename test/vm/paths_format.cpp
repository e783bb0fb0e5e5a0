// The paths as people and programs read them.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>

#include "vm/paths.h"

namespace lbd::vm {
namespace {

boost::json::object to_object(const Counts& counts) {
  boost::json::object object;
  for (const auto& [name, count] : counts) object[name] = count;
  return object;
}

}  // namespace

std::string to_markdown(const std::vector<Path>& paths) {
  std::vector<std::array<std::string, 5>> rows{
      {"path", "instructions", "helper calls", "map look-ups", "cache lines"}};
  for (const auto& [name, cost] : paths)
    rows.push_back({name, std::to_string(cost.instructions), to_string(cost.helpers),
                    to_string(cost.lookups), std::to_string(total(cost.lines))});
  std::array<std::size_t, 5> widths{};
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); i++)
      text += fmt::format("| {:<{}} ", row[i], widths[i]);
    text += "|\n";
    if (&row != &rows.front()) continue;
    for (const std::size_t width : widths) text += fmt::format("|{:-<{}}", "", width + 2);
    text += "|\n";
  }
  return text;
}

std::string to_json(const std::vector<Path>& paths) {
  boost::json::array array;
  for (const auto& [name, cost] : paths)
    array.push_back(boost::json::object{{"path", name},
                                        {"instructions", cost.instructions},
                                        {"helpers", to_object(cost.helpers)},
                                        {"lookups", to_object(cost.lookups)},
                                        {"cacheLines", to_object(cost.lines)}});
  return boost::json::serialize(array);
}

}  // namespace lbd::vm
