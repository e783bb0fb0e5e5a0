#include "lb/serve/answer.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <exception>

namespace lbd::serve {
namespace {

using boost::json::object;
using boost::json::value;

object refusal(std::string error) {
  return failure(ExitCode::refused, {std::move(error)});
}

object handled(std::string_view line, const Handler& handler) {
  boost::json::error_code error;
  const value request = boost::json::parse(line, error);
  if (error) return refusal(fmt::format("the request is no JSON: {}", error.message()));
  const object* fields = request.if_object();
  if (fields == nullptr) return refusal("the request is no JSON object");
  const value* command = fields->if_contains("command");
  if (command == nullptr || !command->is_string())
    return refusal("the request has no \"command\" string");
  return handler(*fields);
}

}  // namespace

object success(value result) {
  return {{"ok", true}, {"result", std::move(result)}};
}

object failure(ExitCode code, const std::vector<std::string>& errors) {
  boost::json::array texts;
  for (const std::string& error : errors) texts.emplace_back(error);
  return {{"ok", false}, {"exitCode", static_cast<int>(code)}, {"errors", std::move(texts)}};
}

std::string answer(std::string_view line, const Handler& handler) {
  try {
    return boost::json::serialize(handled(line, handler));
  } catch (const std::exception& failed) {
    return boost::json::serialize(refusal(fmt::format("internal error: {}", failed.what())));
  }
}

}  // namespace lbd::serve
