// One program under the rewinding wrapper: runs it on one frame's flows and says what that took.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "frame.h"

struct rewind;

namespace lbd::bench {

/// Ends the benchmark: what failed, and errno's text where there is one.
[[noreturn]] void die(std::string_view what);

/// This thread runs on one CPU from now on: the second where there is one, as the first serves
/// most interrupts.
void stay_on_one_cpu();

/// CPU time of this thread: without what the test run waits for between repetitions.
[[nodiscard]] double thread_ns();

class Rewinder {
 public:
  struct Verdict {
    std::uint32_t action = 0;  ///< enum xdp_action
    int growth = 0;            ///< bytes put in front; below 0: taken away
  };
  struct Ran {
    double ns = 0;            ///< in all
    std::uint64_t wrong = 0;  ///< repetitions with another verdict than expected
  };

  /// A wrapper of its own for each: its tail call is a direct jump.
  Rewinder(int program, const Frame&, std::uint32_t flows, Verdict expected);

  /// `repeat` packets, the next flow's each.
  [[nodiscard]] Ran run(std::uint32_t repeat);
  /// The first packets of all flows in the order of their indices: with a SYN, or from the middle.
  [[nodiscard]] Ran fill(bool begin);

 private:
  struct Close {
    void operator()(struct ::rewind*) const;
  };
  Ran run_with(int wrapper, const rewind_words& state, std::uint32_t repeat);

  std::unique_ptr<struct ::rewind, Close> skeleton_;
  Frame frame_;
  rewind_words state_;
  Verdict expected_;
};

}  // namespace lbd::bench
