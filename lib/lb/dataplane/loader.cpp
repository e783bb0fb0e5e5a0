#include "lb/dataplane/loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "lb/dataplane/libbpf_log.h"
#include "lb/dataplane/siphash.h"

#ifndef _Bool
#define _Bool bool  // NOLINT(bugprone-reserved-identifier): C's word in the generated header
#endif

namespace lbd::dataplane {
namespace skeleton {
using namespace abi;      // the object's own variables are of these types
#include "lb_xdp.skel.h"  // NOLINT(misc-include-cleaner): what it includes stands above
}  // namespace skeleton

namespace {

using Rodata = skeleton::lb_xdp::lb_xdp__rodata;
using Bss = skeleton::lb_xdp::lb_xdp__bss;

struct Close {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, Close>;

std::span<const std::uint8_t> object_bytes() {
  std::size_t bytes = 0;
  const void* data = skeleton::lb_xdp::elf_bytes(&bytes);
  return {static_cast<const std::uint8_t*>(data), bytes};
}

bpf_map* find_map(const Object& object, MapId id) {
  return bpf_object__find_map_by_name(object.get(), id == MapId::bss ? ".bss" : spec_of(id).name);
}

/// How many entries a map of the set has, or will have when it is made.
Result<std::uint32_t> entries_of(MapId id, const MapSet& set, const Sizes& sizes) {
  return set[id] ? checked_entries(id, set[id]) : spec_of(id).entries(sizes);
}

Result<> set_settings(const Object& object, const Settings& settings, const MapSet& set,
                      const Sizes& sizes) {
  const auto flow_lines = entries_of(MapId::flows, set, sizes);
  if (!flow_lines) return flow_lines.error();
  const auto start_lines = entries_of(MapId::starts, set, sizes);
  if (!start_lines) return start_lines.error();
  std::size_t bytes = 0;
  bpf_map* map = bpf_object__find_map_by_name(object.get(), ".rodata");
  const void* initial = map == nullptr ? nullptr : bpf_map__initial_value(map, &bytes);
  // The section ends with its last variable, the struct with its padding.
  constexpr std::size_t needed = offsetof(Rodata, cfg_hash_key) + sizeof(Rodata::cfg_hash_key);
  if (initial == nullptr || bytes < needed) return Error{"the object has no settings"};
  std::vector<std::byte> value(std::max(bytes, sizeof(Rodata)));
  std::memcpy(value.data(), initial, bytes);
  auto* rodata = reinterpret_cast<Rodata*>(value.data());
  rodata->cfg_hash_key = settings.hash_key;
  rodata->cfg_trace = settings.trace;
  rodata->cfg_given_time = settings.given_time;
  rodata->cfg_flow_lines = *flow_lines;
  rodata->cfg_start_lines = *start_lines;
  if (bpf_map__set_initial_value(map, value.data(), bytes) != 0)
    return errno_error("set the program's settings", errno);
  return {};
}

/// Each map of the object: the one that is there, or its size for load to make it.
Result<> prepare_maps(const Object& object, const MapSet& set, const Sizes& sizes) {
  for (const MapId id : all_maps()) {
    const MapSpec& spec = spec_of(id);
    if (!spec.in_object) continue;
    bpf_map* map = find_map(object, id);
    if (map == nullptr) return Error{std::string{"the object has no map "} + spec.name};
    const int failed = set[id] ? bpf_map__reuse_fd(map, set[id].get())
                               : bpf_map__set_max_entries(map, spec.entries(sizes));
    if (failed != 0) return errno_error(spec.name, -failed);
  }
  return {};
}

/// The maps that load made, and the daemon's own that are missing.
Result<> take_maps(const Object& object, MapSet& set, const Sizes& sizes) {
  for (const MapId id : all_maps()) {
    if (set[id]) continue;
    auto made = spec_of(id).in_object ? duplicate(bpf_map__fd(find_map(object, id)))
                                      : create_map(id, sizes);
    if (!made) return std::move(made).error();
    if (auto entries = checked_entries(id, *made); !entries) return std::move(entries).error();
    set[id] = std::move(*made);
  }
  return {};
}

}  // namespace

Meta meta_of(const Settings& settings) {
  constexpr std::array<std::uint8_t, 16> key{'l', 'b', 'd', ' ', 'o', 'b', 'j', 'e',
                                             'c', 't', ' ', 'd', 'i', 'g', 's', 't'};
  std::vector<std::uint8_t> bytes(object_bytes().begin(), object_bytes().end());
  const std::span hash_key{reinterpret_cast<const std::uint8_t*>(&settings.hash_key),
                           sizeof settings.hash_key};
  bytes.insert(bytes.end(), hash_key.begin(), hash_key.end());
  bytes.push_back(settings.trace ? 1 : 0);
  bytes.push_back(settings.given_time ? 1 : 0);
  Meta meta;
  meta.filter_offset = offsetof(Bss, lbd_address_filter);
  meta.trace_offset = offsetof(Bss, lbd_trace);
  meta.seconds_offset = offsetof(Bss, lbd_seconds);
  meta.tokens_offset = offsetof(Bss, lbd_adopt_tokens);
  meta.hash_key = static_cast<std::uint32_t>(siphash24(key, hash_key));
  meta.digest = siphash24(key, bytes);
  return meta;
}

Result<> load(MapSet& set, const Settings& settings, const Sizes& sizes, const Log& log) {
  const LibraryLog library{log};
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "lb_xdp");
  Object object{bpf_object__open_mem(object_bytes().data(), object_bytes().size(), &options)};
  if (!object) return library.error("open the program's object", errno);
  if (auto applied = set_settings(object, settings, set, sizes); !applied) return applied;
  if (auto prepared = prepare_maps(object, set, sizes); !prepared) return prepared;
  if (const int failed = bpf_object__load(object.get()); failed != 0)
    return library.error("load the program", -failed);
  set[MapId::meta].reset();
  if (auto taken = take_maps(object, set, sizes); !taken) return taken;

  const Meta meta = meta_of(settings);
  const std::uint32_t index = 0;
  if (bpf_map_update_elem(set[MapId::meta].get(), &index, &meta, BPF_ANY) != 0)
    return errno_error("write lbd_meta", errno);
  bpf_program* program = bpf_object__find_program_by_name(object.get(), "lbd_xdp");
  if (program == nullptr) return Error{"the object has no program lbd_xdp"};
  auto copy = duplicate(bpf_program__fd(program));
  if (!copy) return std::move(copy).error();
  set.program = std::move(*copy);
  return {};
}

}  // namespace lbd::dataplane
