// Room in the maps for what services need: which stretches are free, and larger maps where none is.
#pragma once
#include <cstdint>
#include <optional>
#include <set>

#include "lb/desired/desired.h"
#include "lb/log/log.h"
#include "lb/reconcile/extents.h"
#include "lb/reconcile/held.h"
#include "lb/reconcile/writer.h"

namespace lbd::reconcile {

class Space {
 public:
  /// All that `held` names is in use.
  Space(Writer&, const Held& held, const Log&);

  /// Rows of a ring, backend records, counters, the index of a service: taken, or an Error that
  /// says what is full. Maps grow where they can.
  Result<std::uint32_t> take_rows(std::uint32_t count);
  Result<std::uint32_t> take_backends(std::uint32_t count);
  Result<std::uint32_t> take_counters(std::uint32_t count);
  Result<std::uint32_t> take_service();
  /// Cells of the frontend tables for a wanted service, held or new.
  Result<> take_frontends(const lbd::Service& service);

 private:
  struct Kind {
    std::string_view what;
    Extents extents;
    std::uint32_t dataplane::Sizes::*size;
    std::uint32_t max;
    std::uint32_t align;
  };
  Result<std::uint32_t> take(Kind&, std::uint32_t count);
  Result<> grow(Kind&, std::uint32_t count);

  Writer& writer_;
  const Log& log_;
  Kind rows_;
  Kind backends_;
  Kind counters_;
  std::set<std::uint32_t> services_;
  std::size_t frontends4_ = 0;
  std::size_t frontends6_ = 0;
};

/// Slots that a service with `backends` backends gets: twice as many, so that it can grow in place.
[[nodiscard]] std::uint32_t slots_for(std::size_t backends);

/// The sizes that maps for `desired` start with: twice what it needs.
[[nodiscard]] dataplane::Sizes sizes_for(const desired::Desired& desired,
                                         const config::ConnectionTable& table);

}  // namespace lbd::reconcile
