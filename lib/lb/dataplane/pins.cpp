#include "lb/dataplane/pins.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <vector>

namespace lbd::dataplane {
namespace {

namespace fs = std::filesystem;

constexpr const char* program_name = "lbd_xdp";
constexpr mode_t owner_only = 0700;

Result<bool> is_there(const fs::path& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return errno_error(path.string(), errno);
}

Result<bool> is_on(const fs::path& path, long magic) {
  struct statfs found {};
  if (::statfs(path.c_str(), &found) != 0) return errno_error(path.string(), errno);
  return static_cast<long>(found.f_type) == magic;
}

Result<> make_directory(const fs::path& path) {
  if (::mkdir(path.c_str(), owner_only) == 0 || errno == EEXIST) return {};
  return errno_error("make directory " + path.string(), errno);
}

Result<> move_pin(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return errno_error("rename " + from.string() + " to " + to.string(), errno);
}

Result<> remove_directory(const fs::path& path) {
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
  return errno_error("remove " + path.string(), errno);
}

Result<> mount_bpffs(const fs::path& at, const Log& log) {
  if (::mount("bpf", at.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0)
    return errno_error("mount bpffs at " + at.string(), errno);
  log.info("bpffs_mounted", {{"at", at.string()}});
  return {};
}

/// Makes `parent` a directory on bpffs. Where no bpffs is, one is mounted on `parent` itself, or on
/// the nearest directory that is there if that is the kernel's own mount point below /sys, where
/// directories cannot be made.
Result<> provide_bpffs(const fs::path& parent, const Log& log) {
  fs::path nearest = parent;
  std::vector<fs::path> missing;
  for (;;) {
    auto there = is_there(nearest);
    if (!there) return std::move(there).error();
    if (*there) break;
    missing.insert(missing.begin(), nearest);
    nearest = nearest.parent_path();
  }
  auto on_bpffs = is_on(nearest, BPF_FS_MAGIC);
  if (!on_bpffs) return std::move(on_bpffs).error();
  auto on_sysfs = is_on(nearest, SYSFS_MAGIC);
  if (!on_sysfs) return std::move(on_sysfs).error();
  const bool mount_nearest = !*on_bpffs && *on_sysfs;
  if (mount_nearest)
    if (auto mounted = mount_bpffs(nearest, log); !mounted) return mounted;
  for (const fs::path& path : missing)
    if (auto made = make_directory(path); !made) return made;
  return *on_bpffs || mount_nearest ? Result<>{} : mount_bpffs(parent, log);
}

/// All names of a set with the member of that name.
template <class Visit>
Result<> for_each_member(MapSet& set, Visit&& visit) {
  for (const MapId id : all_maps())
    if (Result<> visited = visit(spec_of(id).name, set[id]); !visited) return visited;
  return visit(program_name, set.program);
}

std::vector<std::string> member_names() {
  std::vector<std::string> names;
  for (const MapId id : all_maps()) names.emplace_back(spec_of(id).name);
  names.emplace_back(program_name);
  return names;
}

Result<> remove_members(const fs::path& directory) {
  for (const std::string& name : member_names())
    if (auto removed = remove_file(directory / name); !removed) return removed;
  return {};
}

Result<> remove_with_members(const fs::path& directory) {
  auto there = is_there(directory);
  if (!there) return std::move(there).error();
  if (!*there) return {};
  if (auto removed = remove_members(directory); !removed) return removed;
  return remove_directory(directory);
}

Result<MapSet> open_members(const fs::path& directory) {
  MapSet set;
  auto opened = for_each_member(set, [&](const char* name, Fd& member) -> Result<> {
    auto pinned = open_pin(directory / name);
    if (!pinned) return std::move(pinned).error();
    if (*pinned) member = std::move(**pinned);
    return {};
  });
  if (!opened) return std::move(opened).error();
  return set;
}

}  // namespace

Result<std::optional<Fd>> open_pin(const fs::path& path) {
  Fd fd{bpf_obj_get(path.c_str())};
  if (fd) return std::optional<Fd>{std::move(fd)};
  if (errno == ENOENT) return std::optional<Fd>{};
  return errno_error("open " + path.string(), errno);
}

Result<> make_pin(const fs::path& path, const Fd& fd) {
  if (bpf_obj_pin(fd.get(), path.c_str()) == 0) return {};
  return errno_error("pin " + path.string(), errno);
}

Result<> remove_file(const fs::path& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return errno_error("remove " + path.string(), errno);
}

Result<PinDirectory> PinDirectory::lock(const fs::path& path) {
  Fd fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd) return errno_error("open " + path.string(), errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Error{path.string() + ": another lbd runs on it"};
    return errno_error("lock " + path.string(), errno);
  }
  // A --cleanup may have removed the directory between the two calls.
  struct stat locked {};
  struct stat named {};
  if (::fstat(fd.get(), &locked) != 0 || ::stat(path.c_str(), &named) != 0 ||
      locked.st_ino != named.st_ino)
    return Error{path.string() + ": was removed meanwhile"};
  return PinDirectory{path, std::move(fd)};
}

Result<PinDirectory> PinDirectory::open(fs::path path, const Log& log) {
  if (!path.is_absolute()) return Error{"pin path " + path.string() + ": not absolute"};
  if (!path.has_filename()) path = path.parent_path();
  if (auto provided = provide_bpffs(path.parent_path(), log); !provided)
    return std::move(provided).error();
  if (auto made = make_directory(path); !made) return std::move(made).error();
  if (auto on_bpffs = is_on(path, BPF_FS_MAGIC); !on_bpffs)
    return std::move(on_bpffs).error();
  else if (!*on_bpffs)
    return Error{path.string() + ": not on a bpffs"};
  auto locked = lock(path);
  if (!locked) return locked;
  if (auto recovered = locked->recover(); !recovered) return std::move(recovered).error();
  return locked;
}

Result<std::optional<PinDirectory>> PinDirectory::open_existing(const fs::path& path) {
  auto there = is_there(path);
  if (!there) return std::move(there).error();
  if (!*there) return std::optional<PinDirectory>{};
  auto on_bpffs = is_on(path, BPF_FS_MAGIC);
  if (!on_bpffs) return std::move(on_bpffs).error();
  if (!*on_bpffs) return std::optional<PinDirectory>{};
  auto locked = lock(path);
  if (!locked) return std::move(locked).error();
  return std::optional<PinDirectory>{std::move(*locked)};
}

Result<MapSet> PinDirectory::current() const {
  return open_members(path_);
}

Result<std::optional<MapSet>> PinDirectory::replaced() const {
  auto there = is_there(path_ / "old");
  if (!there) return std::move(there).error();
  if (!*there) return std::optional<MapSet>{};
  auto set = open_members(path_ / "old");
  if (!set) return std::move(set).error();
  return std::optional<MapSet>{std::move(*set)};
}

Result<> PinDirectory::commit(const MapSet& changes) const {
  const fs::path next = path_ / "next";
  if (auto forgotten = remove_with_members(next); !forgotten) return forgotten;
  if (auto made = make_directory(next); !made) return made;
  const auto pin = [&](const char* name, const Fd& member) {
    return member ? make_pin(next / name, member) : Result<>{};
  };
  for (const MapId id : all_maps())
    if (auto pinned = pin(spec_of(id).name, changes[id]); !pinned) return pinned;
  if (auto pinned = pin(program_name, changes.program); !pinned) return pinned;
  if (auto decided = move_pin(next, path_ / "ready"); !decided) return decided;
  return roll_forward();
}

Result<> PinDirectory::recover() const {
  if (auto forgotten = remove_with_members(path_ / "next"); !forgotten) return forgotten;
  auto ready = is_there(path_ / "ready");
  if (!ready) return std::move(ready).error();
  return *ready ? roll_forward() : Result<>{};
}

Result<> PinDirectory::roll_forward() const {
  const fs::path ready = path_ / "ready";
  const fs::path old = path_ / "old";
  for (const std::string& name : member_names()) {
    auto waiting = is_there(ready / name);
    if (!waiting) return std::move(waiting).error();
    if (!*waiting) continue;
    auto there = is_there(path_ / name);
    if (!there) return std::move(there).error();
    if (*there) {
      if (auto made = make_directory(old); !made) return made;
      if (auto kept = move_pin(path_ / name, old / name); !kept) return kept;
    }
    if (auto placed = move_pin(ready / name, path_ / name); !placed) return placed;
  }
  return remove_directory(ready);
}

Result<> PinDirectory::forget_replaced() const {
  return remove_with_members(path_ / "old");
}

Result<> PinDirectory::clear() const {
  for (const char* part : {"next", "ready", "old"})
    if (auto removed = remove_with_members(path_ / part); !removed) return removed;
  return remove_members(path_);
}

Result<> PinDirectory::remove() const {
  if (::rmdir(path_.c_str()) == 0 || errno == ENOTEMPTY) return {};
  return errno_error("remove " + path_.string(), errno);
}

}  // namespace lbd::dataplane
