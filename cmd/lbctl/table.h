// Aligned tables and numbers for people; scripts use -o json.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lbd::lbctl {

enum class Align { left, right };

struct Column {
  std::string_view title;
  Align align = Align::left;
};

/// Rows under a line of titles, columns two spaces apart.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_{std::move(columns)} {}

  /// One cell a column; an empty one is shown as "-".
  void add(std::vector<std::string> row);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// The whole table, a line end behind each line, none of which ends in spaces.
  [[nodiscard]] std::string str() const;
  /// What was added since the last time, for a table that is printed while it grows: the titles
  /// stand above the first of it alone, and columns never get narrower again.
  [[nodiscard]] std::string take();

 private:
  [[nodiscard]] std::vector<std::size_t> widths() const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> widths_;  // of what was taken; empty: nothing was
};

[[nodiscard]] std::string bytes_text(std::uint64_t bytes);       ///< "999 B", "1.5 MiB"
[[nodiscard]] std::string count_text(std::uint64_t count);       ///< "1,234,567"
[[nodiscard]] std::string duration_text(std::uint64_t seconds);  ///< "59s", "2h 3m", "4d 1h"

}  // namespace lbd::lbctl
