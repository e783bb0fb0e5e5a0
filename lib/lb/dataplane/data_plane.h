// The data plane as the daemon holds it: the maps, mapped into memory where they can be, and the
// program on them; pinned, so that both outlive the process, or private to it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lb/dataplane/abi.h"
#include "lb/dataplane/maps.h"
#include "lb/log/log.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

/// What the maps have room for.
struct Sizes {
  std::uint32_t rows = 0;      ///< of all rings; rounded up to whole ring words
  std::uint32_t backends = 0;  ///< records of all services, at most BACKENDS_MAX
  std::uint32_t counters = 0;
  std::uint32_t flow_lines = 0;   ///< of FLOWS_PER_LINE stored flows
  std::uint32_t start_lines = 0;  ///< of CELLS_PER_LINE starts, and as many of adoptions
  bool operator==(const Sizes&) const = default;
};

struct Options {
  std::optional<std::filesystem::path> pin_path;  ///< none: all goes with the process
  Sizes sizes;                                    ///< at least; adopted maps may be larger
  abi::hash_key hash_key{};
  bool trace = false;       ///< programs say in Tables::trace what became of each packet
  bool given_time = false;  ///< time is what Tables::seconds says, for tests
};

/// All maps. The daemon alone writes them, but for side::refused, the flow memory, counters and
/// trace. Single fields that programs read are written by publish().
struct Tables {
  std::span<abi::frontend_bucket4> frontends4;
  std::span<abi::frontend_bucket6> frontends6;
  std::span<abi::ring_word> ring;
  std::span<abi::side> side;  ///< one a row
  std::span<abi::backend> backends;
  std::span<abi::next_hop> next_hops;
  std::span<abi::service> services;
  std::span<abi::counter> counted;  ///< what is to be added to the sums of `counters`, by index
  std::span<std::uint64_t> address_filter;  ///< 1 << ADDRESS_FILTER_BITS bits
  abi::trace* trace = nullptr;
  std::uint32_t* seconds = nullptr;      ///< the time, with Options::given_time
  std::int64_t* adopt_tokens = nullptr;  ///< flows that may be adopted at once
  PerCpuCounters counters;
  PerCpuCounters reasons;      ///< by enum reason
  PerCpuCounters flow_events;  ///< by enum flow_event, packets alone
  std::span<abi::flow_line> flows;
  std::span<abi::flow_detail> flow_details;  ///< one a cell of `flows`
  std::span<abi::cell_line> starts;
  std::span<abi::cell_line> adopts;
  PrefixSet<abi::allow_key4> allow4;
  PrefixSet<abi::allow_key6> allow6;
  HashMap<abi::local_key, std::uint8_t> locals;

  /// Row `row` of all rings together.
  [[nodiscard]] std::uint16_t& row(std::uint32_t row) const {
    return ring[row / ROWS_PER_WORD].row[row % ROWS_PER_WORD];
  }
};

struct MapInfo {
  std::string name;
  std::uint64_t entries = 0;  ///< in use where that is known, else all
  std::uint64_t max_entries = 0;
  std::uint64_t bytes = 0;  ///< kernel memory
};

struct ProgramInfo {
  std::uint32_t id = 0;
  std::uint32_t xlated_bytes = 0;
  std::uint32_t jited_bytes = 0;
  std::uint32_t verified_instructions = 0;  ///< processed by the verifier; 0 before Linux 5.16
};

/// What became of a frame in a test run.
struct TestRun {
  std::uint32_t action = 0;         ///< enum xdp_action
  std::vector<std::uint8_t> frame;  ///< as it is then
};

class DataPlane {
 public:
  /// Without pin_path: new maps and a program of their own. With it: mounts bpffs (mode 0700) where
  /// the path's parent is on none, refuses while another process has the path open, and
  ///  - makes and pins all, if nothing is pinned (or only what a crash left unfinished);
  ///  - else adopts the pinned maps without writing to them, and the program with them if it is
  ///    this binary's with the same settings; if it isn't, loads it anew on these maps and swaps
  ///    it into the links;
  ///  - refuses maps of another LBD_ABI.
  /// `log` must outlive the result.
  static Result<std::unique_ptr<DataPlane>> open(Options, const Log& log);
  /// Leaves what is pinned as it is.
  ~DataPlane();
  DataPlane(const DataPlane&) = delete;
  DataPlane& operator=(const DataPlane&) = delete;

  [[nodiscard]] Tables& tables();
  [[nodiscard]] Sizes sizes() const;
  /// Whether open() found pinned maps, so that the tables hold a predecessor's state.
  [[nodiscard]] bool adopted() const;

  /// Makes room for at least `sizes` under traffic: larger copies, a program on them, swapped into
  /// the links. What programs wrote meanwhile is carried over. Spans, maps and pointers of tables()
  /// change. On an Error before the swap all is as it was. The flow memory, whose cells lie by its
  /// size, keeps it while a row moves; it is empty otherwise.
  Result<> grow(Sizes sizes);

  /// Seconds of the clock that programs stamp rows and flows with: CLOCK_MONOTONIC.
  [[nodiscard]] std::uint32_t now() const;

  /// Returns when every program run that began before the call has ended.
  Result<> grace() const;

  [[nodiscard]] std::vector<MapInfo> maps() const;
  [[nodiscard]] Result<ProgramInfo> program_info() const;
  /// Runs the program once on `frame`, as if received on the loopback interface of this thread's
  /// network namespace. At least 14 bytes. Writes the maps as a received frame would.
  [[nodiscard]] Result<TestRun> run(std::span<const std::uint8_t> frame) const;

  [[nodiscard]] int program_fd() const;
  [[nodiscard]] std::uint32_t program_id() const;
  [[nodiscard]] const std::optional<std::filesystem::path>& pin_path() const;

  /// Detaches and removes all that lbd pinned below `pin_path`; refuses while a daemon has it open.
  /// Succeeds when nothing is there.
  static Result<> cleanup(const std::filesystem::path& pin_path);

 private:
  struct State;
  explicit DataPlane(std::unique_ptr<State>);
  std::unique_ptr<State> state_;
};

}  // namespace lbd::dataplane
