#include "lb/serve/admin.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <exception>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace lbd::serve {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using boost::system::error_code;
using Socket = stream_protocol::socket;

/// What the acceptor and the connections share.
struct AdminState {
  AdminState(asio::io_context& io, std::filesystem::path at, Handler handle, const Log& to,
             AdminLimits within)
      : acceptor{io},
        pause{io},
        path{std::move(at)},
        handler{std::move(handle)},
        log{to},
        limits{within} {}

  stream_protocol::acceptor acceptor;
  asio::steady_timer pause;  ///< before the next try where accepting failed
  std::filesystem::path path;
  Handler handler;
  const Log& log;
  AdminLimits limits;
  std::set<Socket*> connections;  ///< each lives in its coroutine
  struct stat file {};            ///< the socket file, as it was made
  bool stopped = false;
};

namespace {

using namespace asio::experimental::awaitable_operators;
using SharedState = std::shared_ptr<AdminState>;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

/// A socket's place among the connections, for as long as its coroutine runs.
class Connection {
 public:
  Connection(AdminState& state, Socket& socket) : state_{state}, socket_{socket} {
    state_.connections.insert(&socket_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { state_.connections.erase(&socket_); }

 private:
  AdminState& state_;
  Socket& socket_;
};

/// Reads until `received` has a line; what follows it stays there for the next call. Returns the
/// line's length with its end, or why there is none: not_found where it is too long.
asio::awaitable<std::pair<error_code, std::size_t>> read_line(Socket& socket, std::string& received,
                                                              const AdminLimits& limits) {
  asio::steady_timer timer{socket.get_executor(), limits.wait_max};
  const auto buffer = asio::dynamic_buffer(received, limits.request_bytes_max);
  const auto first = co_await (asio::async_read_until(socket, buffer, '\n', as_result) ||
                               timer.async_wait(as_result));
  if (first.index() == 1) co_return std::pair{error_code{asio::error::timed_out}, std::size_t{0}};
  const auto& [error, length] = std::get<0>(first);
  co_return std::pair{error, length};
}

/// Whether the peer took all of `text` in time.
asio::awaitable<bool> write_line(Socket& socket, std::string text, const AdminLimits& limits) {
  text.push_back('\n');
  asio::steady_timer timer{socket.get_executor(), limits.wait_max};
  const auto buffer = asio::buffer(text);
  const auto first =
      co_await (asio::async_write(socket, buffer, as_result) || timer.async_wait(as_result));
  co_return first.index() == 0 && !std::get<0>(std::get<0>(first));
}

std::string refusal(std::string error) {
  return boost::json::serialize(failure(ExitCode::refused, {std::move(error)}));
}

/// One client's requests, one after the other, until it goes, waits too long or is told to go.
asio::awaitable<void> converse(SharedState state, Socket socket) {
  const Connection connection{*state, socket};
  std::string received;
  for (;;) {
    const auto [error, length] = co_await read_line(socket, received, state->limits);
    if (state->stopped) co_return;
    if (error == asio::error::not_found) {
      std::string text = refusal(fmt::format("the request has no line end within {} bytes",
                                             state->limits.request_bytes_max));
      co_await write_line(socket, std::move(text), state->limits);
      co_return;
    }
    if (error) co_return;
    const std::string_view line{received.data(), length - 1};
    std::string text = answer(line, state->handler);
    received.erase(0, length);
    const bool taken = co_await write_line(socket, std::move(text), state->limits);
    if (!taken) co_return;
  }
}

/// Tells a client beyond the limit so. A new socket's buffer has room for that: nothing waits.
void turn_away(Socket socket) {
  const std::string text = refusal("too many connections to the admin socket") + "\n";
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(text), ignored);
}

/// Starts a coroutine that ends by itself after stop(). One that throws is our mistake, not the
/// daemon's end.
void spawn(const SharedState& state, std::string_view name, asio::awaitable<void> coroutine) {
  const auto ended = [state, name](const std::exception_ptr& thrown) {
    if (!thrown || state->stopped) return;
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& failed) {
      state->log.error("coroutine_failed", {{"name", name}, {"reason", failed.what()}});
    }
  };
  asio::co_spawn(state->acceptor.get_executor(), std::move(coroutine), ended);
}

asio::awaitable<void> accept_clients(SharedState state) {
  constexpr std::chrono::seconds retry_after{1};
  bool failing = false;
  for (;;) {
    auto [error, socket] = co_await state->acceptor.async_accept(as_result);
    if (state->stopped) co_return;
    if (error) {  // out of file descriptors or memory: the client waits in the backlog
      if (!failing) state->log.warn("admin_accept_failed", {{"reason", error.message()}});
      failing = true;
      state->pause.expires_after(retry_after);
      co_await state->pause.async_wait(as_result);
      if (state->stopped) co_return;
      continue;
    }
    failing = false;
    if (state->connections.size() >= state->limits.connections_max)
      turn_away(std::move(socket));
    else
      spawn(state, "admin_connection", converse(state, std::move(socket)));
  }
}

Result<> make_directories(const std::filesystem::path& path) {
  std::filesystem::path so_far;
  for (const std::filesystem::path& part : path) {
    so_far /= part;
    if (::mkdir(so_far.c_str(), 0755) != 0 && errno != EEXIST && errno != EISDIR)
      return errno_error(fmt::format("make directory {}", so_far.native()), errno);
  }
  return {};
}

/// Removes a socket file that a dead daemon left; fails where it is anything else.
Result<> remove_stale(asio::io_context& io, const std::filesystem::path& path) {
  struct stat file {};
  if (::lstat(path.c_str(), &file) != 0) return errno_error("look at it", errno);
  if (!S_ISSOCK(file.st_mode)) return Error{"there is a file that is no socket"};
  Socket probe{io};
  error_code error;
  probe.open(stream_protocol{}, error);
  if (error) return Error{error.message()}.in("open a socket");
  probe.non_blocking(true, error);  // a full backlog is somebody too
  probe.connect(path.native(), error);
  if (error != asio::error::connection_refused)
    return Error{"another process answers on it or may do so"};
  if (::unlink(path.c_str()) != 0) return errno_error("remove the stale socket", errno);
  return {};
}

/// Binds and listens. Nobody can connect before listen(), so the mode is set in time.
Result<> listen(AdminState& state, asio::io_context& io) {
  error_code error;
  state.acceptor.open(stream_protocol{}, error);
  if (error) return Error{error.message()}.in("open a socket");
  const stream_protocol::endpoint endpoint{state.path.native()};
  state.acceptor.bind(endpoint, error);
  if (error == asio::error::address_in_use) {
    if (auto removed = remove_stale(io, state.path); !removed) return removed;
    state.acceptor.bind(endpoint, error);
  }
  if (error) return Error{error.message()}.in("bind");
  if (::chmod(state.path.c_str(), 0600) != 0) return errno_error("chmod", errno);
  if (::lstat(state.path.c_str(), &state.file) != 0) return errno_error("look at it", errno);
  state.acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return Error{error.message()}.in("listen");
  return {};
}

/// Removes the socket file unless another daemon has put its own there.
void remove_own(const AdminState& state) {
  struct stat file {};
  if (::lstat(state.path.c_str(), &file) != 0) return;
  if (file.st_dev == state.file.st_dev && file.st_ino == state.file.st_ino)
    ::unlink(state.path.c_str());
}

}  // namespace

Result<AdminServer> AdminServer::open(asio::io_context& io, const std::filesystem::path& path,
                                      Handler handler, const Log& log, AdminLimits limits) {
  const std::string attempt = fmt::format("admin socket {}", path.native());
  if (path.empty() || path.native().size() >= sizeof(sockaddr_un::sun_path))
    return Error{
        fmt::format("a path of 1..{} bytes is expected", sizeof(sockaddr_un::sun_path) - 1)}
        .in(attempt);
  if (auto made = make_directories(path.parent_path()); !made)
    return std::move(made).error().in(attempt);
  auto state = std::make_shared<AdminState>(io, path, std::move(handler), log, limits);
  if (auto listening = listen(*state, io); !listening)
    return std::move(listening).error().in(attempt);
  spawn(state, "admin_accept", accept_clients(state));
  return AdminServer{std::move(state)};
}

AdminServer::AdminServer(std::shared_ptr<AdminState> state) : state_{std::move(state)} {}
AdminServer::AdminServer(AdminServer&&) noexcept = default;
AdminServer::~AdminServer() {
  stop();
}

void AdminServer::stop() {
  if (!state_ || state_->stopped) return;
  state_->stopped = true;
  remove_own(*state_);
  error_code ignored;
  state_->acceptor.close(ignored);
  state_->pause.cancel();
  for (Socket* socket : state_->connections) socket->close(ignored);
}

}  // namespace lbd::serve
