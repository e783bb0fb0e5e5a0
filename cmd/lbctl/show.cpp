#include "lbctl/show.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lbctl/fields.h"

namespace lbd::lbctl {
namespace {

using boost::json::array;
using boost::json::value;

constexpr std::string_view nothing = "-";

/// A number for people, or "-" where there is none.
std::string counted(const value& from, std::string_view key,
                    std::string (*write)(std::uint64_t) = count_text) {
  const auto count = number(from, key);
  return count ? write(*count) : std::string{nothing};
}

std::string or_nothing(const std::string& text) {
  return text.empty() ? std::string{nothing} : text;
}

/// "80/TCP", "any/UDP".
std::string port_text(const value& service) {
  const std::string port = text(service, "port");
  return fmt::format("{}/{}", port == "0" ? "any" : port, text(service, "protocol"));
}

/// "203.0.113.10:80", "[2001:db8::1]:80", and only the address where the port is any.
std::string frontend_text(const value& frontend) {
  std::string address = text(frontend, "address");
  const std::string port = text(frontend, "port");
  if (port == "0") return address;
  const bool v6 = address.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(v6 ? "[{}]:{}" : "{}:{}"), address, port);
}

std::string yes_or_no(const value& boolean) {
  return boolean.is_bool() ? (boolean.get_bool() ? "yes" : "no") : "";
}

std::string next_hop_text(const value& next_hop) {
  if (next_hop.is_null()) return {};
  return fmt::format("{} {}", text(next_hop, "interface"), text(next_hop, "mac"));
}

Table map_table(const value& status) {
  Table table{
      {{"MAP"}, {"ENTRIES", Align::right}, {"MAX", Align::right}, {"MEMORY", Align::right}}};
  std::uint64_t bytes = 0;
  for (const value& map : list(status, "maps")) {
    bytes += number(map, "bytes").value_or(0);
    table.add({text(map, "name"), counted(map, "entries"), counted(map, "maxEntries"),
               counted(map, "bytes", bytes_text)});
  }
  table.add({"all", "", "", bytes_text(bytes)});
  return table;
}

/// A blank line and the table, unless it has no rows.
void append(std::string& to, const Table& table) {
  if (table.empty()) return;
  if (!to.empty()) to += "\n";
  to += table.str();
}

Table refused_table(const value& from) {
  Table table{{{"REFUSED"}, {"REASON"}}};
  for (const value& one : list(from, "refused"))
    table.add({text(one, "service"), text(one, "reason")});
  return table;
}

std::string joined(const array& strings) {
  std::string all;
  for (const value& one : strings) all += (all.empty() ? "" : ", ") + text(one);
  return all;
}

}  // namespace

std::string show_status(const value& status) {
  const value& rows = field(status, "rows");
  const value& config = field(status, "config");
  const value& last = field(status, "lastReconcile");
  const value& memory = field(status, "flowMemory");
  std::string shown = fmt::format(
      "lbd {}, pid {}, up {}\n"
      "configuration  {}, loaded {}\n"
      "rows           {}, {} of them moving\n"
      "flows          {} of {} stored, {} starting, {} new ones a second fit\n"
      "last change    {} map writes, {} rows moved\n",
      or_nothing(text(status, "version")), or_nothing(text(status, "pid")),
      counted(status, "uptimeSeconds", duration_text), or_nothing(text(config, "file")),
      or_nothing(text(config, "loadedAt")), counted(rows, "total"), counted(rows, "moving"),
      counted(status, "flows"), counted(memory, "entriesMax"), counted(memory, "starts"),
      counted(memory, "startsPerSecond"), counted(last, "writes"), counted(last, "rowsMoved"));

  Table interfaces{{{"INTERFACE"}, {"MODE"}, {"PROGRAM", Align::right}}};
  for (const value& one : list(status, "interfaces"))
    interfaces.add({text(one, "name"), text(one, "mode"), text(one, "programId")});
  append(shown, interfaces);
  append(shown, map_table(status));
  append(shown, refused_table(status));
  return shown;
}

std::string show_services(const value& services) {
  Table frontends{{{"SERVICE"}, {"PORT"}, {"FRONTEND"}, {"ACTION"}, {"BACKENDS", Align::right}}};
  Table endpoints{{{"SERVICE"},
                   {"PORT"},
                   {"ENDPOINT"},
                   {"STATE"},
                   {"WEIGHT", Align::right},
                   {"USED"},
                   {"WHY NOT"}}};
  Table refused{{{"REFUSED"}, {"PORT"}, {"REASON"}}};
  const array* all = services.if_array();
  if (all == nullptr || all->empty()) return "no services\n";
  for (const value& service : *all) {
    const std::string name = text(service, "name");
    const std::string port = port_text(service);
    for (const value& one : list(service, "frontends"))
      frontends.add({name, port, frontend_text(one), text(one, "action"),
                     count_text(list(one, "backends").size())});
    for (const value& one : list(service, "endpoints"))
      endpoints.add({name, port, text(one, "address"), text(one, "state"), text(one, "weight"),
                     yes_or_no(field(one, "used")), text(one, "why")});
    if (!field(service, "refused").is_null()) refused.add({name, port, text(service, "refused")});
  }
  std::string shown;
  append(shown, frontends);
  append(shown, endpoints);
  append(shown, refused);
  return shown.empty() ? "no services\n" : shown;
}

std::string show_backends(const value& backends) {
  const array* all = backends.if_array();
  if (all == nullptr || all->empty()) return "no backends\n";
  Table table{{{"SERVICE"},
               {"BACKEND"},
               {"STATE"},
               {"WEIGHT", Align::right},
               {"PACKETS", Align::right},
               {"BYTES", Align::right},
               {"NEXT HOP"}}};
  for (const value& one : *all)
    table.add({text(one, "service"), text(one, "address"), text(one, "state"), text(one, "weight"),
               counted(one, "packets"), counted(one, "bytes", bytes_text),
               next_hop_text(field(one, "nextHop"))});
  return table.str();
}

std::string show_stats(const value& stats) {
  Table services{
      {{"SERVICE"}, {"PORT"}, {"BACKEND"}, {"PACKETS", Align::right}, {"BYTES", Align::right}}};
  for (const value& service : list(stats, "services")) {
    const std::string name = text(service, "name");
    const std::string port = port_text(service);
    services.add(
        {name, port, "all", counted(service, "packets"), counted(service, "bytes", bytes_text)});
    for (const value& one : list(service, "backends"))
      services.add({name, port, text(one, "address"), counted(one, "packets"),
                    counted(one, "bytes", bytes_text)});
  }
  Table reasons{{{"NOT FORWARDED"}, {"PACKETS", Align::right}, {"BYTES", Align::right}}};
  if (const auto* by_reason = field(stats, "reasons").if_object())
    for (const auto& [reason, count] : *by_reason)
      reasons.add(
          {std::string{reason}, counted(count, "packets"), counted(count, "bytes", bytes_text)});
  Table flows{{{"FLOWS OF MOVING ROWS"}, {"COUNT", Align::right}}};
  constexpr std::pair<std::string_view, std::string_view> events[] = {
      {"started", "started"},     {"confirmed", "confirmed"}, {"adopted", "adopted"},
      {"refused", "refused"},     {"rows yielded", "yields"}, {"stored now", "entries"},
      {"starting now", "starts"},
  };
  for (const auto& [title, key] : events)
    if (const std::string count = counted(field(stats, "flowMemory"), key);
        count != "0" && count != "-")
      flows.add({std::string{title}, count});
  std::string shown;
  append(shown, services);
  append(shown, reasons);
  append(shown, flows);
  return shown.empty() ? "nothing counted\n" : shown;
}

std::string show_reload(const value& reloaded) {
  struct Line {
    std::string_view title;
    std::string_view key;
  };
  constexpr Line lines[] = {
      {"services added", "servicesAdded"},     {"services removed", "servicesRemoved"},
      {"services changed", "servicesChanged"}, {"backends added", "backendsAdded"},
      {"backends removed", "backendsRemoved"}, {"backends changed", "backendsChanged"},
  };
  const value& changed = field(reloaded, "changed");
  std::string shown;
  for (const Line& line : lines)
    if (const array& names = list(changed, line.key); !names.empty())
      shown += fmt::format("{:<18}{}\n", line.title, joined(names));
  const auto writes = number(reloaded, "writes").value_or(0);
  if (shown.empty() && writes == 0) return "nothing changed\n";
  shown += fmt::format("{:<18}{}\n", "rows moved", counted(reloaded, "rowsMoved"));
  shown += fmt::format("{:<18}{}\n", "map writes", counted(reloaded, "writes"));
  return shown;
}

FlowList::FlowList(Output output)
    : output_{output},
      table_{{{"CLIENT"},
              {"VIP"},
              {"PROTOCOL"},
              {"SERVICE"},
              {"BACKEND"},
              {"IDLE", Align::right},
              {"STATE"},
              {"ORIGIN"},
              {"ROW"}}} {}

std::string FlowList::page(const value& page) {
  const array& flows = list(page, "flows");
  if (flows.empty()) return {};
  return output_ == Output::json ? json(flows) : rows(flows);
}

std::string FlowList::end() const {
  if (!empty_) return cut();
  return output_ == Output::json ? "[]\n" : "no flows\n";
}

std::string FlowList::cut() const {
  return output_ == Output::json && !empty_ ? "]\n" : "";
}

std::string FlowList::json(const array& flows) {
  std::string text;
  for (const value& flow : flows) {
    text += empty_ ? "[" : ",\n";
    text += boost::json::serialize(flow);
    empty_ = false;
  }
  return text;
}

std::string FlowList::rows(const array& flows) {
  empty_ = false;
  for (const value& flow : flows)
    table_.add({text(flow, "client"), text(flow, "vip"), text(flow, "protocol"),
                text(flow, "service"), text(flow, "backend"),
                counted(flow, "idleSeconds", duration_text), text(flow, "state"),
                text(flow, "origin"), text(flow, "row")});
  return table_.take();
}

}  // namespace lbd::lbctl
