// An interpreter of BPF bytecode: one run of an XDP program on one packet, instruction by
// instruction, so that several runs over the same maps can be interleaved with each other and with
// what the daemon writes.
//
// Pointers are of an address space of its own, in which each context, stack, packet and map is a
// region; every access is checked against them. The verifier's promises are not assumed: what it
// would refuse ends with an Error that names the instruction.
#pragma once
#include <linux/bpf.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "lb/dataplane/data_plane.h"
#include "lb/model/result.h"
#include "vm/program.h"

namespace lbd::vm {

/// What one instruction did that others can see. Everything else is the machine's own, so that a
/// scheduler need only choose anew where `kind` isn't `own`.
struct Step {
  enum class Kind : std::uint8_t { own, read, write, atomic, helper };
  static constexpr std::int32_t no_map = -1;

  Kind kind = Kind::own;
  std::int32_t map = no_map;  ///< index in Program::maps(): read, written, or the helper's argument
  std::uint64_t offset = 0;   ///< in the map's memory
  std::uint32_t bytes = 0;
  std::uint32_t helper = 0;  ///< enum bpf_func_id
};

/// What the packet meets besides the maps.
struct Input {
  std::uint32_t ingress_ifindex = 1;  ///< the loopback interface, as in DataPlane::run()
  std::uint64_t now_ns = 0;           ///< what the clocks say during the run
};

/// CLOCK_MONOTONIC_COARSE, as programs read it.
[[nodiscard]] std::uint64_t coarse_now_ns();

/// A value: a copy goes on from the same instruction, on the same maps.
class Machine {
 public:
  static constexpr std::size_t frame_max = 3520;  ///< of one page, as in DataPlane::run()

  /// About to run `program`, which must outlive it, on a frame of 14 … frame_max bytes.
  Machine(Program& program, std::span<const std::uint8_t> frame, Input input);

  /// Runs one instruction; not after the end, nor after an Error.
  Result<Step> step();
  [[nodiscard]] bool ended() const { return ended_; }
  /// Runs what is left.
  Result<dataplane::TestRun> run();

  /// After the end.
  [[nodiscard]] dataplane::TestRun result() const;
  [[nodiscard]] std::optional<std::uint32_t> redirected_to() const { return redirected_to_; }
  [[nodiscard]] std::size_t next_instruction() const { return next_; }
  [[nodiscard]] std::uint64_t instructions_run() const { return instructions_run_; }

 private:
  static constexpr std::size_t frames_max = 8;
  static constexpr std::size_t stack_bytes = 512;  ///< a frame
  static constexpr std::size_t headroom = 256;     ///< XDP_PACKET_HEADROOM
  static constexpr std::uint64_t garbage_word = 0xa5a5'a5a5'a5a5'a5a5;
  enum class Access : std::uint8_t { read, write };
  struct Place {
    std::byte* memory = nullptr;
    std::int32_t map = Step::no_map;
    std::uint64_t offset = 0;
  };
  struct Caller {
    std::size_t next = 0;
    std::array<std::uint64_t, 4> saved{};  ///< r6 … r9
  };

  Result<Step> execute(const bpf_insn&);
  Result<Step> compute(const bpf_insn&);
  Result<Step> jump(const bpf_insn&);
  Result<Step> load(const bpf_insn&);
  Result<Step> store(const bpf_insn&);
  Result<Step> change_atomically(const bpf_insn&);
  Result<Step> load_immediate(const bpf_insn&);
  Result<Step> load_context(const bpf_insn&, std::uint64_t offset);
  Result<Step> enter(std::int64_t target);
  Step leave();

  // helpers.cpp
  Result<Step> call_helper(std::uint32_t id);
  Result<std::uint64_t> look_up(SharedMap&, const std::byte* key, std::int32_t index);
  Result<std::uint64_t> update(SharedMap&, const std::byte* key);
  static Result<std::uint64_t> erase(SharedMap&, const std::byte* key);
  std::uint64_t adjust_head(std::int32_t by);
  std::uint64_t adjust_tail(std::int32_t by);
  [[nodiscard]] Result<std::int32_t> map_of(std::uint64_t address) const;

  /// The memory at an address, if all of it may be accessed so.
  Result<Place> place_of(std::uint64_t address, std::size_t bytes, Access);
  [[nodiscard]] std::uint64_t operand(const bpf_insn&) const;

  Program* program_;
  Input input_;
  std::array<std::uint64_t, 11> registers_{};
  std::size_t next_ = 0;
  std::uint64_t instructions_run_ = 0;
  bool ended_ = false;
  std::optional<std::uint32_t> redirected_to_;
  std::vector<Caller> callers_;
  alignas(8) std::array<std::byte, frames_max * stack_bytes> stack_{};
  alignas(8) std::array<std::byte, 4096> page_{};  ///< headroom, frame, tailroom
  std::size_t data_ = headroom;
  std::size_t data_end_ = headroom;
};

}  // namespace lbd::vm
