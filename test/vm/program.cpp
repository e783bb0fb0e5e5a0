#include "vm/program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <unordered_map>

#include "lb/dataplane/libbpf_log.h"

namespace lbd::vm {
namespace {

using dataplane::Fd;

struct Close {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, Close>;

/// Where maps stand in Program::maps(), by the descriptor that instructions have.
using Places = std::unordered_map<std::int32_t, std::int32_t>;

Result<bpf_prog_info> info_of(int program, std::vector<std::uint32_t>& map_ids) {
  bpf_prog_info info{};
  std::uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(program, &info, &bytes) != 0)
    return errno_error("ask for the program", errno);
  map_ids.resize(info.nr_map_ids);
  bpf_prog_info again{};
  again.nr_map_ids = info.nr_map_ids;
  again.map_ids = reinterpret_cast<std::uint64_t>(map_ids.data());
  if (bpf_obj_get_info_by_fd(program, &again, &bytes) != 0)
    return errno_error("ask for the program's maps", errno);
  return info;
}

/// The object's map of that kernel name: libbpf puts the object's name before those of sections.
bpf_map* map_in(const Object& object, std::string_view kernel_name) {
  bpf_map* map = nullptr;
  while ((map = bpf_object__next_map(object.get(), map)) != nullptr)
    if (kernel_name.ends_with(bpf_map__name(map))) return map;
  return nullptr;
}

Result<std::vector<bpf_insn>> relocated(const bpf_program* program, const Places& places) {
  const bpf_insn* first = bpf_program__insns(program);
  std::vector<bpf_insn> code(first, first + bpf_program__insn_cnt(program));
  for (std::size_t i = 0; i < code.size(); i++) {
    if (code[i].code != (BPF_LD | BPF_IMM | BPF_DW)) continue;
    bpf_insn& load = code[i++];
    if (load.src_reg != BPF_PSEUDO_MAP_FD && load.src_reg != BPF_PSEUDO_MAP_VALUE) continue;
    const auto place = places.find(load.imm);
    if (place == places.end())
      return Error{fmt::format("instruction {}: a map that the program does not have", i - 1)};
    load.imm = place->second;
  }
  return code;
}

}  // namespace

Result<Program> Program::of_loaded(int loaded) {
  const Log quiet{Level::error};
  const dataplane::LibraryLog library{quiet};
  std::vector<std::uint32_t> map_ids;
  auto info = info_of(loaded, map_ids);
  if (!info) return std::move(info).error();
  const Object object{bpf_object__open_file(LBD_OBJECT, nullptr)};
  if (!object) return library.error("open " LBD_OBJECT, errno);

  Program program{{}};
  std::vector<bpf_map*> in_object;
  for (const std::uint32_t id : map_ids) {
    Fd fd{bpf_map_get_fd_by_id(id)};
    if (!fd) return errno_error(fmt::format("open map {}", id), errno);
    const int reused = fd.get();
    auto map = SharedMap::open(std::move(fd));
    if (!map) return std::move(map).error();
    in_object.push_back(map_in(object, map->name()));
    if (in_object.back() == nullptr) return Error{LBD_OBJECT " has no map " + map->name()};
    if (const int failed = bpf_map__reuse_fd(in_object.back(), reused); failed != 0)
      return errno_error(map->name(), -failed);
    program.maps_.push_back(std::move(*map));
  }
  if (const int failed = bpf_object__load(object.get()); failed != 0)
    return library.error("load " LBD_OBJECT, -failed);

  Places places;
  for (std::size_t i = 0; i < in_object.size(); i++)
    places[bpf_map__fd(in_object[i])] = static_cast<std::int32_t>(i);
  const bpf_program* entry = bpf_object__find_program_by_name(object.get(), "lbd_xdp");
  if (entry == nullptr) return Error{LBD_OBJECT " has no program lbd_xdp"};
  std::vector<std::uint32_t> own_ids;
  auto own = info_of(bpf_program__fd(entry), own_ids);
  if (!own) return std::move(own).error();
  if (std::memcmp(own->tag, info->tag, sizeof info->tag) != 0)
    return Error{"the loaded program is not that of " LBD_OBJECT};
  auto code = relocated(entry, places);
  if (!code) return std::move(code).error();
  program.code_ = std::move(*code);
  return program;
}

SharedMap* Program::find_map(std::string_view name) {
  const auto found =
      std::find_if(maps_.begin(), maps_.end(), [&](const auto& map) { return map.name() == name; });
  return found == maps_.end() ? nullptr : &*found;
}

}  // namespace lbd::vm
