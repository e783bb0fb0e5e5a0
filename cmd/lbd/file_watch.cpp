#include "lbd/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <chrono>

namespace lbd::daemon {
namespace {

constexpr auto quiet_time = std::chrono::milliseconds{100};
constexpr std::uint32_t interesting =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_ONLYDIR;

/// Directories whose entries decide what `file` is: its own, and those of the links it is.
Result<> watch_directories(int inotify, const std::filesystem::path& file) {
  std::error_code failure;
  std::filesystem::path at = std::filesystem::absolute(file, failure);
  for (int links = 0; links < 8; links++) {
    const std::filesystem::path directory = at.parent_path();
    if (inotify_add_watch(inotify, directory.c_str(), interesting) < 0)
      return errno_error("watch " + directory.string(), errno);
    if (!std::filesystem::is_symlink(at, failure)) return {};
    const auto target = std::filesystem::read_symlink(at, failure);
    at = target.is_absolute() ? target : directory / target;
  }
  return {};
}

}  // namespace

FileWatch::FileWatch(boost::asio::io_context& io, int inotify, std::filesystem::path file,
                     std::function<void()> changed)
    : events_{io, inotify},
      quiet_{io},
      file_{std::move(file)},
      changed_{std::move(changed)},
      seen_{version()} {
  wait();
}

FileWatch::Version FileWatch::version() const {
  struct stat now {};
  if (stat(file_.c_str(), &now) != 0) return {};
  return {now.st_dev, now.st_ino, now.st_size, now.st_mtim.tv_sec, now.st_mtim.tv_nsec};
}

/// Its directory has other files, too, whose events say nothing.
void FileWatch::look() {
  const Version now = version();
  if (now == seen_) return;
  seen_ = now;
  changed_();
}

Result<std::unique_ptr<FileWatch>> FileWatch::open(boost::asio::io_context& io,
                                                   const std::filesystem::path& file,
                                                   std::function<void()> changed) {
  const int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (inotify < 0) return errno_error("inotify", errno);
  std::unique_ptr<FileWatch> watch{new FileWatch{io, inotify, file, std::move(changed)}};
  if (auto watched = watch_directories(inotify, file); !watched) return std::move(watched).error();
  return watch;
}

void FileWatch::wait() {
  events_.async_read_some(boost::asio::buffer(buffer_),
                          [this](const boost::system::error_code& failure, std::size_t) {
                            if (failure) return;
                            quiet_.expires_after(quiet_time);
                            quiet_.async_wait([this](const boost::system::error_code& stopped) {
                              if (!stopped) look();
                            });
                            wait();
                          });
}

}  // namespace lbd::daemon
