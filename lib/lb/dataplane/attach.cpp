#include "lb/dataplane/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <xdp/libxdp.h>

#include <cerrno>
#include <memory>

#include "lb/dataplane/fd.h"
#include "lb/dataplane/libbpf_log.h"
#include "lb/dataplane/links.h"
#include "lb/dataplane/self_test.h"

namespace lbd::dataplane {
namespace {

/// The XDP program on an interface as the kernel has it.
struct OnInterface {
  std::uint32_t program_id = 0;  ///< 0: none
  XdpMode mode = XdpMode::native;
};

Result<OnInterface> query(std::uint32_t ifindex) {
  LIBBPF_OPTS(bpf_xdp_query_opts, found);
  if (const int failed = bpf_xdp_query(static_cast<int>(ifindex), 0, &found); failed != 0)
    return errno_error("ask for the interface's XDP program", -failed);
  // Offloaded and native at once (XDP_ATTACHED_MULTI) have ids of their own only.
  for (const std::uint32_t id : {found.prog_id, found.drv_prog_id, found.hw_prog_id})
    if (id != 0 && id != found.skb_prog_id) return OnInterface{id, XdpMode::native};
  return OnInterface{found.skb_prog_id, XdpMode::generic};
}

Result<std::uint32_t> index_of(const std::string& interface) {
  const std::uint32_t ifindex = ::if_nametoindex(interface.c_str());
  if (ifindex == 0) return errno_error("interface " + interface, errno);
  return ifindex;
}

std::string program_name(std::uint32_t id) {
  const Fd program{bpf_prog_get_fd_by_id(id)};
  bpf_prog_info info{};
  std::uint32_t bytes = sizeof info;
  if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &bytes) != 0) return "?";
  return info.name;
}

/// The programs that libxdp's dispatcher runs, as a list of names.
std::string dispatched_programs(std::uint32_t ifindex) {
  struct Close {
    void operator()(xdp_multiprog* programs) const { xdp_multiprog__close(programs); }
  };
  xdp_multiprog* raw = xdp_multiprog__get_from_ifindex(static_cast<int>(ifindex));
  if (libxdp_get_error(raw) != 0) return {};
  const std::unique_ptr<xdp_multiprog, Close> programs{raw};
  std::string names;
  xdp_program* program = nullptr;
  while ((program = xdp_multiprog__next_prog(program, programs.get())) != nullptr)
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", xdp_program__name(program));
  return names;
}

Error foreign(std::uint32_t ifindex, std::uint32_t program_id, const Log& log) {
  const LibraryLog library{log};
  const std::string name = program_name(program_id);
  std::string message = fmt::format("XDP program {} \"{}\" is on it", program_id, name);
  if (name == "xdp_dispatcher")
    if (const std::string names = dispatched_programs(ifindex); !names.empty())
      message += " with " + names;
  return Error{message + "; lbd replaces no other program"};
}

Result<Fd> create_link(int program_fd, std::uint32_t ifindex, XdpMode mode) {
  LIBBPF_OPTS(bpf_link_create_opts, options,
              .flags = mode == XdpMode::generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
  Fd link{bpf_link_create(program_fd, static_cast<int>(ifindex), BPF_XDP, &options)};
  if (!link) return errno_error(fmt::format("attach in {} mode", to_string(mode)), errno);
  return link;
}

/// Native, else generic: XDP that is slow is better than none.
Result<Fd> create_link_that_works(int program_fd, std::uint32_t ifindex, XdpMode mode,
                                  const std::string& interface, const Log& log) {
  if (mode != XdpMode::automatic) return create_link(program_fd, ifindex, mode);
  auto native = create_link(program_fd, ifindex, XdpMode::native);
  if (native) return native;
  auto generic = create_link(program_fd, ifindex, XdpMode::generic);
  if (generic)
    log.warn("xdp_generic", {{"interface", interface}, {"reason", native.error().message()}});
  return generic;
}

Result<Attached> check(const DataPlane& plane, const std::string& interface,
                       std::uint32_t ifindex) {
  auto now = query(ifindex);
  if (!now) return std::move(now).error();
  if (now->program_id != plane.program_id())
    return Error{fmt::format("runs program {} after program {} was attached", now->program_id,
                             plane.program_id())};
  return Attached{interface, ifindex, now->mode, now->program_id};
}

Result<Attached> attach_anew(const DataPlane& plane, const std::string& interface,
                             std::uint32_t ifindex, XdpMode mode, const Log& log) {
  auto before = query(ifindex);
  if (!before) return std::move(before).error();
  if (before->program_id != 0) return foreign(ifindex, before->program_id, log);
  if (auto tested = self_test(log); !tested) return std::move(tested).error();
  auto link = create_link_that_works(plane.program_fd(), ifindex, mode, interface, log);
  if (!link) return std::move(link).error();
  // Until it is pinned, closing the link takes the program off again.
  auto attached = check(plane, interface, ifindex);
  if (!attached) return attached;
  if (auto pinned = pin_link(*plane.pin_path(), interface, *link); !pinned)
    return std::move(pinned).error();
  log.info("attached", {{"interface", interface},
                        {"mode", to_string(attached->mode)},
                        {"program", attached->program_id}});
  return attached;
}

/// A predecessor's link, if it can stay; nothing once it has been removed.
Result<std::optional<Attached>> adopt(const DataPlane& plane, const PinnedLink& link,
                                      std::uint32_t ifindex, XdpMode mode, const Log& log) {
  auto now = query(ifindex);
  if (!now) return std::move(now).error();
  const bool here = link.ifindex == ifindex && now->program_id == link.program_id;
  if (here && (mode == XdpMode::automatic || mode == now->mode)) {
    if (link.program_id != plane.program_id())
      if (auto updated = update_link(link, plane.program_fd()); !updated)
        return std::move(updated).error();
    auto attached = check(plane, link.interface, ifindex);
    if (!attached) return std::move(attached).error();
    return std::optional<Attached>{std::move(*attached)};
  }
  log.warn("reattach", {{"interface", link.interface},
                        {"reason", here                ? "another mode is configured"
                                   : link.ifindex == 0 ? "the device was deleted and made anew"
                                                       : "the link is on another device"}});
  if (auto removed = remove_link(link); !removed) return std::move(removed).error();
  return std::optional<Attached>{};
}

Result<Attached> attach_to(const DataPlane& plane, const std::string& interface,
                           std::uint32_t ifindex, XdpMode mode, const Log& log) {
  auto link = find_link(*plane.pin_path(), interface);
  if (!link) return std::move(link).error();
  if (*link) {
    auto adopted = adopt(plane, **link, ifindex, mode, log);
    if (!adopted) return std::move(adopted).error();
    if (*adopted) return std::move(**adopted);
  }
  return attach_anew(plane, interface, ifindex, mode, log);
}

}  // namespace

std::string_view to_string(XdpMode mode) {
  switch (mode) {
    case XdpMode::automatic:
      return "auto";
    case XdpMode::native:
      return "native";
    case XdpMode::generic:
      return "generic";
  }
  return "";
}

Result<Attached> attach(const DataPlane& plane, const std::string& interface, XdpMode mode,
                        const Log& log) {
  if (!plane.pin_path()) return Error{"attach: the data plane is not pinned"};
  auto ifindex = index_of(interface);
  if (!ifindex) return std::move(ifindex).error();
  auto attached = attach_to(plane, interface, *ifindex, mode, log);
  if (!attached) return std::move(attached).error().in("interface " + interface);
  return attached;
}

Result<> detach(const DataPlane& plane, const std::string& interface) {
  if (!plane.pin_path()) return {};
  auto link = find_link(*plane.pin_path(), interface);
  if (!link) return std::move(link).error();
  return *link ? remove_link(**link) : Result<>{};
}

Result<std::vector<Attached>> attachments(const DataPlane& plane) {
  std::vector<Attached> all;
  if (!plane.pin_path()) return all;
  auto links = pinned_links(*plane.pin_path());
  if (!links) return std::move(links).error();
  for (const PinnedLink& link : *links) {
    if (link.ifindex == 0) continue;
    auto now = query(link.ifindex);
    if (!now) continue;  // deleted since
    all.push_back({link.interface, link.ifindex, now->mode, now->program_id});
  }
  return all;
}

}  // namespace lbd::dataplane
