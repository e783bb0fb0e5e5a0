#include "vm/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <ctime>
#include <type_traits>

#include "vm/address.h"

namespace lbd::vm {
namespace {

static_assert(std::endian::native == std::endian::little, "BPF byte swaps assume it");

constexpr std::size_t stack_pointer = 10;
constexpr std::byte garbage{0xa5};  // what a new stack frame holds
constexpr int atomic_exchange = BPF_XCHG, atomic_compare = BPF_CMPXCHG;

std::size_t bytes_of(const bpf_insn& in) {
  switch (BPF_SIZE(in.code)) {
    case BPF_B:
      return 1;
    case BPF_H:
      return 2;
    case BPF_W:
      return 4;
    default:
      return 8;
  }
}

/// Calls `with` with a value of the unsigned type of that size.
template <class With>
auto by_size(std::size_t bytes, With&& with) {
  switch (bytes) {
    case 1:
      return with(std::uint8_t{});
    case 2:
      return with(std::uint16_t{});
    case 4:
      return with(std::uint32_t{});
    default:
      return with(std::uint64_t{});
  }
}

bool is_aligned(const std::byte* memory, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(memory) % bytes == 0;
}

/// One load where the address allows it: kernel and daemon may write meanwhile.
std::uint64_t read_memory(const std::byte* from, std::size_t bytes) {
  return by_size(bytes, [&](auto value) -> std::uint64_t {
    if (is_aligned(from, bytes))
      value = __atomic_load_n(reinterpret_cast<const decltype(value)*>(from), __ATOMIC_ACQUIRE);
    else
      std::memcpy(&value, from, sizeof value);
    return value;
  });
}

void write_memory(std::byte* to, std::size_t bytes, std::uint64_t wide) {
  by_size(bytes, [&](auto value) {
    value = static_cast<decltype(value)>(wide);
    if (is_aligned(to, bytes))
      __atomic_store_n(reinterpret_cast<decltype(value)*>(to), value, __ATOMIC_RELEASE);
    else
      std::memcpy(to, &value, sizeof value);
  });
}

template <class T>
std::optional<std::uint64_t> arithmetic(unsigned operation, T a, T b) {
  constexpr T shift_mask = sizeof(T) * 8 - 1;
  switch (operation) {
    case BPF_ADD:
      return T(a + b);
    case BPF_SUB:
      return T(a - b);
    case BPF_MUL:
      return T(a * b);
    case BPF_DIV:
      return b == 0 ? T{0} : T(a / b);
    case BPF_MOD:
      return b == 0 ? a : T(a % b);
    case BPF_OR:
      return T(a | b);
    case BPF_AND:
      return T(a & b);
    case BPF_XOR:
      return T(a ^ b);
    case BPF_LSH:
      return T(a << (b & shift_mask));
    case BPF_RSH:
      return T(a >> (b & shift_mask));
    case BPF_ARSH:
      return T(std::make_signed_t<T>(a) >> (b & shift_mask));
    case BPF_NEG:
      return T(T{0} - a);
    case BPF_MOV:
      return b;
    default:
      return std::nullopt;
  }
}

template <class T>
std::optional<bool> comparison(unsigned operation, T a, T b) {
  const auto signed_a = std::make_signed_t<T>(a);
  const auto signed_b = std::make_signed_t<T>(b);
  switch (operation) {
    case BPF_JEQ:
      return a == b;
    case BPF_JNE:
      return a != b;
    case BPF_JGT:
      return a > b;
    case BPF_JGE:
      return a >= b;
    case BPF_JLT:
      return a < b;
    case BPF_JLE:
      return a <= b;
    case BPF_JSET:
      return (a & b) != 0;
    case BPF_JSGT:
      return signed_a > signed_b;
    case BPF_JSGE:
      return signed_a >= signed_b;
    case BPF_JSLT:
      return signed_a < signed_b;
    case BPF_JSLE:
      return signed_a <= signed_b;
    default:
      return std::nullopt;
  }
}

/// What the memory held before; nothing: no such operation.
template <class T>
std::optional<std::uint64_t> changed_atomically(T* memory, int operation, T value, T expected) {
  switch (operation) {
    case BPF_ADD:
    case BPF_ADD | BPF_FETCH:
      return __atomic_fetch_add(memory, value, __ATOMIC_SEQ_CST);
    case BPF_OR:
    case BPF_OR | BPF_FETCH:
      return __atomic_fetch_or(memory, value, __ATOMIC_SEQ_CST);
    case BPF_AND:
    case BPF_AND | BPF_FETCH:
      return __atomic_fetch_and(memory, value, __ATOMIC_SEQ_CST);
    case BPF_XOR:
    case BPF_XOR | BPF_FETCH:
      return __atomic_fetch_xor(memory, value, __ATOMIC_SEQ_CST);
    case atomic_exchange:
      return __atomic_exchange_n(memory, value, __ATOMIC_SEQ_CST);
    case atomic_compare:
      __atomic_compare_exchange_n(memory, &expected, value, false, __ATOMIC_SEQ_CST,
                                  __ATOMIC_SEQ_CST);
      return expected;
    default:
      return std::nullopt;
  }
}

Error unknown() {
  return Error{"not emulated"};
}

}  // namespace

std::uint64_t coarse_now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

Machine::Machine(Program& program, std::span<const std::uint8_t> frame, Input input)
    : program_{&program}, input_{input} {
  assert(frame.size() >= 14 && frame.size() <= frame_max);
  std::memcpy(page_.data() + headroom, frame.data(), frame.size());
  data_end_ = headroom + frame.size();
  stack_.fill(garbage);
  registers_[1] = address_in(Region::context, 0);
  registers_[stack_pointer] = address_in(Region::stack, stack_bytes);
}

Result<dataplane::TestRun> Machine::run() {
  while (!ended_)
    if (auto done = step(); !done) return std::move(done).error();
  return result();
}

dataplane::TestRun Machine::result() const {
  assert(ended_);
  const auto* first = reinterpret_cast<const std::uint8_t*>(page_.data());
  return {static_cast<std::uint32_t>(registers_[0]), {first + data_, first + data_end_}};
}

Result<Step> Machine::step() {
  assert(!ended_);
  const auto& code = program_->code();
  const std::size_t at = next_;
  if (at >= code.size()) return Error{fmt::format("instruction {}: behind the last", at)};
  const bpf_insn& in = code[at];
  next_++;
  instructions_run_++;
  auto done = execute(in);
  if (done) return done;
  return std::move(done).error().in(fmt::format("instruction {} (code {:#x}, r{}, r{}, {}, {})", at,
                                                in.code, in.dst_reg, in.src_reg, in.off, in.imm));
}

Result<Step> Machine::execute(const bpf_insn& in) {
  switch (BPF_CLASS(in.code)) {
    case BPF_ALU:
    case BPF_ALU64:
      return compute(in);
    case BPF_JMP:
    case BPF_JMP32:
      return jump(in);
    case BPF_LDX:
      return load(in);
    case BPF_ST:
    case BPF_STX:
      return store(in);
    default:
      return load_immediate(in);
  }
}

std::uint64_t Machine::operand(const bpf_insn& in) const {
  return BPF_SRC(in.code) == BPF_X ? registers_[in.src_reg]
                                   : static_cast<std::uint64_t>(std::int64_t{in.imm});
}

Result<Step> Machine::compute(const bpf_insn& in) {
  if (in.off != 0 || in.dst_reg >= stack_pointer) return unknown();  // -mcpu=v4
  std::uint64_t& to = registers_[in.dst_reg];
  const bool wide = BPF_CLASS(in.code) == BPF_ALU64;
  if (BPF_OP(in.code) == BPF_END) {
    if (wide || (in.imm != 16 && in.imm != 32 && in.imm != 64)) return unknown();
    if (BPF_SRC(in.code) == BPF_TO_BE) to = __builtin_bswap64(to) >> (64 - in.imm);
    if (in.imm < 64) to &= (std::uint64_t{1} << in.imm) - 1;
    return Step{};
  }
  const std::uint64_t with = operand(in);
  const auto value = wide ? arithmetic<std::uint64_t>(BPF_OP(in.code), to, with)
                          : arithmetic<std::uint32_t>(BPF_OP(in.code), to, with);
  if (!value) return unknown();
  to = *value;
  return Step{};
}

Result<Step> Machine::jump(const bpf_insn& in) {
  const bool wide = BPF_CLASS(in.code) == BPF_JMP;
  if (wide && BPF_OP(in.code) == BPF_CALL) {
    if (in.src_reg == BPF_PSEUDO_CALL) return enter(static_cast<std::int64_t>(next_) + in.imm);
    if (in.src_reg != 0) return unknown();
    return call_helper(static_cast<std::uint32_t>(in.imm));
  }
  if (wide && BPF_OP(in.code) == BPF_EXIT) return leave();
  const std::uint64_t a = registers_[in.dst_reg];
  const std::uint64_t b = operand(in);
  const auto taken = wide && BPF_OP(in.code) == BPF_JA ? std::optional{true}
                     : wide ? comparison<std::uint64_t>(BPF_OP(in.code), a, b)
                            : comparison<std::uint32_t>(BPF_OP(in.code), a, b);
  if (!taken) return unknown();
  if (*taken) next_ = static_cast<std::size_t>(static_cast<std::int64_t>(next_) + in.off);
  return Step{};
}

/// Calls a function of the program, static or global: the same here.
Result<Step> Machine::enter(std::int64_t target) {
  if (callers_.size() + 1 >= frames_max) return Error{"more than 8 frames"};
  Caller caller{.next = next_};
  std::copy_n(registers_.begin() + 6, caller.saved.size(), caller.saved.begin());
  callers_.push_back(caller);
  std::fill_n(stack_.begin() + static_cast<std::ptrdiff_t>(callers_.size() * stack_bytes),
              stack_bytes, garbage);
  registers_[stack_pointer] += stack_bytes;
  next_ = static_cast<std::size_t>(target);
  return Step{};
}

Step Machine::leave() {
  if (callers_.empty()) {
    ended_ = true;
    return {};
  }
  const Caller& caller = callers_.back();
  next_ = caller.next;
  std::copy(caller.saved.begin(), caller.saved.end(), registers_.begin() + 6);
  registers_[stack_pointer] -= stack_bytes;
  callers_.pop_back();
  return {};
}

Result<Step> Machine::load(const bpf_insn& in) {
  if (BPF_MODE(in.code) != BPF_MEM) return unknown();
  const std::uint64_t address = registers_[in.src_reg] + static_cast<std::uint64_t>(in.off);
  if (is_in(Region::context, address)) return load_context(in, address & offset_mask);
  const auto bytes = bytes_of(in);
  auto place = place_of(address, bytes, Access::read);
  if (!place) return std::move(place).error();
  registers_[in.dst_reg] = read_memory(place->memory, bytes);
  if (place->map == Step::no_map) return Step{};
  return Step{Step::Kind::read, place->map, place->offset, static_cast<std::uint32_t>(bytes)};
}

/// struct xdp_md: the verifier turns loads of its 32-bit fields into those of pointers.
Result<Step> Machine::load_context(const bpf_insn& in, std::uint64_t offset) {
  if (bytes_of(in) != 4) return Error{"a field of the context is four bytes"};
  std::uint64_t& to = registers_[in.dst_reg];
  switch (offset) {
    case offsetof(xdp_md, data):
    case offsetof(xdp_md, data_meta):
      to = address_in(Region::packet, data_);
      return Step{};
    case offsetof(xdp_md, data_end):
      to = address_in(Region::packet, data_end_);
      return Step{};
    case offsetof(xdp_md, ingress_ifindex):
      to = input_.ingress_ifindex;
      return Step{};
    case offsetof(xdp_md, rx_queue_index):
      to = 0;
      return Step{};
    default:
      return Error{fmt::format("byte {} of the context can't be loaded", offset)};
  }
}

Result<Step> Machine::store(const bpf_insn& in) {
  const bool from_register = BPF_CLASS(in.code) == BPF_STX;
  if (from_register && BPF_MODE(in.code) == BPF_ATOMIC) return change_atomically(in);
  if (BPF_MODE(in.code) != BPF_MEM) return unknown();
  const auto bytes = bytes_of(in);
  auto place =
      place_of(registers_[in.dst_reg] + static_cast<std::uint64_t>(in.off), bytes, Access::write);
  if (!place) return std::move(place).error();
  write_memory(
      place->memory, bytes,
      from_register ? registers_[in.src_reg] : static_cast<std::uint64_t>(std::int64_t{in.imm}));
  if (place->map == Step::no_map) return Step{};
  auto written = program_->maps()[static_cast<std::size_t>(place->map)].written(place->offset);
  if (!written) return std::move(written).error();
  return Step{Step::Kind::write, place->map, place->offset, static_cast<std::uint32_t>(bytes)};
}

Result<Step> Machine::change_atomically(const bpf_insn& in) {
  const auto bytes = bytes_of(in);
  if (bytes < 4) return unknown();
  auto place =
      place_of(registers_[in.dst_reg] + static_cast<std::uint64_t>(in.off), bytes, Access::write);
  if (!place) return std::move(place).error();
  if (!is_aligned(place->memory, bytes)) return Error{"an atomic operation off its alignment"};
  std::uint64_t& value = registers_[in.src_reg];
  const auto old =
      bytes == 4
          ? changed_atomically<std::uint32_t>(reinterpret_cast<std::uint32_t*>(place->memory),
                                              in.imm, static_cast<std::uint32_t>(value),
                                              static_cast<std::uint32_t>(registers_[0]))
          : changed_atomically<std::uint64_t>(reinterpret_cast<std::uint64_t*>(place->memory),
                                              in.imm, value, registers_[0]);
  if (!old) return unknown();
  if (in.imm == atomic_compare)
    registers_[0] = *old;
  else if ((in.imm & BPF_FETCH) != 0)
    value = *old;
  if (place->map == Step::no_map) return Step{};
  auto written = program_->maps()[static_cast<std::size_t>(place->map)].written(place->offset);
  if (!written) return std::move(written).error();
  return Step{Step::Kind::atomic, place->map, place->offset, static_cast<std::uint32_t>(bytes)};
}

/// 64 bits over two instructions: a number, a map or its memory. Functions as arguments of helpers
/// (bpf_loop) are not known.
Result<Step> Machine::load_immediate(const bpf_insn& in) {
  if (in.code != (BPF_LD | BPF_IMM | BPF_DW) || next_ >= program_->code().size()) return unknown();
  const auto low = static_cast<std::uint32_t>(in.imm);
  const auto high = static_cast<std::uint32_t>(program_->code()[next_].imm);
  std::uint64_t& to = registers_[in.dst_reg];
  switch (in.src_reg) {
    case 0:
      to = std::uint64_t{high} << 32 | low;
      break;
    case BPF_PSEUDO_MAP_FD:
      to = address_in(Region::map, low);
      break;
    case BPF_PSEUDO_MAP_VALUE:
      to = address_in_map(low, high);
      break;
    default:
      return unknown();
  }
  next_++;
  return Step{};
}

Result<Machine::Place> Machine::place_of(std::uint64_t address, std::size_t bytes, Access access) {
  const std::uint64_t offset = address & offset_mask;
  if (is_in(Region::stack, address) && offset + bytes <= (callers_.size() + 1) * stack_bytes)
    return Place{.memory = stack_.data() + offset};
  if (is_in(Region::packet, address) && offset >= data_ && offset + bytes <= data_end_)
    return Place{.memory = page_.data() + offset};
  const std::uint64_t map = region_of(address) - static_cast<std::uint32_t>(Region::memory);
  if (map >= program_->maps().size())
    return Error{fmt::format("{} bytes at {:#x}: out of bounds", bytes, address)};
  SharedMap& shared = program_->maps()[map];
  if (access == Access::write && shared.read_only()) return Error{shared.name() + ": read-only"};
  std::byte* memory = shared.at(offset, bytes);
  if (memory == nullptr)
    return Error{
        fmt::format("{} bytes at {:#x} of {}: out of bounds", bytes, offset, shared.name())};
  return Place{memory, static_cast<std::int32_t>(map), offset};
}

std::uint64_t Machine::digest() const {
  std::uint64_t hash = next_;
  const auto add = [&](std::uint64_t word) {
    hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
    hash ^= hash >> 29;
  };
  const auto add_bytes = [&](std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at + sizeof(std::uint64_t) <= bytes.size();
         at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, sizeof word);
      add(word);
    }
  };
  for (const std::uint64_t word : registers_) add(word);
  for (const Caller& caller : callers_) {
    add(caller.next);
    for (const std::uint64_t word : caller.saved) add(word);
  }
  add_bytes(stack_);
  add_bytes(page_);
  add(data_);
  add(data_end_);
  add(ended_ ? 1 : 0);
  return hash;
}

}  // namespace lbd::vm
