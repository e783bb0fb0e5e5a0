// The instructions of a loaded XDP program and the maps it runs on, for machines (machine.h).
#pragma once
#include <linux/bpf.h>

#include <string_view>
#include <utility>
#include <vector>

#include "lb/model/result.h"
#include "vm/shared_map.h"

namespace lbd::vm {

class Program {
 public:
  /// The shipped program as it was loaded behind that descriptor: the object's instructions as
  /// libbpf relocates them, before the verifier rewrites any, on the same maps and settings. Of a
  /// data plane that has grown a new one must be made.
  static Result<Program> of_loaded(int program);
  explicit Program(std::vector<bpf_insn> code, std::vector<SharedMap> maps = {})
      : code_{std::move(code)}, maps_{std::move(maps)} {}

  /// A map's address is its index in maps(), not a descriptor.
  [[nodiscard]] const std::vector<bpf_insn>& code() const { return code_; }
  [[nodiscard]] std::vector<SharedMap>& maps() { return maps_; }
  [[nodiscard]] const std::vector<SharedMap>& maps() const { return maps_; }
  /// Null: there is none of that name.
  [[nodiscard]] SharedMap* find_map(std::string_view name);

 private:
  std::vector<bpf_insn> code_;
  std::vector<SharedMap> maps_;
};

}  // namespace lbd::vm
