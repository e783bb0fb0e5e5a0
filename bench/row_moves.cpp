#include "row_moves.h"

#include <chrono>

#include "lb/reconcile/rows.h"

namespace lbd::bench {
namespace {

constexpr const char* site = "web";
constexpr std::uint32_t moved = 700;

template <class Work>
void time_work(RowMove& move, Work&& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  const auto taken = std::chrono::steady_clock::now() - begun;
  move.us.push_back(std::chrono::duration<double, std::micro>(taken).count());
}

}  // namespace

RowMoves::RowMoves()
    : alone_{{.sites = {{site, false}}, .others = 0}},
      among_others_{{.sites = {{site, false}}}},
      results_{{"700 of 65,537 settled rows: the stores alone", moved, {}},
               {"700 rows that move already: the stores alone", moved, {}},
               {"1 of 100 backends removed: all of apply()", 0, {}},
               {"the same backend back: all of apply()", 0, {}},
               {"1 of 100 backends removed, beside 500 services", 0, {}},
               {"the same backend back, beside 500 services", 0, {}}} {}

void RowMoves::measure() {
  stores(results_[0], results_[1]);
  removal(alone_, results_[2], results_[3]);
  removal(among_others_, results_[4], results_[5]);
}

/// Rows from all over the ring, as a table's difference is.
void RowMoves::stores(RowMove& settled, RowMove& moving) {
  const auto ring = alone_.ring(site);
  reconcile::Writer writer{alone_.plane()};
  reconcile::Rows rows{writer};
  const auto now = alone_.plane().now();
  const auto next_owner = [&] {
    for (std::uint32_t i = 0; i < moved; i++) {
      const std::uint32_t row = ring.base + i * (ring.size / moved);
      rows.change(row, static_cast<std::uint16_t>((rows.owner(row) + 1) % 100), true, now);
    }
  };
  time_work(settled, next_owner);
  time_work(moving, next_owner);
  alone_.settle(site);
  alone_.apply(alone_.desired(0));
  alone_.settle(site);
}

void RowMoves::removal(Balancer& balancer, RowMove& removed, RowMove& returned) {
  const auto without = balancer.desired(1);
  const auto with = balancer.desired(0);
  time_work(removed, [&] { removed.rows = balancer.apply(without).rows_changed; });
  balancer.settle(site);
  time_work(returned, [&] { returned.rows = balancer.apply(with).rows_changed; });
  balancer.settle(site);
}

}  // namespace lbd::bench
