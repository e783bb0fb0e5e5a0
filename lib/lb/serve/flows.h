// The stored flows on the admin socket, a page a question: {"command":"flows","from":0,…} with a
// member for each thing that is asked for, and {"flows":[…],"next":65536}.
#pragma once
#include <boost/json/object.hpp>
#include <cstdint>

#include "lb/model/result.h"
#include "lb/reconcile/flows.h"

namespace lbd::serve {

struct FlowsQuestion {
  reconcile::FlowFilter filter;
  std::uint32_t from = 0;  ///< `next` of the page before
  bool operator==(const FlowsQuestion&) const = default;
};

/// A whole request, as lbctl sends it.
[[nodiscard]] boost::json::object flows_request(const FlowsQuestion&);
/// The question back from its request. What is not understood is an error, never ignored: else more
/// would be listed than was asked for.
[[nodiscard]] Result<FlowsQuestion> parse_flows_question(const boost::json::object& request);

/// `next` is null at the end.
[[nodiscard]] boost::json::object flows_json(const reconcile::FlowsPage&);

}  // namespace lbd::serve
