// Every order in which the packets of several CPUs and a daemon may reach the maps: the shipped
// program's bytecode, stopped at each access to what others write, against the daemon's writes.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lb/model/address.h"
#include "lb/model/result.h"
#include "vm/machine.h"

namespace lbd::vm {

/// What the daemon's steps keep between them; part of the state.
using DaemonWords = std::array<std::uint64_t, 4>;

struct DaemonStep {
  std::string name;
  std::function<void(DaemonWords&)> work;  ///< null: a grace period
};

struct PacketPlan {
  char flow = 'f';
  std::vector<std::uint8_t> frame;
  bool begins = false;               ///< the first to end says where its flow lives
  std::vector<std::size_t> after{};  ///< packets that must have ended before
};

struct World {
  Program* program = nullptr;
  std::uint64_t now_ns = 0;
  std::vector<std::string> shared;           ///< maps whose accesses are told apart
  std::vector<std::span<std::byte>> memory;  ///< of them, all that changes
  std::vector<PacketPlan> packets;
  std::vector<DaemonStep> daemon;
  std::map<char, IpAddress> lives;  ///< where flows live that began before
  /// Where a packet went; nothing: nowhere.
  std::function<std::optional<IpAddress>(const dataplane::TestRun&)> backend;
  /// Asked when all is over: what is wrong with the maps, or "".
  std::function<std::string()> verdict;
};

struct Explored {
  std::uint64_t states = 0;
  std::uint64_t ends = 0;  ///< orders that differ at their end
  std::string wrong;       ///< the first order in which a packet strayed; "": there is none
};

/// Goes through all states that any order leads to; the memory is as before afterwards.
[[nodiscard]] Result<Explored> explore(const World&);

}  // namespace lbd::vm
