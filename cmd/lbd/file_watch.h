// Tells when a file may have another content: written, replaced by a rename, or a symbolic link on
// the way to it turned (as Kubernetes does with a ConfigMap).
#pragma once
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "lb/model/result.h"

namespace lbd::daemon {

class FileWatch {
 public:
  /// `changed` is called from the io_context a moment after the last change of a burst.
  static Result<std::unique_ptr<FileWatch>> open(boost::asio::io_context&,
                                                 const std::filesystem::path& file,
                                                 std::function<void()> changed);

 private:
  /// What tells one content of the file from another without reading it.
  struct Version {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = -1;  // there is none
    std::int64_t seconds = 0;
    std::int64_t nanoseconds = 0;
    bool operator==(const Version&) const = default;
  };

  FileWatch(boost::asio::io_context&, int inotify, std::filesystem::path file,
            std::function<void()> changed);
  [[nodiscard]] Version version() const;
  void wait();
  void look();

  boost::asio::posix::stream_descriptor events_;
  boost::asio::steady_timer quiet_;
  std::filesystem::path file_;
  std::function<void()> changed_;
  Version seen_;
  std::array<char, 4096> buffer_{};
};

}  // namespace lbd::daemon
