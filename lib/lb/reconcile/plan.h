// Where each desired service goes in the maps: pure arithmetic over what is held and what is free,
// done before anything is written, so that a service which doesn't fit leaves no trace.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lb/desired/desired.h"
#include "lb/reconcile/held.h"
#include "lb/reconcile/space.h"

namespace lbd::reconcile {

/// A service that is not in the maps as desired, and why.
struct Refused {
  std::string service;
  std::string reason;
  bool operator==(const Refused&) const = default;
};

/// What a service's place in the maps will be.
struct Plan {
  const desired::Service* wanted = nullptr;
  const HeldService* held = nullptr;  ///< null: the service is new
  std::uint32_t index = 0;
  abi::service record{};             ///< as it will be
  std::vector<std::uint16_t> slots;  ///< of the wanted backends, in their order
  std::map<ServicePort, std::uint32_t> counter_bases;

  /// The backends' records and counters move to larger stretches.
  [[nodiscard]] bool relocates() const {
    return held != nullptr && held->record.slots != record.slots;
  }
};

/// The plan for one service, or why it can't be.
[[nodiscard]] Result<Plan> plan(const desired::Service&, const HeldService* held, Space&);

/// Whether a service in the maps can become `wanted` without breaking flows; else an Error naming
/// the key that would have to change.
[[nodiscard]] Result<> same_shape(const desired::Service& wanted, const HeldService& held);

}  // namespace lbd::reconcile
