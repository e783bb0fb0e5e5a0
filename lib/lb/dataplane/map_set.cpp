#include "lb/dataplane/map_set.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

namespace lbd::dataplane {
namespace {

constexpr std::uint32_t ring_words(const Sizes& sizes) {
  return (std::max(sizes.rows, 1U) + ROWS_PER_WORD - 1) / ROWS_PER_WORD;
}

template <class Record>
constexpr MapSpec mapped_array(const char* name, std::uint32_t (*entries)(const Sizes&),
                               bool in_object = true) {
  return {name, BPF_MAP_TYPE_ARRAY, 4, sizeof(Record), BPF_F_MMAPABLE, entries, in_object};
}

constexpr std::uint32_t one(const Sizes&) {
  return 1;
}
constexpr std::uint32_t buckets(const Sizes&) {
  return FRONTEND_BUCKETS;
}
constexpr std::uint32_t rows(const Sizes& sizes) {
  return ring_words(sizes) * ROWS_PER_WORD;
}
constexpr std::uint32_t backends(const Sizes& sizes) {
  return std::max(sizes.backends, 1U);
}
constexpr std::uint32_t next_hops(const Sizes&) {
  return NEXT_HOPS_MAX;
}
constexpr std::uint32_t counters(const Sizes& sizes) {
  return std::max(sizes.counters, 1U);
}
constexpr std::uint32_t reasons(const Sizes&) {
  return abi::REASON_COUNT;
}
constexpr std::uint32_t flow_lines(const Sizes& sizes) {
  return std::max(sizes.flow_lines, 1U);
}
constexpr std::uint32_t flow_cells(const Sizes& sizes) {
  return flow_lines(sizes) * FLOWS_PER_LINE;
}
constexpr std::uint32_t start_lines(const Sizes& sizes) {
  return std::max(sizes.start_lines, 1U);
}
constexpr std::uint32_t flow_events(const Sizes&) {
  return abi::FLOW_EVENT_COUNT;
}
constexpr std::uint32_t allowed(const Sizes&) {
  return ALLOW_MAX;
}
constexpr std::uint32_t locals(const Sizes&) {
  return LOCALS_MAX;
}
constexpr std::uint32_t services(const Sizes&) {
  return SERVICES_MAX;
}

constexpr std::uint32_t filter_words = 1U << (ADDRESS_FILTER_BITS - 6);
constexpr std::uint32_t filter_bytes = filter_words * sizeof(std::uint64_t);
constexpr std::uint32_t bss_bytes =
    filter_bytes + sizeof(abi::trace) + sizeof(std::uint64_t) + sizeof(std::int64_t);

constexpr std::array<MapSpec, map_count> specs{{
    mapped_array<abi::frontend_bucket4>("lbd_frontends4", buckets),
    mapped_array<abi::frontend_bucket6>("lbd_frontends6", buckets),
    mapped_array<abi::ring_word>("lbd_ring", ring_words),
    mapped_array<abi::side>("lbd_side", rows),
    mapped_array<abi::backend>("lbd_backends", backends),
    mapped_array<abi::next_hop>("lbd_next_hops", next_hops),
    {"lbd_counters", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(abi::counter), 0, counters, true},
    {"lbd_reasons", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(abi::counter), 0, reasons, true},
    mapped_array<abi::flow_line>("lbd_flows", flow_lines),
    mapped_array<abi::flow_detail>("lbd_flow_detail", flow_cells),
    mapped_array<abi::cell_line>("lbd_starts", start_lines),
    mapped_array<abi::cell_line>("lbd_adopts", start_lines),
    {"lbd_flow_events", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(abi::counter), 0, flow_events, true},
    {"lbd_allow4", BPF_MAP_TYPE_LPM_TRIE, sizeof(abi::allow_key4), 1, BPF_F_NO_PREALLOC, allowed,
     true},
    {"lbd_allow6", BPF_MAP_TYPE_LPM_TRIE, sizeof(abi::allow_key6), 1, BPF_F_NO_PREALLOC, allowed,
     true},
    {"lbd_locals", BPF_MAP_TYPE_HASH, sizeof(abi::local_key), 1, BPF_F_NO_PREALLOC, locals, true},
    {"lbd_bss", BPF_MAP_TYPE_ARRAY, 4, bss_bytes, BPF_F_MMAPABLE, one, true},
    mapped_array<abi::service>("lbd_services", services, false),
    mapped_array<abi::counter>("lbd_counted", counters, false),
    {"lbd_meta", BPF_MAP_TYPE_ARRAY, 4, sizeof(Meta), 0, one, false},
}};

/// Array elements lie 8-byte aligned, the whole in full pages.
std::size_t mapped_bytes(std::uint32_t value_bytes, std::uint32_t entries) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t element = (std::size_t{value_bytes} + 7) / 8 * 8;
  const std::size_t bytes = element * entries;
  return (bytes + page - 1) / page * page;
}

Result<MapHandle> handle_of(const MapSet& set, MapId id) {
  auto fd = duplicate(set[id].get());
  if (!fd) return std::move(fd).error();
  return MapHandle{std::move(*fd), spec_of(id).name};
}

template <class Map>
Result<> take(const MapSet& set, MapId id, Map& to) {
  auto handle = handle_of(set, id);
  if (!handle) return std::move(handle).error();
  to = Map{std::move(*handle)};
  return {};
}

Result<> take_counters(const MapSet& set, MapId id, PerCpuCounters& to) {
  auto entries = checked_entries(id, set[id]);
  if (!entries) return std::move(entries).error();
  auto handle = handle_of(set, id);
  if (!handle) return std::move(handle).error();
  auto made = PerCpuCounters::make(std::move(*handle), *entries);
  if (!made) return std::move(made).error();
  to = std::move(*made);
  return {};
}

/// Maps one array and points a span of Tables at it.
template <class Record>
Result<> take_array(const MapSet& set, MapId id, MappedTables& mapped, std::span<Record>& to) {
  auto entries = checked_entries(id, set[id]);
  if (!entries) return std::move(entries).error();
  auto memory = map_memory(id, set[id]);
  if (!memory) return std::move(memory).error();
  to = memory->as<Record>(*entries);
  mapped.mappings[static_cast<std::size_t>(id)] = std::move(*memory);
  return {};
}

Result<> take_bss(const MapSet& set, const Meta& meta, MappedTables& mapped) {
  auto memory = map_memory(MapId::bss, set[MapId::bss]);
  if (!memory) return std::move(memory).error();
  assert(meta.filter_offset + filter_bytes <= bss_bytes);
  assert(meta.trace_offset + sizeof(abi::trace) <= bss_bytes);
  assert(meta.seconds_offset + sizeof(std::uint32_t) <= bss_bytes);
  assert(meta.tokens_offset + sizeof(std::int64_t) <= bss_bytes);
  mapped.tables.address_filter = {
      reinterpret_cast<std::uint64_t*>(memory->data() + meta.filter_offset), filter_words};
  mapped.tables.trace = reinterpret_cast<abi::trace*>(memory->data() + meta.trace_offset);
  mapped.tables.seconds = reinterpret_cast<std::uint32_t*>(memory->data() + meta.seconds_offset);
  mapped.tables.adopt_tokens = reinterpret_cast<std::int64_t*>(memory->data() + meta.tokens_offset);
  mapped.mappings[static_cast<std::size_t>(MapId::bss)] = std::move(*memory);
  return {};
}

}  // namespace

const MapSpec& spec_of(MapId id) {
  return specs[static_cast<std::size_t>(id)];
}

Result<std::uint32_t> checked_entries(MapId id, const Fd& map) {
  const MapSpec& spec = spec_of(id);
  bpf_map_info info{};
  std::uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(map.get(), &info, &bytes) != 0) return errno_error(spec.name, errno);
  if (info.type != spec.type || info.key_size != spec.key_bytes ||
      info.value_size != spec.value_bytes || info.map_flags != spec.flags)
    return Error{
        fmt::format("{}: type {}, key {}, value {}, flags {:#x}: expected {}, {}, {}, {:#x}",
                    spec.name, info.type, info.key_size, info.value_size, info.map_flags, spec.type,
                    spec.key_bytes, spec.value_bytes, spec.flags)};
  return info.max_entries;
}

Result<Fd> create_map(MapId id, const Sizes& sizes) {
  const MapSpec& spec = spec_of(id);
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = spec.flags);
  Fd map{bpf_map_create(static_cast<bpf_map_type>(spec.type), spec.name, spec.key_bytes,
                        spec.value_bytes, spec.entries(sizes), &options)};
  if (!map) return errno_error(fmt::format("create map {}", spec.name), errno);
  return map;
}

Result<Fd> duplicate(int fd) {
  Fd copy{::fcntl(fd, F_DUPFD_CLOEXEC, 3)};
  if (!copy) return errno_error("duplicate a descriptor", errno);
  return copy;
}

Result<Mapping> map_memory(MapId id, const Fd& map) {
  auto entries = checked_entries(id, map);
  if (!entries) return std::move(entries).error();
  const std::size_t bytes = mapped_bytes(spec_of(id).value_bytes, *entries);
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map.get(), 0);
  if (memory == MAP_FAILED) return errno_error(fmt::format("map {}", spec_of(id).name), errno);
  return Mapping{memory, bytes};
}

Result<Sizes> sizes_of(const MapSet& set) {
  Sizes sizes;
  const std::pair<MapId, std::uint32_t*> of[] = {{MapId::side, &sizes.rows},
                                                 {MapId::backends, &sizes.backends},
                                                 {MapId::counters, &sizes.counters},
                                                 {MapId::flows, &sizes.flow_lines},
                                                 {MapId::starts, &sizes.start_lines}};
  for (const auto& [id, size] : of) {
    auto entries = checked_entries(id, set[id]);
    if (!entries) return std::move(entries).error();
    *size = *entries;
  }
  return sizes;
}

Sizes larger(const Sizes& a, const Sizes& b) {
  return {std::max(a.rows, b.rows), std::max(a.backends, b.backends),
          std::max(a.counters, b.counters), std::max(a.flow_lines, b.flow_lines),
          std::max(a.start_lines, b.start_lines)};
}

Result<MappedTables> map_tables(const MapSet& set, const Meta& meta) {
  MappedTables mapped;
  Tables& tables = mapped.tables;
  Result<> taken[] = {
      take_array(set, MapId::frontends4, mapped, tables.frontends4),
      take_array(set, MapId::frontends6, mapped, tables.frontends6),
      take_array(set, MapId::ring, mapped, tables.ring),
      take_array(set, MapId::side, mapped, tables.side),
      take_array(set, MapId::backends, mapped, tables.backends),
      take_array(set, MapId::next_hops, mapped, tables.next_hops),
      take_array(set, MapId::services, mapped, tables.services),
      take_array(set, MapId::counted, mapped, tables.counted),
      take_counters(set, MapId::counters, tables.counters),
      take_counters(set, MapId::reasons, tables.reasons),
      take_array(set, MapId::flows, mapped, tables.flows),
      take_array(set, MapId::flow_details, mapped, tables.flow_details),
      take_array(set, MapId::starts, mapped, tables.starts),
      take_array(set, MapId::adopts, mapped, tables.adopts),
      take_counters(set, MapId::flow_events, tables.flow_events),
      take(set, MapId::allow4, tables.allow4),
      take(set, MapId::allow6, tables.allow6),
      take(set, MapId::locals, tables.locals),
      take_bss(set, meta, mapped),
  };
  for (Result<>& one_map : taken)
    if (!one_map) return std::move(one_map).error();
  return mapped;
}

}  // namespace lbd::dataplane
