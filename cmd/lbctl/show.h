// The daemon's JSON as text for people. What a daemon of another version leaves out is shown as
// "-".
#pragma once
#include <boost/json/value.hpp>
#include <string>

namespace lbd::lbctl {

[[nodiscard]] std::string show_status(const boost::json::value&);
[[nodiscard]] std::string show_services(const boost::json::value&);
[[nodiscard]] std::string show_backends(const boost::json::value&);
[[nodiscard]] std::string show_stats(const boost::json::value&);
[[nodiscard]] std::string show_reload(const boost::json::value&);

}  // namespace lbd::lbctl
