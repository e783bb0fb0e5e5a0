#include "vm/interleave.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

namespace lbd::vm {
namespace {

constexpr std::uint64_t states_max = 3'000'000;

struct State {
  std::vector<Machine> machines;
  std::vector<bool> begun;
  std::vector<std::byte> memory;
  std::size_t daemon = 0;
  DaemonWords words{};
  std::map<char, IpAddress> lives;
  std::string order;  // for people
};

class Explorer {
 public:
  explicit Explorer(const World& world) : world_{world} {
    const auto& maps = world.program->maps();
    for (std::size_t i = 0; i < maps.size(); i++)
      if (std::ranges::find(world.shared, maps[i].name()) != world.shared.end())
        shared_.push_back(static_cast<std::int32_t>(i));
  }

  Result<Explored> run() {
    const std::vector<std::byte> before = saved();
    todo_.push_back(first());
    while (!todo_.empty() && explored_.wrong.empty()) {
      const State state = std::move(todo_.back());
      todo_.pop_back();
      if (!seen_.insert(digest(state)).second) continue;
      if (++explored_.states > states_max) return Error{"too many states"};
      if (auto expanded = expand(state); !expanded) return std::move(expanded).error();
    }
    restore(before);
    return explored_;
  }

 private:
  State first() {
    State state{.memory = saved(), .lives = world_.lives};
    for (const PacketPlan& packet : world_.packets) {
      state.machines.emplace_back(*world_.program, packet.frame, Input{.now_ns = world_.now_ns});
      state.begun.push_back(false);
    }
    return state;
  }

  Result<> expand(const State& state) {
    bool any = false;
    if (may_go_on(state)) {
      any = true;
      State next = state;
      restore(state.memory);
      const DaemonStep& step = world_.daemon[next.daemon++];
      next.order += fmt::format(" [{}]", step.name);
      if (step.work) step.work(next.words);
      next.memory = saved();
      todo_.push_back(std::move(next));
    }
    for (std::size_t i = 0; i < state.machines.size(); i++) {
      if (!may_step(state, i)) continue;
      any = true;
      restore(state.memory);
      auto next = stepped(state, i);
      if (!next) return std::move(next).error();
      if (!explored_.wrong.empty()) return {};
      todo_.push_back(std::move(*next));
    }
    if (!any) end(state);
    return {};
  }

  [[nodiscard]] bool may_go_on(const State& state) const {
    if (state.daemon == world_.daemon.size()) return false;
    if (world_.daemon[state.daemon].work) return true;
    for (std::size_t i = 0; i < state.machines.size(); i++)
      if (state.begun[i] && !state.machines[i].ended()) return false;
    return true;
  }

  [[nodiscard]] bool may_step(const State& state, std::size_t i) const {
    const auto& after = world_.packets[i].after;
    return !state.machines[i].ended() && std::ranges::all_of(after, [&](std::size_t other) {
      return state.machines[other].ended();
    });
  }

  /// One access of packet i to what is shared, or its end.
  Result<State> stepped(const State& state, std::size_t i) {
    State next = state;
    Machine& machine = next.machines[i];
    next.begun[i] = true;
    next.order += fmt::format(" {}{}", world_.packets[i].flow, i);
    for (bool alone = true; alone && !machine.ended();) {
      auto step = machine.step();
      if (!step) return std::move(step).error();
      alone = step->kind == Step::Kind::own || step->kind == Step::Kind::helper ||
              std::ranges::find(shared_, step->map) == shared_.end();
    }
    if (machine.ended()) check(next, i);
    next.memory = saved();
    return next;
  }

  void check(State& state, std::size_t i) {
    const PacketPlan& packet = world_.packets[i];
    const auto to = world_.backend(state.machines[i].result());
    const std::string text = to ? to->str() : "nowhere";
    state.order += "->" + text;
    const auto lives = state.lives.find(packet.flow);
    if (packet.begins) {
      if (to) state.lives.emplace(packet.flow, *to);
    } else if (lives != state.lives.end() && to != lives->second) {
      explored_.wrong =
          fmt::format("{} lives at {}:{}", packet.flow, lives->second.str(), state.order);
    }
  }

  void end(const State& state) {
    explored_.ends++;
    restore(state.memory);
    if (!world_.verdict) return;
    if (const std::string wrong = world_.verdict(); !wrong.empty())
      explored_.wrong = wrong + ":" + state.order;
  }

  [[nodiscard]] std::uint64_t digest(const State& state) const {
    std::uint64_t hash = state.daemon + 1;
    const auto add = [&](std::uint64_t word) {
      hash = (hash ^ word) * 0xd6e8feb86659fd93ULL;
      hash ^= hash >> 32;
    };
    for (const Machine& machine : state.machines) add(machine.digest());
    for (const bool begun : state.begun) add(begun ? 1 : 2);
    for (std::size_t at = 0; at < state.memory.size(); at++)
      add(static_cast<std::uint64_t>(state.memory[at]));
    for (const std::uint64_t word : state.words) add(word);
    for (const auto& [flow, address] : state.lives) {
      add(static_cast<std::uint64_t>(flow));
      for (const std::uint8_t byte : address.bytes()) add(byte);
    }
    return hash;
  }

  [[nodiscard]] std::vector<std::byte> saved() const {
    std::vector<std::byte> all;
    for (const auto& part : world_.memory) all.insert(all.end(), part.begin(), part.end());
    return all;
  }
  void restore(std::span<const std::byte> all) const {
    for (const auto& part : world_.memory) {
      std::memcpy(part.data(), all.data(), part.size());
      all = all.subspan(part.size());
    }
  }

  const World& world_;
  std::vector<std::int32_t> shared_;
  std::vector<State> todo_;
  std::unordered_set<std::uint64_t> seen_;
  Explored explored_;
};

}  // namespace

Result<Explored> explore(const World& world) {
  return Explorer{world}.run();
}

}  // namespace lbd::vm
