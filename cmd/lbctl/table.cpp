#include "lbctl/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

namespace lbd::lbctl {
namespace {

void append_line(std::string& text, const std::vector<Column>& columns,
                 const std::vector<std::size_t>& widths, const auto& cell) {
  std::string line;
  for (std::size_t i = 0; i < columns.size(); i++) {
    if (i > 0) line += "  ";
    if (columns[i].align == Align::left)
      line += fmt::format("{:<{}}", cell(i), widths[i]);
    else
      line += fmt::format("{:>{}}", cell(i), widths[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  text += line + "\n";
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  assert(row.size() == columns_.size());
  for (std::string& cell : row)
    if (cell.empty()) cell = "-";
  rows_.push_back(std::move(row));
}

std::vector<std::size_t> Table::widths() const {
  std::vector<std::size_t> widths = widths_;
  if (widths.empty())
    for (const Column& column : columns_) widths.push_back(column.title.size());
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < widths.size(); i++) widths[i] = std::max(widths[i], row[i].size());
  return widths;
}

std::string Table::str() const {
  const std::vector<std::size_t> widths = this->widths();
  std::string text;
  if (widths_.empty())
    append_line(text, columns_, widths, [&](std::size_t i) { return columns_[i].title; });
  for (const auto& row : rows_)
    append_line(text, columns_, widths, [&](std::size_t i) { return std::string_view{row[i]}; });
  return text;
}

std::string Table::take() {
  std::string text = str();
  widths_ = widths();
  rows_.clear();
  return text;
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr std::string_view units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < std::size(units)) {  // "1024.0 KiB" is 1.0 MiB
    value /= 1024;
    unit++;
  }
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string count_text(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

std::string duration_text(std::uint64_t seconds) {
  const std::uint64_t minutes = seconds / 60;
  const std::uint64_t hours = minutes / 60;
  if (minutes == 0) return fmt::format("{}s", seconds);
  if (hours == 0) return fmt::format("{}m {}s", minutes, seconds % 60);
  if (hours < 24) return fmt::format("{}h {}m", hours, minutes % 60);
  return fmt::format("{}d {}h", hours / 24, hours % 24);
}

}  // namespace lbd::lbctl
