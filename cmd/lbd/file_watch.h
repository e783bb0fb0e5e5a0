// Tells when a file may have another content: written, replaced by a rename, or a symbolic link on
// the way to it turned (as Kubernetes does with a ConfigMap).
#pragma once
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
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
  FileWatch(boost::asio::io_context&, int inotify, std::function<void()> changed);
  void wait();

  boost::asio::posix::stream_descriptor events_;
  boost::asio::steady_timer quiet_;
  std::function<void()> changed_;
  std::array<char, 4096> buffer_{};
};

}  // namespace lbd::daemon
