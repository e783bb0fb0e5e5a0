#include "rewinder.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "rewind.skel.h"

namespace lbd::bench {

void die(std::string_view what) {
  fmt::print(stderr, "\n{}: {}{}{}\n", program_invocation_short_name, what, errno == 0 ? "" : ": ",
             errno == 0 ? "" : std::strerror(errno));
  std::exit(1);
}

void stay_on_one_cpu() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) die("read the CPUs");
  int chosen = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE && chosen < 1; cpu++)
    if (CPU_ISSET(cpu, &allowed)) chosen = cpu;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(chosen, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) die("stay on one CPU");
}

double thread_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

void Rewinder::Close::operator()(struct ::rewind* skeleton) const {
  rewind::destroy(skeleton);
}

Rewinder::Rewinder(int program, const Frame& frame, std::uint32_t flows, Verdict expected)
    : skeleton_{rewind::open_and_load()},
      frame_{frame},
      state_{words_of(frame, flows, expected.growth)},
      expected_{expected} {
  if (!skeleton_) die("load the wrapper");
  const std::uint32_t slot = 0;
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.target), &slot, &program, BPF_ANY) != 0)
    die("put the program behind the wrapper");
}

Rewinder::Ran Rewinder::run_with(int wrapper, const rewind_words& state, std::uint32_t repeat) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame_.bytes.data(),
              .data_size_in = static_cast<std::uint32_t>(frame_.bytes.size()),
              .repeat = static_cast<int>(repeat));
  rewind_words& live = skeleton_->bss->rewind_state;
  live = state;
  const double begun = thread_ns();
  if (bpf_prog_test_run_opts(wrapper, &options) != 0) die("test run");
  const double taken = thread_ns() - begun;
  state_.index = live.index;
  // The first packet is a fresh one, without the growth of a packet before it.
  const std::uint64_t wrong = live.bad_growth - (state.growth != 0 ? 1 : 0) + live.fell_through +
                              (live.runs == repeat ? 0 : 1) +
                              (options.retval == expected_.action ? 0 : 1);
  return {taken, wrong};
}

Rewinder::Ran Rewinder::run(std::uint32_t repeat) {
  return run_with(bpf_program__fd(skeleton_->progs.rewind), state_, repeat);
}

Rewinder::Ran Rewinder::fill(bool begin) {
  rewind_words in_order = state_;
  in_order.step = 1;
  in_order.begin = begin ? 1 : 0;
  return run_with(bpf_program__fd(skeleton_->progs.fill), in_order, state_.flows * FILL_PACKETS);
}

}  // namespace lbd::bench
