#include "lb/dataplane/grace.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>

namespace lbd::dataplane {

Result<Grace> Grace::make() {
  Grace grace;
  grace.inner_ = Fd{bpf_map_create(BPF_MAP_TYPE_ARRAY, "lbd_grace_inner", 4, 4, 1, nullptr)};
  if (!grace.inner_) return errno_error("create map lbd_grace_inner", errno);
  LIBBPF_OPTS(bpf_map_create_opts, options,
              .inner_map_fd = static_cast<std::uint32_t>(grace.inner_.get()));
  grace.outer_ = Fd{bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "lbd_grace", 4, 4, 1, &options)};
  if (!grace.outer_) return errno_error("create map lbd_grace", errno);
  return grace;
}

Result<> Grace::wait() const {
  const std::uint32_t index = 0;
  const int inner = inner_.get();
  if (bpf_map_update_elem(outer_.get(), &index, &inner, BPF_ANY) != 0)
    return errno_error("wait for running programs", errno);
  return {};
}

}  // namespace lbd::dataplane
