#include "lbctl/client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <string_view>
#include <utility>

namespace lbd::lbctl {
namespace {

using boost::json::object;
using boost::json::value;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr seconds connect_wait_max{10};

/// A connection that closes itself.
class Connection {
 public:
  explicit Connection(int fd) : fd_{fd} {}
  Connection(Connection&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  Connection& operator=(Connection&&) = delete;
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

/// The most that the next send, connect or receive may take.
void limit(const Connection& connection, int option, std::chrono::microseconds wait_max) {
  // 0 would mean for ever.
  const auto micros = std::max<std::int64_t>(wait_max.count(), 1);
  const timeval time{micros / 1'000'000, micros % 1'000'000};
  ::setsockopt(connection.fd(), SOL_SOCKET, option, &time, sizeof(time));
}

/// The reason with what to do about the commonest ones.
Error cannot_reach(int errno_value) {
  std::string reason = errno_error("connect", errno_value).message();
  if (errno_value == ENOENT || errno_value == ECONNREFUSED) reason += "; is lbd running?";
  if (errno_value == EACCES) reason += "; lbctl needs root";
  if (errno_value == EAGAIN) reason = "connect: the daemon is too busy";
  return Error{reason};
}

Result<Connection> connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return Error{fmt::format("a path of 1..{} bytes is expected", sizeof(address.sun_path) - 1)};
  path.copy(address.sun_path, path.size());
  Connection connection{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (connection.fd() < 0) return errno_error("open a socket", errno);
  limit(connection, SO_SNDTIMEO, connect_wait_max);
  if (::connect(connection.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return cannot_reach(errno);
  return connection;
}

Result<> send(const Connection& connection, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(connection.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EPIPE) return {};  // it may have said why: receive() looks
    if (sent < 0) return errno_error("send the request", errno);
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Result<std::string> receive_line(const Connection& connection, seconds wait_max) {
  const auto deadline = Clock::now() + wait_max;
  std::string line;
  std::array<char, 65536> chunk;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now());
    if (left.count() <= 0) return Error{fmt::format("no answer within {} s", wait_max.count())};
    limit(connection, SO_RCVTIMEO, left);
    const ssize_t count = ::recv(connection.fd(), chunk.data(), chunk.size(), 0);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return errno_error("receive the answer", errno);
    if (count == 0) return Error{"the daemon closed the connection without an answer"};
    const std::string_view received{chunk.data(), static_cast<std::size_t>(count)};
    const std::size_t end = received.find('\n');
    line += received.substr(0, end);
    if (end != std::string_view::npos) return {boost::system::in_place_value, std::move(line)};
  }
}

/// The daemon is another version perhaps: nothing in its answer is taken for granted.
Result<Answer> understand(std::string_view line) {
  // A file name in an error is any bytes.
  boost::json::parse_options lenient;
  lenient.allow_invalid_utf8 = true;
  boost::json::error_code error;
  value parsed = boost::json::parse(line, error, {}, lenient);
  const Error misunderstood{"the daemon's answer is not what lbctl expects"};
  if (error || !parsed.is_object()) return misunderstood;
  object& fields = parsed.get_object();
  const value* ok = fields.if_contains("ok");
  if (ok == nullptr || !ok->is_bool()) return misunderstood;
  Answer answer;
  if (ok->get_bool()) {
    if (value* result = fields.if_contains("result")) answer.result = std::move(*result);
    return answer;
  }
  const value* exit_code = fields.if_contains("exitCode");
  answer.exit_code = exit_code != nullptr && *exit_code == 2 ? 2 : 1;
  const value* errors = fields.if_contains("errors");
  if (errors != nullptr && errors->is_array())
    for (const value& one : errors->get_array())
      if (one.is_string()) answer.errors.emplace_back(one.get_string());
  if (answer.errors.empty()) answer.errors.emplace_back("refused, and no reason given");
  return answer;
}

}  // namespace

Result<Answer> ask(const std::string& socket_path, const object& request, seconds answer_wait_max) {
  auto connection = connect(socket_path);
  if (!connection) return std::move(connection).error().in(socket_path);
  if (auto sent = send(*connection, boost::json::serialize(request) + "\n"); !sent)
    return std::move(sent).error().in(socket_path);
  auto line = receive_line(*connection, answer_wait_max);
  if (!line) return std::move(line).error().in(socket_path);
  auto answer = understand(*line);
  if (!answer) return std::move(answer).error().in(socket_path);
  return answer;
}

}  // namespace lbd::lbctl
