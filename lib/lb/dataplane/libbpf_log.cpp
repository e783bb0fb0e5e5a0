#include "lb/dataplane/libbpf_log.h"

#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include <array>
#include <cstdarg>
#include <cstdio>

namespace lbd::dataplane {
namespace {

// The libraries' callbacks carry no context, so this is where they find it.
thread_local LibraryLog* current = nullptr;

int take(const char* format, va_list arguments) {
  if (current == nullptr) return 0;
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length < 0) return 0;
  std::string text(static_cast<std::size_t>(length), '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, arguments);
  current->add(text);
  return length;
}

int take_from_libbpf(libbpf_print_level level, const char* format, va_list arguments) {
  return level == LIBBPF_DEBUG ? 0 : take(format, arguments);
}

int take_from_libxdp(libxdp_print_level level, const char* format, va_list arguments) {
  return level == LIBXDP_DEBUG ? 0 : take(format, arguments);
}

/// A verifier's log can have megabytes; the reason stands at its end.
constexpr std::size_t kept_bytes = 2048;

}  // namespace

LibraryLog::LibraryLog(const Log& log) : log_{log}, outer_{current} {
  libbpf_set_print(take_from_libbpf);
  libxdp_set_print(take_from_libxdp);
  current = this;
}

LibraryLog::~LibraryLog() {
  current = outer_;
}

Error LibraryLog::error(std::string_view attempt, int error_number) const {
  Error plain = errno_error(attempt, error_number);
  if (said_.empty()) return plain;
  return Error{plain.message() + ": " + said_};
}

void LibraryLog::add(const std::string& text) {
  std::string_view line{text};
  while (line.ends_with('\n')) line.remove_suffix(1);
  log_.debug("libbpf", {{"text", line}});
  if (!said_.empty()) said_ += '\n';
  said_ += line;
  if (said_.size() > kept_bytes) said_.erase(0, said_.size() - kept_bytes);
}

}  // namespace lbd::dataplane
