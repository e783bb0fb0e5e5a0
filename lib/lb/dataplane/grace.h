// Waiting for programs: what they may still read is not reused before.
#pragma once
#include "lb/dataplane/fd.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

/// The kernel lets an update of a map of maps return only when every program that may still hold
/// the old inner map has ended: maybe_wait_bpf_programs() in kernel/bpf/syscall.c.
class Grace {
 public:
  static Result<Grace> make();
  [[nodiscard]] Result<> wait() const;

 private:
  Fd outer_;
  Fd inner_;
};

}  // namespace lbd::dataplane
