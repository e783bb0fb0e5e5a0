#include "vm/shared_map.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <cerrno>
#include <cstring>

namespace lbd::vm {
namespace {

constexpr std::uint64_t rounded_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

Result<SharedMap::Kind> kind_of(const bpf_map_info& info) {
  switch (info.type) {
    case BPF_MAP_TYPE_ARRAY:
      if ((info.map_flags & BPF_F_MMAPABLE) != 0) return SharedMap::Kind::mapped;
      break;
    case BPF_MAP_TYPE_PERCPU_ARRAY:
      return SharedMap::Kind::own;
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_LPM_TRIE:
      return SharedMap::Kind::keyed;
    default:
      break;
  }
  return Error{fmt::format("map {}: type {}, flags {:#x}: not emulated", info.name, info.type,
                           info.map_flags)};
}

}  // namespace

Result<SharedMap> SharedMap::open(dataplane::Fd fd) {
  bpf_map_info info{};
  std::uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) != 0)
    return errno_error("ask for a map", errno);
  auto kind = kind_of(info);
  if (!kind) return std::move(kind).error();

  SharedMap map;
  map.fd_ = std::move(fd);
  map.name_ = info.name;
  map.kind_ = *kind;
  map.read_only_ = (info.map_flags & BPF_F_RDONLY_PROG) != 0;
  map.key_bytes_ = info.key_size;
  map.value_bytes_ = info.value_size;
  map.entries_ = info.max_entries;
  // A keyed value begins a cache line of its own, as those of a hash mostly do.
  map.stride_ = rounded_up(info.value_size, *kind == Kind::keyed ? 64 : 8);
  if (*kind == Kind::own) map.own_.resize(map.stride_ * map.entries_);
  if (*kind != Kind::mapped) return map;

  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t size = rounded_up(map.stride_ * map.entries_, page);
  const int protection = map.read_only_ ? PROT_READ : PROT_READ | PROT_WRITE;
  void* memory = ::mmap(nullptr, size, protection, MAP_SHARED, map.fd_.get(), 0);
  if (memory == MAP_FAILED) return errno_error(fmt::format("map {}", map.name_), errno);
  map.mapping_ = dataplane::Mapping{memory, size};
  return map;
}

Result<std::optional<std::uint64_t>> SharedMap::find(const std::byte* key) {
  if (kind_ != Kind::keyed) {
    std::uint32_t index = 0;
    std::memcpy(&index, key, sizeof index);
    return index < entries_ ? std::optional{index * stride_} : std::nullopt;
  }
  Element element{Bytes(key, key + key_bytes_), Bytes(value_bytes_)};
  if (bpf_map_lookup_elem(fd_.get(), key, element.value.data()) != 0) {
    if (errno == ENOENT) return std::optional<std::uint64_t>{};
    return errno_error(fmt::format("look up in {}", name_), errno);
  }
  const auto [place, is_new] = places_.try_emplace(element.key, elements_.size());
  if (is_new) elements_.push_back(std::move(element));
  return std::optional{place->second * stride_};
}

Result<std::int64_t> SharedMap::update(const std::byte* key, const std::byte* value,
                                       std::uint64_t flags) {
  if (kind_ != Kind::keyed) return Error{name_ + ": an update of an array is not emulated"};
  return bpf_map_update_elem(fd_.get(), key, value, flags) == 0 ? 0 : -errno;
}

Result<std::int64_t> SharedMap::erase(const std::byte* key) {
  if (kind_ != Kind::keyed) return Error{name_ + ": no element of an array can be deleted"};
  return bpf_map_delete_elem(fd_.get(), key) == 0 ? 0 : -errno;
}

std::byte* SharedMap::at(std::uint64_t offset, std::size_t bytes) {
  if (offset / stride_ >= (kind_ == Kind::keyed ? elements_.size() : entries_)) return nullptr;
  if (offset % stride_ + bytes > value_bytes_) return nullptr;
  if (kind_ == Kind::mapped) return mapping_.data() + offset;
  if (kind_ == Kind::own) return own_.data() + offset;
  Element& element = elements_[offset / stride_];
  // One that is gone keeps the value it had: the kernel, too, lets running programs see it.
  static_cast<void>(bpf_map_lookup_elem(fd_.get(), element.key.data(), element.value.data()));
  return element.value.data() + offset % stride_;
}

Result<> SharedMap::written(std::uint64_t offset) {
  if (kind_ != Kind::keyed) return {};
  const Element& element = elements_[offset / stride_];
  if (bpf_map_update_elem(fd_.get(), element.key.data(), element.value.data(), BPF_EXIST) == 0 ||
      errno == ENOENT)
    return {};
  return errno_error(fmt::format("write to {}", name_), errno);
}

}  // namespace lbd::vm
