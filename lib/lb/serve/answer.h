// What one line on the admin socket asks and gets: {"command":"status"} and {"ok":true,"result":…}
// or {"ok":false,"exitCode":1,"errors":["…"]}. Pure, no sockets.
#pragma once
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lbd::serve {

/// Turns a request, which has a string "command", into what success() or failure() made.
/// Synchronous: what it takes, the daemon waits.
using Handler = std::function<boost::json::object(const boost::json::object& request)>;

[[nodiscard]] boost::json::object success(boost::json::value result);

/// What lbctl then exits with.
enum class ExitCode { refused = 1, bad_configuration = 2 };
/// `errors` are whole lines, shown as they are.
[[nodiscard]] boost::json::object failure(ExitCode, const std::vector<std::string>& errors);

/// The answer to `line`, a line itself without its end. Any bytes get one, and a handler that
/// throws makes a failure.
[[nodiscard]] std::string answer(std::string_view line, const Handler&);

}  // namespace lbd::serve
