// What `lbctl flows` is told to look for, read from its options.
#pragma once
#include <string>
#include <string_view>

#include "lb/model/result.h"
#include "lb/reconcile/flows.h"

namespace lbd::lbctl {

/// Whether it is an option of `flows` that takes a value; --service, which `backends` has too,
/// apart.
[[nodiscard]] bool is_flow_option(std::string_view name);
/// Sets what the option says. The error names it and what was expected.
Result<> set_flow_option(std::string_view name, const std::string& value, reconcile::FlowFilter&);
/// The same for --service, once it is known to be for `flows`.
Result<> set_flow_service(const std::string& value, reconcile::FlowFilter&);

}  // namespace lbd::lbctl
