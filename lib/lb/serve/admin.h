// The unix socket on which lbctl reaches the daemon: a JSON line in, a JSON line out (answer.h),
// as often as the client likes.
#pragma once
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>

#include "lb/log/log.h"
#include "lb/model/result.h"
#include "lb/serve/answer.h"

namespace boost::asio {
class io_context;
}

namespace lbd::serve {

struct AdminState;

struct AdminLimits {
  std::size_t request_bytes_max = 65536;  ///< of a line, its end included
  std::size_t connections_max = 64;       ///< one more is told so and closed
  /// For a whole request to come, and for an answer to be taken; then the connection is closed.
  std::chrono::milliseconds wait_max = std::chrono::seconds{10};
};

/// Serves from open() on, in the io_context's thread, until stop() or its end. The io_context and
/// the log outlive it.
class AdminServer {
 public:
  /// Makes the missing parent directories (0755) and the socket (0600: root's own). A socket file
  /// that nobody answers on is replaced, one that somebody answers on is an error.
  static Result<AdminServer> open(boost::asio::io_context&, const std::filesystem::path&, Handler,
                                  const Log&, AdminLimits = {});
  AdminServer(AdminServer&&) noexcept;
  AdminServer& operator=(AdminServer&&) = delete;
  ~AdminServer();

  /// Closes all connections and removes the socket file. The handler is not called any more.
  void stop();

 private:
  explicit AdminServer(std::shared_ptr<AdminState>);

  std::shared_ptr<AdminState> state_;  // its coroutines share it: they end after stop()
};

}  // namespace lbd::serve
