#include "lb/serve/flows.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <string_view>

namespace lbd::serve {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

Error not_understood(std::string_view key, std::string_view expected) {
  return Error{fmt::format("\"{}\" of the request: {} is expected", key, expected)};
}

Result<> read_text(std::string_view key, const value& from, std::optional<std::string>& to) {
  if (!from.is_string()) return not_understood(key, "a string");
  to = std::string{std::string_view{from.get_string()}};
  return {};
}

template <class T>
Result<> read_parsed(std::string_view key, const value& from, std::optional<T>& to) {
  if (!from.is_string()) return not_understood(key, "a string");
  auto parsed = T::parse(std::string_view{from.get_string()});
  if (!parsed) return std::move(parsed).error();
  to = *parsed;
  return {};
}

template <class T>
Result<> read_number(std::string_view key, const value& from, T& to) {
  boost::json::error_code error;
  const T number = from.to_number<T>(error);
  if (error) return not_understood(key, "an integer in range");
  to = number;
  return {};
}

Result<> read_port(std::string_view key, const value& from, std::optional<Port>& to) {
  std::uint16_t number = 0;
  if (auto read = read_number(key, from, number); !read) return read;
  to = Port{number};
  return {};
}

Result<> read_protocol(std::string_view key, const value& from, std::optional<Protocol>& to) {
  for (const Protocol protocol : reconcile::protocols)
    if (from.is_string() && from.get_string() == to_string(protocol)) {
      to = protocol;
      return {};
    }
  return not_understood(key, "\"TCP\" or \"UDP\"");
}

Result<> read_member(std::string_view key, const value& from, FlowsQuestion& to) {
  reconcile::FlowFilter& filter = to.filter;
  if (key == "command") return {};
  if (key == "from") return read_number(key, from, to.from);
  if (key == "vip") return read_parsed(key, from, filter.vip);
  if (key == "vipPort") return read_port(key, from, filter.vip_port);
  if (key == "client") return read_parsed(key, from, filter.client);
  if (key == "clientPort") return read_port(key, from, filter.client_port);
  if (key == "backend") return read_parsed(key, from, filter.backend);
  if (key == "service") return read_text(key, from, filter.service);
  if (key == "protocol") return read_protocol(key, from, filter.protocol);
  return Error{fmt::format("unknown key \"{}\" in the request", key)};
}

std::string_view place_text(reconcile::RowPlace place) {
  switch (place) {
    case reconcile::RowPlace::owner:
      return "owner";
    case reconcile::RowPlace::home:
      return "home";
    case reconcile::RowPlace::neither:
      return "neither";
    case reconcile::RowPlace::settled:
      break;
  }
  return "settled";
}

object flow_json(const reconcile::FlowSnapshot& flow) {
  return {{"client", with_port(flow.tuple.source, flow.tuple.source_port)},
          {"vip", with_port(flow.tuple.destination, flow.tuple.destination_port)},
          {"protocol", to_string(flow.tuple.protocol)},
          {"service", flow.service},
          {"backend", flow.backend.str()},
          {"idleSeconds", flow.idle.count()},
          {"state", flow.closing ? "closing" : "open"},
          {"origin", flow.started ? "started" : "adopted"},
          {"row", place_text(flow.place)}};
}

}  // namespace

object flows_request(const FlowsQuestion& question) {
  const reconcile::FlowFilter& filter = question.filter;
  object request{{"command", "flows"}, {"from", question.from}};
  if (filter.vip) request.emplace("vip", filter.vip->str());
  if (filter.vip_port) request.emplace("vipPort", filter.vip_port->host_order());
  if (filter.client) request.emplace("client", filter.client->str());
  if (filter.client_port) request.emplace("clientPort", filter.client_port->host_order());
  if (filter.backend) request.emplace("backend", filter.backend->str());
  if (filter.service) request.emplace("service", *filter.service);
  if (filter.protocol) request.emplace("protocol", to_string(*filter.protocol));
  return request;
}

Result<FlowsQuestion> parse_flows_question(const object& request) {
  FlowsQuestion question;
  for (const auto& [key, member] : request)
    if (auto read = read_member(key, member, question); !read) return std::move(read).error();
  return question;
}

object flows_json(const reconcile::FlowsPage& page) {
  array flows;
  flows.reserve(page.flows.size());
  for (const reconcile::FlowSnapshot& flow : page.flows) flows.push_back(flow_json(flow));
  return {{"flows", std::move(flows)}, {"next", page.next ? value(*page.next) : value(nullptr)}};
}

}  // namespace lbd::serve
