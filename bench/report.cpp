#include "report.h"

#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>

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

}  // namespace

double rounded(double value, int digits) {
  const double scale = std::pow(10, digits);
  return std::round(value * scale) / scale;
}

void write_section(const std::string& path, std::string_view section, boost::json::value content) {
  auto document = read_document(path);
  document[section] = std::move(content);
  errno = 0;
  if (!(std::ofstream{path} << document << "\n").flush()) die("write " + path);
}

}  // namespace lbd::bench
