#include "lb/dataplane/grace.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <sched.h>
#include <chrono>
#include <thread>

#include "dataplane_lab.h"

using namespace lbd;
using namespace lbd::dataplane;
using namespace lbd::dataplane::test;

namespace {

/// Loads a program that says at `started[0]` that it runs, takes milliseconds, and says at
/// `started[1]` that it has ended; `map` is an array of one element with both, and 1 KiB of bytes
/// to spend time on.
Fd load_slow_program(const Fd& map) {
  constexpr int rounds = 90'000;  // 11 instructions each: just within the verifier's million
  const auto mov = [](std::uint8_t to, int value) {
    return bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value};
  };
  const auto copy = [](std::uint8_t to, std::uint8_t from) {
    return bpf_insn{BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0};
  };
  const auto add = [](std::uint8_t to, int value) {
    return bpf_insn{BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value};
  };
  const auto store_one = [](std::int16_t offset) {
    return bpf_insn{BPF_ST | BPF_MEM | BPF_W, 6, 0, offset, 1};
  };
  const bpf_insn program[] = {
      {BPF_LD | BPF_DW | BPF_IMM, 6, BPF_PSEUDO_MAP_VALUE, 0, map.get()},
      {0, 0, 0, 0, 0},
      store_one(0),
      mov(7, 0),
      copy(1, 6),  // the loop
      add(1, 8),
      mov(2, 512),
      copy(3, 6),
      add(3, 520),
      mov(4, 512),
      mov(5, 0),
      {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_csum_diff},
      add(7, 1),
      {BPF_JMP | BPF_JLT | BPF_K, 7, 0, -10, rounds},
      store_one(4),
      mov(0, XDP_PASS),
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  };
  Fd loaded{bpf_prog_load(BPF_PROG_TYPE_XDP, "slow", "GPL", program, std::size(program), nullptr)};
  REQUIRE(loaded);
  return loaded;
}

/// Keeps the calling thread on one CPU while it lives.
class OnCpu {
 public:
  explicit OnCpu(int cpu) {
    REQUIRE(sched_getaffinity(0, sizeof before_, &before_) == 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  }
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;
  ~OnCpu() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_{};
};

}  // namespace

TEST_CASE("grace waits for the programs that run") {
  const auto plane = opened(Options{});
  const auto before = std::chrono::steady_clock::now();
  expect(plane->grace());
  const auto took = std::chrono::steady_clock::now() - before;
  WARN(
      "a grace period takes " << std::chrono::duration_cast<std::chrono::microseconds>(took).count()
                              << " us");

  LIBBPF_OPTS(bpf_map_create_opts, mapped, .map_flags = BPF_F_MMAPABLE);
  const Fd map{bpf_map_create(BPF_MAP_TYPE_ARRAY, "slow", 4, 1032, 1, &mapped)};
  REQUIRE(map);
  const Mapping memory{::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map.get(), 0),
                       4096};
  REQUIRE(memory.data() != MAP_FAILED);
  const std::span<std::uint32_t> started = memory.as<std::uint32_t>(2);
  const Fd slow = load_slow_program(map);
  // A program is not preempted: seen from its own CPU it has always ended.
  const OnCpu here{0};
  int seen_running = 0;
  for (int round = 0; round < 500 && seen_running < 5; round++) {
    publish(started[0], 0);
    publish(started[1], 0);
    std::thread runner{[&] {
      const OnCpu there{1};
      const auto frame = packet();
      LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(),
                  .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = 1);
      static_cast<void>(bpf_prog_test_run_opts(slow.get(), &run));
    }};
    while (load_once(started[0]) == 0) std::this_thread::yield();
    if (load_once(started[1]) == 0) seen_running++;
    const auto waited = plane->grace();
    const bool ended = load_once(started[1]) == 1;
    runner.join();
    REQUIRE(waited.has_value());
    REQUIRE(ended);
  }
  CHECK(seen_running > 0);  // else nothing was shown
}
