// How long rows take to change owners, by the reconciler's own code on maps that a program runs on.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "balancer.h"

namespace lbd::bench {

struct RowMove {
  std::string what;
  std::uint64_t rows = 0;  ///< that change
  std::vector<double> us;
};

class RowMoves {
 public:
  RowMoves();
  /// One round of each.
  void measure();
  [[nodiscard]] const std::vector<RowMove>& results() const { return results_; }

 private:
  void stores(RowMove& settled, RowMove& moving);
  void removal(Balancer&, RowMove& removed, RowMove& returned);

  Balancer alone_;
  Balancer among_others_;
  std::vector<RowMove> results_;
};

}  // namespace lbd::bench
