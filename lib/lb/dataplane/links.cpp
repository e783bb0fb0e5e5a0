#include "lb/dataplane/links.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "lb/dataplane/pins.h"

namespace lbd::dataplane {
namespace {

namespace fs = std::filesystem;

fs::path directory(const fs::path& pin_path) {
  return pin_path / "links";
}

/// Interface names may have dots, names on bpffs may not: "eth0.100" is "eth0%2e100".
std::string pin_name(const std::string& interface) {
  std::string name;
  for (const char c : interface) {
    if (c == '.' || c == '%')
      name += fmt::format("%{:02x}", c);
    else
      name += c;
  }
  return name;
}

std::string interface_name(const std::string& pin) {
  std::string name;
  for (std::size_t i = 0; i < pin.size(); i++) {
    if (pin[i] == '%' && i + 2 < pin.size()) {
      name += static_cast<char>(std::strtol(pin.substr(i + 1, 2).c_str(), nullptr, 16));
      i += 2;
    } else {
      name += pin[i];
    }
  }
  return name;
}

Result<std::optional<PinnedLink>> open_link(const fs::path& pin) {
  auto fd = open_pin(pin);
  if (!fd) return std::move(fd).error();
  if (!*fd) return std::optional<PinnedLink>{};
  bpf_link_info info{};
  std::uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd((*fd)->get(), &info, &bytes) != 0)
    return errno_error(pin.string(), errno);
  if (info.type != BPF_LINK_TYPE_XDP) return Error{pin.string() + ": not a link of XDP"};
  return std::optional<PinnedLink>{PinnedLink{interface_name(pin.filename().string()), pin,
                                              std::move(**fd), info.xdp.ifindex, info.prog_id}};
}

}  // namespace

Result<std::optional<PinnedLink>> find_link(const fs::path& pin_path,
                                            const std::string& interface) {
  return open_link(directory(pin_path) / pin_name(interface));
}

Result<std::vector<PinnedLink>> pinned_links(const fs::path& pin_path) {
  std::vector<PinnedLink> links;
  std::error_code failed;
  fs::directory_iterator entry{directory(pin_path), failed};
  if (failed == std::errc::no_such_file_or_directory) return links;
  for (; !failed && entry != fs::directory_iterator{}; entry.increment(failed)) {
    auto link = open_link(entry->path());
    if (!link) return std::move(link).error();
    if (*link) links.push_back(std::move(**link));
  }
  if (failed) return errno_error("read " + directory(pin_path).string(), failed.value());
  std::ranges::sort(links, {}, &PinnedLink::interface);
  return links;
}

Result<> pin_link(const fs::path& pin_path, const std::string& interface, const Fd& link) {
  if (::mkdir(directory(pin_path).c_str(), 0700) != 0 && errno != EEXIST)
    return errno_error("make directory " + directory(pin_path).string(), errno);
  return make_pin(directory(pin_path) / pin_name(interface), link);
}

Result<> update_link(const PinnedLink& link, int program_fd) {
  if (bpf_link_update(link.link.get(), program_fd, nullptr) == 0 || errno == ENOLINK) return {};
  return errno_error("change the program on " + link.interface, errno);
}

Result<> update_links(const fs::path& pin_path, int program_fd) {
  auto links = pinned_links(pin_path);
  if (!links) return std::move(links).error();
  for (const PinnedLink& link : *links)
    if (auto updated = update_link(link, program_fd); !updated) return updated;
  return {};
}

Result<> remove_link(const PinnedLink& link) {
  if (bpf_link_detach(link.link.get()) != 0 && errno != ENOLINK)
    return errno_error("detach from " + link.interface, errno);
  return remove_file(link.pin);
}

Result<> remove_links(const fs::path& pin_path) {
  auto links = pinned_links(pin_path);
  if (!links) return std::move(links).error();
  for (const PinnedLink& link : *links)
    if (auto removed = remove_link(link); !removed) return removed;
  if (::rmdir(directory(pin_path).c_str()) != 0 && errno != ENOENT)
    return errno_error("remove " + directory(pin_path).string(), errno);
  return {};
}

}  // namespace lbd::dataplane
