// The daemon's JSON as text for people. What a daemon of another version leaves out is shown as
// "-".
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "lbctl/arguments.h"
#include "lbctl/table.h"

namespace lbd::lbctl {

[[nodiscard]] std::string show_status(const boost::json::value&);
[[nodiscard]] std::string show_services(const boost::json::value&);
[[nodiscard]] std::string show_backends(const boost::json::value&);
[[nodiscard]] std::string show_stats(const boost::json::value&);
[[nodiscard]] std::string show_reload(const boost::json::value&);

/// Flows, which come in pages, as a table that grows or as one JSON array with a line a flow.
class FlowList {
 public:
  explicit FlowList(Output);

  /// The text of a page's flows; what pages and end() give, one after the other, is the whole.
  [[nodiscard]] std::string page(const boost::json::value& page);
  [[nodiscard]] std::string end() const;
  /// Instead of end(), where the rest can't be had: what came is whole then, also as JSON.
  [[nodiscard]] std::string cut() const;

 private:
  [[nodiscard]] std::string json(const boost::json::array& flows);
  [[nodiscard]] std::string rows(const boost::json::array& flows);

  Output output_;
  Table table_;
  bool empty_ = true;
};

}  // namespace lbd::lbctl
