// A kernel map as interpreted programs reach it: the same memory where it can be mapped, so that
// the kernel's program, the daemon and the interpreter share its state.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lb/dataplane/fd.h"
#include "lb/model/result.h"

namespace lbd::vm {

/// What offsets in it mean depends on the kind:
///  - mapped: an array of BPF_F_MMAPABLE; offsets are those of its real memory;
///  - own: a per-CPU array. The interpreter is one more CPU, whose memory starts as zeros and which
///    no system call sees;
///  - keyed: a hash or a prefix trie, by system calls. Each key that was found has a place for its
///    value, read anew before each access and written through behind it. So a pointer to an element
///    that was deleted and inserted again points to the new one; and two programs that change one
///    element at once, which no test here does, could lose a write.
class SharedMap {
 public:
  enum class Kind : std::uint8_t { mapped, own, keyed };

  static Result<SharedMap> open(dataplane::Fd map);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] bool read_only() const { return read_only_; }
  [[nodiscard]] std::uint32_t key_bytes() const { return key_bytes_; }
  [[nodiscard]] std::uint32_t value_bytes() const { return value_bytes_; }

  /// Where the element of that key begins; nothing: there is none.
  Result<std::optional<std::uint64_t>> find(const std::byte* key);
  /// As the system calls: 0 or -errno. Only of keyed maps.
  Result<std::int64_t> update(const std::byte* key, const std::byte* value, std::uint64_t flags);
  Result<std::int64_t> erase(const std::byte* key);

  /// `bytes` of memory at `offset`, as they are now; null: not all of them are the map's.
  std::byte* at(std::uint64_t offset, std::size_t bytes);
  /// Must follow a write to what at() gave.
  Result<> written(std::uint64_t offset);

 private:
  using Bytes = std::vector<std::byte>;
  struct Element {
    Bytes key, value;
  };

  dataplane::Fd fd_;
  std::string name_;
  Kind kind_ = Kind::mapped;
  bool read_only_ = false;
  std::uint32_t key_bytes_ = 0;
  std::uint32_t value_bytes_ = 0;
  std::uint32_t entries_ = 0;
  std::uint64_t stride_ = 0;  ///< from one element to the next
  dataplane::Mapping mapping_;
  Bytes own_;
  std::vector<Element> elements_;  ///< of a keyed map, by offset
  std::map<Bytes, std::size_t> places_;
};

}  // namespace lbd::vm
