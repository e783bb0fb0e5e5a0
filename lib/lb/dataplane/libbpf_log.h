// libbpf's and libxdp's own messages, led to our log; what they last said goes into errors, as the
// verifier's reasons are found nowhere else.
#pragma once
#include <string>

#include "lb/log/log.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

/// While one exists, what the libraries say in this thread goes to its log at level debug, and is
/// kept for error(). Without one, the libraries are silent.
class LibraryLog {
 public:
  explicit LibraryLog(const Log&);
  ~LibraryLog();
  LibraryLog(const LibraryLog&) = delete;
  LibraryLog& operator=(const LibraryLog&) = delete;

  /// errno_error() with the end of what was said meanwhile behind it.
  [[nodiscard]] Error error(std::string_view attempt, int error_number) const;
  void add(const std::string& text);

 private:
  const Log& log_;
  LibraryLog* outer_;
  std::string said_;
};

}  // namespace lbd::dataplane
