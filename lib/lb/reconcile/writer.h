// What all that write the maps share: the tables, counted stores, and a grace period that is waited
// for only where something freed is about to be used again.
#pragma once
#include "lb/dataplane/data_plane.h"
#include "lb/reconcile/store.h"

namespace lbd::reconcile {

class Writer {
 public:
  /// Adopted tables may have been freed in part by a predecessor just before it died.
  explicit Writer(dataplane::DataPlane& plane) : plane_{plane}, freed_{plane.adopted()} {}

  [[nodiscard]] dataplane::DataPlane& plane() { return plane_; }
  [[nodiscard]] dataplane::Tables& tables() { return plane_.tables(); }
  [[nodiscard]] Store& store() { return store_; }

  /// Seconds of CLOCK_MONOTONIC, as rows and flows are stamped.
  [[nodiscard]] std::uint32_t now() const { return plane_.now(); }

  /// Something that packets under way may still hold was let go.
  void freed() { freed_ = true; }
  /// To be called before anything free is written: nobody holds it after this.
  Result<> before_reuse() {
    if (!freed_) return {};
    return grace();
  }
  Result<> grace() {
    auto waited = plane_.grace();
    if (waited) freed_ = false;
    return waited;
  }

 private:
  dataplane::DataPlane& plane_;
  Store store_;
  bool freed_;
};

}  // namespace lbd::reconcile
