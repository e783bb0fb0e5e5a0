#include "lb/reconcile/extents.h"

#include <catch2/catch.hpp>

using lbd::reconcile::Extents;

TEST_CASE("the smallest hole that fits is taken") {
  Extents space{100};
  space.use({10, 10});
  space.use({25, 5});
  CHECK(space.take(5) == 20U);   // the hole of 5 between them
  CHECK(space.take(5) == 0U);    // then that of 10 in front
  CHECK(space.take(70) == 30U);  // all that is left at the end
  CHECK(space.take(6) == std::nullopt);
  CHECK(space.take(5) == 5U);
  CHECK(space.take(1) == std::nullopt);
}

TEST_CASE("a stretch begins at a multiple of its alignment") {
  Extents space{96};
  space.use({0, 1});
  CHECK(space.take(32, 32) == 32U);
  CHECK(space.take(33, 32) == std::nullopt);
  CHECK(space.take(31, 1) == 1U);
}

TEST_CASE("a larger space takes what a smaller one could not") {
  Extents space{64};
  space.use({0, 40});
  CHECK(space.take(30, 32) == std::nullopt);
  CHECK(space.end_with(30, 32) == 94);
  space.extend(94);
  CHECK(space.take(30, 32) == 64U);
}

TEST_CASE("overlapping stretches are one") {
  Extents space{20};
  space.use({0, 8});
  space.use({4, 8});
  space.use({12, 0});
  CHECK(space.take(8) == 12U);
  CHECK(space.take(1) == std::nullopt);
}
