#include "lb/dataplane/data_plane.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fstream>
#include <utility>

#include "lb/dataplane/carry_over.h"
#include "lb/dataplane/flow_memory.h"
#include "lb/dataplane/grace.h"
#include "lb/dataplane/links.h"
#include "lb/dataplane/loader.h"
#include "lb/dataplane/map_set.h"
#include "lb/dataplane/pins.h"

namespace lbd::dataplane {
namespace {

Result<bpf_prog_info> info_of(const Fd& program) {
  bpf_prog_info info{};
  std::uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(program.get(), &info, &bytes) != 0)
    return errno_error("ask for the program", errno);
  return info;
}

Result<> check(const Sizes& sizes) {
  if (sizes.backends > BACKENDS_MAX)
    return Error{fmt::format("{} backend records: at most {}", sizes.backends, BACKENDS_MAX)};
  constexpr std::uint32_t rows_max = 1U << 28;  // 4 GiB of side records: the kernel's limit
  if (sizes.rows > rows_max) return Error{fmt::format("{} rows: at most {}", sizes.rows, rows_max)};
  return {};
}

/// A predecessor's meta; nothing where its first pinning never came to be.
Result<std::optional<Meta>> read_meta(const MapSet& set) {
  if (!set[MapId::meta]) return std::optional<Meta>{};
  bpf_map_info info{};
  std::uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(set[MapId::meta].get(), &info, &bytes) != 0)
    return errno_error("lbd_meta", errno);
  std::vector<std::byte> value(std::max<std::size_t>(info.value_size, sizeof(Meta)));
  const std::uint32_t index = 0;
  if (bpf_map_lookup_elem(set[MapId::meta].get(), &index, value.data()) != 0)
    return errno_error("lbd_meta", errno);
  Meta meta;
  std::memcpy(&meta, value.data(), sizeof meta);
  return std::optional<Meta>{meta};
}

/// Whether this binary can take over maps of `theirs`. A migration would begin here.
Result<> check_layout(const Meta& theirs, const Meta& ours) {
  if (theirs.abi == ours.abi && theirs.hash_key != ours.hash_key)
    return Error{
        "hashKey: is not the one of the pinned state, whose flows would all move: "
        "keep it, or stop the traffic and run lbd --cleanup"};
  if (theirs.abi == ours.abi && theirs.filter_offset == ours.filter_offset &&
      theirs.trace_offset == ours.trace_offset && theirs.seconds_offset == ours.seconds_offset &&
      theirs.tokens_offset == ours.tokens_offset)
    return {};
  return Error{
      fmt::format("pinned by an lbd of another layout ({}, this one has {}): stop the traffic and "
                  "run lbd --cleanup",
                  theirs.abi, ours.abi)};
}

/// Kernel memory by /proc: the only place that has per-CPU and hash maps right.
std::uint64_t memory_of(const Fd& map) {
  std::ifstream info{fmt::format("/proc/self/fdinfo/{}", map.get())};
  std::string key;
  while (info >> key) {
    std::uint64_t bytes = 0;
    if (key == "memlock:" && info >> bytes) return bytes;
  }
  return 0;
}

template <class Record, class InUse>
std::uint64_t count_in_use(std::span<Record> records, InUse&& in_use) {
  return static_cast<std::uint64_t>(std::ranges::count_if(records, in_use));
}

}  // namespace

struct DataPlane::State {
  State(Options asked, const Log& to) : options{std::move(asked)}, log{to} {}

  [[nodiscard]] Settings settings() const {
    return {options.hash_key, options.trace, options.given_time};
  }

  Options options;
  const Log& log;
  std::optional<PinDirectory> pins;
  Grace grace;
  MapSet set;
  MappedTables mapped;
  Sizes sizes;
  std::uint32_t program_id = 0;
  bool adopted = false;

  Result<> open();
  Result<> found();
  Result<> adopt(MapSet pinned, const Meta& meta);
  Result<> rebuild(const Sizes& wanted);
  [[nodiscard]] Sizes fitting(Sizes wanted) const;
  Result<> use(MapSet next);
  Result<> finish_swap();
  [[nodiscard]] std::uint64_t entries_in_use(MapId, std::uint64_t max_entries) const;
};

/// Cells of the flow memory lie where its size says: it keeps that while there is one in use, which
/// is while a row moves.
Sizes DataPlane::State::fitting(Sizes wanted) const {
  if (wanted.flow_lines == sizes.flow_lines && wanted.start_lines == sizes.start_lines)
    return wanted;
  const auto moves = [](const abi::ring_word& word) {
    return std::ranges::any_of(word.row, [](std::uint16_t row) { return (row & ROW_MOVING) != 0; });
  };
  if (std::ranges::none_of(mapped.tables.ring, moves)) return wanted;
  log.warn("connection_table_kept",
           {{"reason", "its size can change while no row moves: restart lbd then"}});
  wanted.flow_lines = sizes.flow_lines;
  wanted.start_lines = sizes.start_lines;
  return wanted;
}

/// Makes `next` the set in use; on an Error the old one stays.
Result<> DataPlane::State::use(MapSet next) {
  auto next_sizes = sizes_of(next);
  if (!next_sizes) return std::move(next_sizes).error();
  auto next_mapped = map_tables(next, meta_of(settings()));
  if (!next_mapped) return std::move(next_mapped).error();
  auto info = info_of(next.program);
  if (!info) return std::move(info).error();
  set = std::move(next);
  mapped = std::move(*next_mapped);
  sizes = *next_sizes;
  program_id = info->id;
  return {};
}

Result<> DataPlane::State::open() {
  if (auto checked = check(options.sizes); !checked) return checked;
  auto made = Grace::make();
  if (!made) return std::move(made).error();
  grace = std::move(*made);
  if (!options.pin_path) return found();

  auto opened = PinDirectory::open(*options.pin_path, log);
  if (!opened) return std::move(opened).error();
  pins = std::move(*opened);
  auto pinned = pins->current();
  if (!pinned) return std::move(pinned).error();
  auto meta = read_meta(*pinned);
  if (!meta) return std::move(meta).error();
  if (*meta) return adopt(std::move(*pinned), **meta);
  if (auto cleared = pins->clear(); !cleared) return cleared;
  return found();
}

Result<> DataPlane::State::found() {
  if (auto built = rebuild(options.sizes); !built) return built;
  *mapped.tables.adopt_tokens = adopt_tokens_for(sizes.flow_lines);
  return {};
}

/// Takes over a predecessor's maps and, where it is the same, its program.
Result<> DataPlane::State::adopt(MapSet pinned, const Meta& meta) {
  const auto at = pins->path().string();
  const Meta ours = meta_of(settings());
  if (auto same = check_layout(meta, ours); !same) return std::move(same).error().in(at);
  for (const MapId id : all_maps()) {
    if (!pinned[id])
      return Error{fmt::format("{}: {} is missing: run lbd --cleanup", at, spec_of(id).name)};
    if (auto entries = checked_entries(id, pinned[id]); !entries)
      return std::move(entries).error().in(at);
  }
  if (!pinned.program) return Error{at + ": lbd_xdp is missing: run lbd --cleanup"};
  if (auto used = use(std::move(pinned)); !used) return used;
  adopted = true;
  const Sizes wanted = fitting(larger(sizes, options.sizes));
  if (meta == ours && wanted == sizes) return finish_swap();
  return rebuild(wanted);
}

/// Loads the program on maps of at least `wanted`: those that are large enough already, and larger
/// copies of the others. Dying anywhere leaves the old set in force (before the commit), or the new
/// one, of which finish_swap() of a successor completes the rest (after it).
Result<> DataPlane::State::rebuild(const Sizes& wanted) {
  if (auto finished = finish_swap(); !finished) return finished;
  MapSet next;
  MapSet replaced;
  for (const MapId id : all_maps()) {
    if (!set[id]) continue;
    auto entries = checked_entries(id, set[id]);
    if (!entries) return std::move(entries).error();
    auto copy = duplicate(set[id].get());
    if (!copy) return std::move(copy).error();
    (*entries < spec_of(id).entries(wanted) ? replaced : next)[id] = std::move(*copy);
  }
  if (auto loaded = load(next, settings(), wanted, log); !loaded) return loaded;
  if (auto copied = copy_maps(replaced, next); !copied) return copied;
  if (!pins) {
    if (auto used = use(std::move(next)); !used) return used;
    return carry_over(replaced, set);
  }

  MapSet changes;
  const auto change = [](const Fd& from, Fd& to) -> Result<> {
    auto copy = duplicate(from.get());
    if (!copy) return std::move(copy).error();
    to = std::move(*copy);
    return {};
  };
  for (const MapId id : all_maps())
    if (id == MapId::meta || !set[id] || replaced[id])
      if (auto changed = change(next[id], changes[id]); !changed) return changed;
  if (auto changed = change(next.program, changes.program); !changed) return changed;
  if (auto committed = pins->commit(changes); !committed) return committed;
  if (auto used = use(std::move(next)); !used) return used;
  return finish_swap();
}

/// After a commit, perhaps a dead predecessor's: no link runs the replaced program any longer, no
/// packet is within it, and what it wrote to replaced maps isn't lost. Only then are they let go.
/// Writes nothing where no commit is unfinished.
Result<> DataPlane::State::finish_swap() {
  if (!pins) return {};
  auto replaced = pins->replaced();
  if (!replaced) return std::move(replaced).error();
  if (!*replaced) return {};
  if (auto updated = update_links(pins->path(), set.program.get()); !updated) return updated;
  if (auto waited = grace.wait(); !waited) return waited;
  if (auto carried = carry_over(**replaced, set); !carried) return carried;
  return pins->forget_replaced();
}

std::uint64_t DataPlane::State::entries_in_use(MapId id, std::uint64_t max_entries) const {
  const Tables& tables = mapped.tables;
  const auto size_or_max = [&](const auto& keys) {
    return keys ? static_cast<std::uint64_t>(keys->size()) : max_entries;
  };
  switch (id) {
    case MapId::flow_details:
      return FlowMemory{tables, options.hash_key}.flows();
    case MapId::locals: {
      const auto count = tables.locals.count();
      return count ? *count : max_entries;
    }
    case MapId::allow4:
      return size_or_max(tables.allow4.keys());
    case MapId::allow6:
      return size_or_max(tables.allow6.keys());
    case MapId::backends:
      return count_in_use(tables.backends, [](const abi::backend& b) { return b.flags != 0; });
    case MapId::next_hops:
      return count_in_use(tables.next_hops, [](const abi::next_hop& hop) { return hop.mtu != 0; });
    case MapId::services:
      return count_in_use(tables.services, [](const abi::service& s) { return s.name[0] != 0; });
    default:
      return max_entries;
  }
}

DataPlane::DataPlane(std::unique_ptr<State> state) : state_{std::move(state)} {}
DataPlane::~DataPlane() = default;

Result<std::unique_ptr<DataPlane>> DataPlane::open(Options options, const Log& log) {
  auto state = std::make_unique<State>(std::move(options), log);
  if (auto opened = state->open(); !opened) return std::move(opened).error();
  return std::unique_ptr<DataPlane>{new DataPlane{std::move(state)}};
}

Tables& DataPlane::tables() {
  return state_->mapped.tables;
}
Sizes DataPlane::sizes() const {
  return state_->sizes;
}
bool DataPlane::adopted() const {
  return state_->adopted;
}

Result<> DataPlane::grow(Sizes wanted) {
  if (auto checked = check(wanted); !checked) return checked;
  wanted = state_->fitting(larger(wanted, state_->sizes));
  if (wanted == state_->sizes) return {};
  return state_->rebuild(wanted);
}

std::uint32_t DataPlane::now() const {
  if (state_->options.given_time) return load_once(*state_->mapped.tables.seconds);
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint32_t>(now.tv_sec);
}

Result<> DataPlane::grace() const {
  return state_->grace.wait();
}

std::vector<MapInfo> DataPlane::maps() const {
  std::vector<MapInfo> infos;
  for (const MapId id : all_maps()) {
    const Fd& map = state_->set[id];
    auto max_entries = checked_entries(id, map);
    if (!max_entries) continue;
    infos.push_back(
        {spec_of(id).name, state_->entries_in_use(id, *max_entries), *max_entries, memory_of(map)});
  }
  return infos;
}

Result<ProgramInfo> DataPlane::program_info() const {
  auto info = info_of(state_->set.program);
  if (!info) return std::move(info).error();
  return ProgramInfo{info->id, info->xlated_prog_len, info->jited_prog_len, info->verified_insns};
}

Result<TestRun> DataPlane::run(std::span<const std::uint8_t> frame) const {
  constexpr std::size_t headroom = 256;  // XDP_PACKET_HEADROOM: what a program can add
  TestRun result;
  result.frame.resize(frame.size() + headroom);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = result.frame.data(),
              .data_size_in = static_cast<std::uint32_t>(frame.size()),
              .data_size_out = static_cast<std::uint32_t>(result.frame.size()), .repeat = 1);
  if (bpf_prog_test_run_opts(program_fd(), &options) != 0)
    return errno_error("run the program on a frame", errno);
  result.action = options.retval;
  result.frame.resize(options.data_size_out);
  return result;
}

int DataPlane::program_fd() const {
  return state_->set.program.get();
}
std::uint32_t DataPlane::program_id() const {
  return state_->program_id;
}
const std::optional<std::filesystem::path>& DataPlane::pin_path() const {
  return state_->options.pin_path;
}

Result<> DataPlane::cleanup(const std::filesystem::path& pin_path) {
  auto pins = PinDirectory::open_existing(pin_path);
  if (!pins) return std::move(pins).error();
  if (!*pins) return {};
  if (auto removed = remove_links(pin_path); !removed) return removed;
  if (auto cleared = (*pins)->clear(); !cleared) return cleared;
  return (*pins)->remove();
}

}  // namespace lbd::dataplane
