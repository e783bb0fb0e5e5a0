// The kernel's functions that machines know. What they do to a packet is limited as in the kernel's
// own test runs, to one page.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "vm/address.h"
#include "vm/machine.h"

namespace lbd::vm {
namespace {

constexpr std::int64_t ethernet_header = 14;
constexpr std::int64_t frame_record = 40;      // struct xdp_frame, at the start of the headroom
constexpr std::int64_t page_end = 4096 - 320;  // struct skb_shared_info stands behind

constexpr std::uint64_t failed(int error_number) {
  return static_cast<std::uint64_t>(-std::int64_t{error_number});
}

}  // namespace

Result<std::int32_t> Machine::map_of(std::uint64_t address) const {
  const std::uint64_t index = address & offset_mask;
  if (!is_in(Region::map, address) || index >= program_->maps().size())
    return Error{fmt::format("{:#x} is no map", address)};
  return static_cast<std::int32_t>(index);
}

Result<Step> Machine::call_helper(std::uint32_t id) {
  Step step{.kind = Step::Kind::helper, .helper = id};
  Result<std::uint64_t> value = std::uint64_t{0};
  switch (id) {
    case BPF_FUNC_map_lookup_elem:
    case BPF_FUNC_map_update_elem:
    case BPF_FUNC_map_delete_elem: {
      auto index = map_of(registers_[1]);
      if (!index) return std::move(index).error();
      step.map = *index;
      SharedMap& map = program_->maps()[static_cast<std::size_t>(*index)];
      auto key = place_of(registers_[2], map.key_bytes(), Access::read);
      if (!key) return std::move(key).error().in("the key");
      if (id == BPF_FUNC_map_lookup_elem)
        value = look_up(map, key->memory, *index);
      else if (id == BPF_FUNC_map_update_elem)
        value = update(map, key->memory);
      else
        value = erase(map, key->memory);
      break;
    }
    case BPF_FUNC_ktime_get_ns:
    case BPF_FUNC_ktime_get_coarse_ns:
      value = input_.now_ns;
      break;
    case BPF_FUNC_get_smp_processor_id:
      break;
    case BPF_FUNC_redirect:
      if (registers_[2] != 0) return Error{"redirect with flags is not emulated"};
      redirected_to_ = static_cast<std::uint32_t>(registers_[1]);
      value = std::uint64_t{XDP_REDIRECT};
      break;
    case BPF_FUNC_xdp_adjust_head:
      value = adjust_head(static_cast<std::int32_t>(registers_[2]));
      break;
    case BPF_FUNC_xdp_adjust_tail:
      value = adjust_tail(static_cast<std::int32_t>(registers_[2]));
      break;
    default:
      return Error{fmt::format("helper {} is not emulated", id)};
  }
  if (!value) return std::move(value).error();
  registers_[0] = *value;
  // The callee's, and nobody may rely on them afterwards.
  std::fill(registers_.begin() + 1, registers_.begin() + 6, garbage_word);
  return step;
}

Result<std::uint64_t> Machine::look_up(SharedMap& map, const std::byte* key, std::int32_t index) {
  auto offset = map.find(key);
  if (!offset) return std::move(offset).error();
  return *offset ? address_in_map(static_cast<std::uint32_t>(index), **offset) : 0;
}

Result<std::uint64_t> Machine::update(SharedMap& map, const std::byte* key) {
  auto value = place_of(registers_[3], map.value_bytes(), Access::read);
  if (!value) return std::move(value).error().in("the value");
  auto updated = map.update(key, value->memory, registers_[4]);
  if (!updated) return std::move(updated).error();
  return static_cast<std::uint64_t>(*updated);
}

Result<std::uint64_t> Machine::erase(SharedMap& map, const std::byte* key) {
  auto erased = map.erase(key);
  if (!erased) return std::move(erased).error();
  return static_cast<std::uint64_t>(*erased);
}

std::uint64_t Machine::adjust_head(std::int32_t by) {
  const auto data = static_cast<std::int64_t>(data_) + by;
  if (data < frame_record || data > static_cast<std::int64_t>(data_end_) - ethernet_header)
    return failed(EINVAL);
  data_ = static_cast<std::size_t>(data);
  return 0;
}

std::uint64_t Machine::adjust_tail(std::int32_t by) {
  const auto end = static_cast<std::int64_t>(data_end_) + by;
  if (end > page_end || end < static_cast<std::int64_t>(data_) + ethernet_header)
    return failed(EINVAL);
  const auto new_end = static_cast<std::size_t>(end);
  if (new_end > data_end_)
    std::fill_n(page_.begin() + static_cast<std::ptrdiff_t>(data_end_), by, std::byte{0});
  data_end_ = new_end;
  return 0;
}

}  // namespace lbd::vm
