// One question to the daemon over its admin socket.
#pragma once
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "lb/model/result.h"

namespace lbd::lbctl {

struct Answer {
  boost::json::value result;  ///< where exit_code is 0
  int exit_code = 0;
  std::vector<std::string> errors;  ///< the daemon's, whole lines
};

/// Waits up to 10 s to get through and `answer_wait_max` for the answer. An error: no daemon there,
/// or none that makes itself understood.
Result<Answer> ask(const std::string& socket_path, const boost::json::object& request,
                   std::chrono::seconds answer_wait_max);

}  // namespace lbd::lbctl
