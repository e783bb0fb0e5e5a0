// What is made of samples, progress, and build/bench.json: one document of which each benchmark
// writes its own section.
#pragma once
#include <boost/json.hpp>
#include <string>
#include <vector>

namespace lbd::bench {

[[nodiscard]] double minimum(const std::vector<double>& samples);
[[nodiscard]] double median(std::vector<double> samples);

/// A figure as a table shows it: digits beyond that are noise.
[[nodiscard]] double rounded(double value, int digits);

/// One line on stderr that the next replaces; rounds count from 0, and of 0 there are none.
void show_progress(std::string_view what, int round = 0, int rounds = 0);
void end_progress();

/// Replaces one section of the document, which need not be there yet; ends the program where that
/// fails.
void write_section(const std::string& path, std::string_view section, boost::json::value content);

}  // namespace lbd::bench
