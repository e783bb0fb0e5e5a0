// Maps as interpreted programs reach them, beside what system calls see of the same maps.
#include <bpf/bpf.h>

#include <catch2/catch.hpp>

#include "vm/machine.h"

namespace {

using namespace lbd;
using dataplane::Fd;
using vm::SharedMap;

struct Kernel {
  bpf_map_type type;
  std::uint32_t flags;
  std::uint32_t value_bytes = 4;
};

Fd create(const Kernel& map) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = map.flags);
  Fd fd{bpf_map_create(map.type, "test", 4, map.value_bytes, 3, &options)};
  REQUIRE(fd);
  return fd;
}

SharedMap shared(const Fd& map) {
  auto opened = SharedMap::open(Fd{::dup(map.get())});
  if (!opened) FAIL(opened.error().message());
  return std::move(*opened);
}

std::uint32_t value_in_kernel(const Fd& map, std::uint32_t key) {
  std::uint32_t value = 0;
  REQUIRE(bpf_map_lookup_elem(map.get(), &key, &value) == 0);
  return value;
}

void put(const Fd& map, std::uint32_t key, std::uint32_t value) {
  REQUIRE(bpf_map_update_elem(map.get(), &key, &value, BPF_ANY) == 0);
}

/// Runs `r0 = *(u32 *)(map + offset)`, or a store of 7 there.
std::string access(SharedMap map, std::int32_t offset, bool writes) {
  std::vector<SharedMap> maps;
  maps.push_back(std::move(map));
  const int code = (writes ? BPF_ST : BPF_LDX) | BPF_MEM | BPF_W;
  vm::Program program{{{BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_VALUE, 0, 0},
                       {0, 0, 0, 0, offset},
                       {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0},
                       {static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(writes ? 1 : 0),
                        static_cast<std::uint8_t>(writes ? 0 : 1), 0, 7},
                       {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}},
                      std::move(maps)};
  vm::Machine machine{program, std::vector<std::uint8_t>(60), {}};
  const auto ran = machine.run();
  return ran ? std::to_string(ran->action) : ran.error().message();
}

const std::byte* bytes_of(const std::uint32_t& key) {
  return reinterpret_cast<const std::byte*>(&key);
}

}  // namespace

TEST_CASE("of a mapped array each element is memory that is shared, and nothing else is") {
  const Fd map = create({BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE});  // elements lie 8 bytes apart
  put(map, 2, 55);
  CHECK(access(shared(map), 16, false) == "55");
  CHECK(access(shared(map), 8, true) == "0");
  CHECK(value_in_kernel(map, 1) == 7);
  for (const std::int32_t wrong : {-1, 4, 6, 24, 4096}) {
    INFO(wrong);
    CHECK_THAT(access(shared(map), wrong, false), Catch::Contains("out of bounds"));
  }
  SharedMap opened = shared(map);
  CHECK(*opened.find(bytes_of(2)) == 16U);
  CHECK_FALSE(*opened.find(bytes_of(3)));
}

TEST_CASE("a map that is read-only for programs is so for machines") {
  const Fd map = create({BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG});
  put(map, 0, 3);
  CHECK(access(shared(map), 0, false) == "3");
  CHECK_THAT(access(shared(map), 0, true), Catch::Contains("read-only"));
}

TEST_CASE("of a per-CPU array a machine has a copy of its own") {
  const Fd map = create({BPF_MAP_TYPE_PERCPU_ARRAY, 0, 8});
  SharedMap opened = shared(map);
  std::byte* element = opened.at(16, 8);
  REQUIRE(element != nullptr);
  CHECK(*element == std::byte{0});
  *element = std::byte{1};
  CHECK(*opened.at(16, 8) == std::byte{1});
  CHECK(opened.at(24, 1) == nullptr);
}

TEST_CASE("an element of a hash is read anew each time, and written through") {
  const Fd map = create({BPF_MAP_TYPE_HASH, 0});
  SharedMap opened = shared(map);
  CHECK_FALSE(*opened.find(bytes_of(9)));
  const std::uint32_t first = 4;
  CHECK(*opened.update(bytes_of(9), bytes_of(first), BPF_NOEXIST) == 0);
  CHECK(*opened.update(bytes_of(9), bytes_of(first), BPF_NOEXIST) == -EEXIST);
  const auto place = *opened.find(bytes_of(9));
  REQUIRE(place);
  const auto value = [&] {
    std::uint32_t read = 0;
    std::memcpy(&read, opened.at(*place, sizeof read), sizeof read);
    return read;
  };
  CHECK(value() == 4);
  put(map, 9, 5);
  CHECK(value() == 5);
  *opened.at(*place, 1) = std::byte{6};
  REQUIRE(opened.written(*place).has_value());
  CHECK(value_in_kernel(map, 9) == 6);
  CHECK(*opened.erase(bytes_of(9)) == 0);
  CHECK(*opened.erase(bytes_of(9)) == -ENOENT);
  CHECK(value() == 6);  // who had found it still has it
  REQUIRE(opened.written(*place).has_value());
  CHECK_FALSE(*opened.find(bytes_of(9)));
}

TEST_CASE("a kind of map that is not known is refused by its name") {
  const auto opened = SharedMap::open(create({BPF_MAP_TYPE_LRU_HASH, 0}));
  REQUIRE_FALSE(opened.has_value());
  CHECK_THAT(opened.error().message(), Catch::Contains("map test: type 9"));
}
