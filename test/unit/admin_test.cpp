#include "lb/serve/admin.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

using namespace lbd;
using namespace std::chrono_literals;
namespace json = boost::json;

namespace {

/// A directory of its own, removed at the end.
struct TempDirectory {
  std::filesystem::path path;
  TempDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "lbd-admin-XXXXXX").native();
    path = ::mkdtemp(name.data());
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() { std::filesystem::remove_all(path); }
};

json::object echo(const json::object& request) {
  if (request.at("command") == "refuse") return serve::failure(serve::ExitCode::refused, {"no"});
  if (request.at("command") == "throw") throw std::runtime_error{"oops"};
  if (request.at("command") == "big") return serve::success(std::string(8 << 20, 'x').c_str());
  return serve::success(request);
}

Result<serve::AdminServer> open_at(boost::asio::io_context& io, const std::filesystem::path& path,
                                   const Log& log, serve::AdminLimits limits = {}) {
  return serve::AdminServer::open(io, path, echo, log, limits);
}

/// A server that runs in its own thread, as the daemon would.
class Running {
 public:
  explicit Running(const std::filesystem::path& path, serve::AdminLimits limits = {}) {
    auto opened = open_at(io_, path, log_, limits);
    INFO((opened ? std::string{} : opened.error().message()));
    REQUIRE(opened.has_value());
    server_.emplace(std::move(*opened));
    thread_ = std::thread{[this] { io_.run(); }};
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    // run() returns when the last coroutine has ended: a test that hangs here found a leak.
    boost::asio::post(io_, [this] { server_->stop(); });
    thread_.join();
  }

 private:
  Log log_{Level::error};
  boost::asio::io_context io_;
  std::optional<serve::AdminServer> server_;
  std::thread thread_;
};

/// A client that gives up after 5 s, so that no test hangs.
class Client {
 public:
  explicit Client(const std::filesystem::path& path)
      : fd_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    const timeval limit{5, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  [[nodiscard]] bool connected() const { return connected_; }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the server closed: what it answered is what counts
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  /// The next line without its end; what there is where the server closes or is silent.
  std::string line() {
    while (received_.find('\n') == std::string::npos) {
      char chunk[65536];
      const ssize_t count = ::recv(fd_, chunk, sizeof(chunk), 0);
      if (count <= 0) return std::exchange(received_, "");
      received_.append(chunk, static_cast<std::size_t>(count));
    }
    const std::size_t end = received_.find('\n');
    std::string first = received_.substr(0, end);
    received_.erase(0, end + 1);
    return first;
  }
  /// Whether the server closes within the 5 s, without saying more.
  [[nodiscard]] bool closed() const {
    char byte = 0;
    const ssize_t count = ::recv(fd_, &byte, 1, 0);
    return count == 0 || (count < 0 && errno == ECONNRESET);
  }

 private:
  int fd_;
  bool connected_ = false;
  std::string received_;
};

}  // namespace

TEST_CASE("any line on the admin socket gets one answer") {
  struct Case {
    const char* request;
    const char* answer;  // how it starts
  };
  const Case cases[] = {
      {R"({"command":"status"})", R"({"ok":true,"result":{"command":"status"}})"},
      {R"( {"command":"reload","breakFlows":true} )",
       R"({"ok":true,"result":{"command":"reload","breakFlows":true}})"},
      {R"({"command":"refuse"})", R"({"ok":false,"exitCode":1,"errors":["no"]})"},
      {R"({"command":"throw"})", R"({"ok":false,"exitCode":1,"errors":["internal error: oops"]})"},
      {R"({"command":7})",
       R"({"ok":false,"exitCode":1,"errors":["the request has no \"command\" string"]})"},
      {"{}", R"({"ok":false,"exitCode":1,"errors":["the request has no \"command\" string"]})"},
      {"[]", R"({"ok":false,"exitCode":1,"errors":["the request is no JSON object"]})"},
      {"", R"({"ok":false,"exitCode":1,"errors":["the request is no JSON: )"},
      {R"({"command":"status")", R"({"ok":false,"exitCode":1,"errors":["the request is no JSON: )"},
      {"\xff\xfe", R"({"ok":false,"exitCode":1,"errors":["the request is no JSON: )"},
  };
  const TempDirectory directory;
  const Running server{directory.path / "lbd.sock"};
  Client client{directory.path / "lbd.sock"};  // one connection for all of them
  for (const Case& c : cases) {
    INFO(c.request);
    CHECK_THAT(serve::answer(c.request, echo), Catch::Matchers::StartsWith(c.answer));
    client.send(std::string{c.request} + "\n");
    CHECK_THAT(client.line(), Catch::Matchers::StartsWith(c.answer));
  }
  CHECK_THAT(serve::answer(std::string(60000, '['), echo),
             Catch::Matchers::StartsWith(R"({"ok":false,)"));
}

TEST_CASE("a request may come in pieces, two may come at once") {
  const TempDirectory directory;
  const Running server{directory.path / "lbd.sock"};
  Client client{directory.path / "lbd.sock"};
  client.send(R"({"comm)");
  client.send("and\":\"a\"}\n{\"command\":\"b\"}\n");
  CHECK(client.line() == R"({"ok":true,"result":{"command":"a"}})");
  CHECK(client.line() == R"({"ok":true,"result":{"command":"b"}})");
}

TEST_CASE("a request line has at most the limit's bytes") {
  const TempDirectory directory;
  const Running server{directory.path / "lbd.sock"};
  const std::string start = R"({"command":"a","x":")";
  const auto request = [&](std::size_t bytes) {
    return start + std::string(bytes - start.size() - 3, 'x') + "\"}\n";
  };
  Client within{directory.path / "lbd.sock"};
  within.send(request(65536));
  CHECK_THAT(within.line(), Catch::Matchers::StartsWith(R"({"ok":true,)"));

  Client beyond{directory.path / "lbd.sock"};
  beyond.send(request(65537));
  CHECK_THAT(beyond.line(), Catch::Matchers::Contains("no line end within 65536 bytes"));
  CHECK(beyond.closed());
}

TEST_CASE("a connection that waits too long is closed, others go on") {
  const TempDirectory directory;
  serve::AdminLimits limits;
  limits.wait_max = 50ms;
  const Running server{directory.path / "lbd.sock", limits};
  const Client silent{directory.path / "lbd.sock"};
  Client slow_reader{directory.path / "lbd.sock"};
  slow_reader.send("{\"command\":\"big\"}\n");  // and takes nothing
  Client other{directory.path / "lbd.sock"};
  other.send("{\"command\":\"a\"}\n");
  CHECK(other.line() == R"({"ok":true,"result":{"command":"a"}})");
  CHECK(silent.closed());
  // Long after the limit, what the socket's buffer held is all there is.
  std::this_thread::sleep_for(200ms);
  CHECK(slow_reader.line().size() < (8U << 20));
}

TEST_CASE("one connection more than the limit is told so") {
  const TempDirectory directory;
  serve::AdminLimits limits;
  limits.connections_max = 2;
  const Running server{directory.path / "lbd.sock", limits};
  Client first{directory.path / "lbd.sock"};
  {
    Client second{directory.path / "lbd.sock"};
    for (Client* client : {&first, &second}) {
      client->send("{\"command\":\"a\"}\n");
      CHECK_THAT(client->line(), Catch::Matchers::StartsWith(R"({"ok":true,)"));
    }
    Client third{directory.path / "lbd.sock"};
    CHECK_THAT(third.line(), Catch::Matchers::Contains("too many connections"));
    CHECK(third.closed());
  }
  // The second left; its place is free as soon as the server has seen that.
  std::string answer;
  for (int i = 0; i < 500 && answer.rfind(R"({"ok":true,)", 0) != 0; i++) {
    Client next{directory.path / "lbd.sock"};
    next.send("{\"command\":\"a\"}\n");
    answer = next.line();
  }
  CHECK(answer == R"({"ok":true,"result":{"command":"a"}})");
}

TEST_CASE("the socket is root's own, its directories are made, and both outlive no clean stop") {
  const TempDirectory directory;
  const auto path = directory.path / "a" / "b" / "lbd.sock";
  {
    const Running server{path};
    struct stat file {};
    REQUIRE(::stat(path.c_str(), &file) == 0);
    CHECK((file.st_mode & 07777) == 0600);
    REQUIRE(::stat(path.parent_path().c_str(), &file) == 0);
    CHECK((file.st_mode & 07777 & ~0755U) == 0);
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("what is at the socket's path already decides whether the server opens") {
  const TempDirectory directory;
  const auto path = directory.path / "lbd.sock";
  const Log log{Level::error};
  boost::asio::io_context io;

  SECTION("a socket that nobody answers on is replaced") {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    ::close(fd);
    const Running server{path};
    Client client{path};
    client.send("{\"command\":\"a\"}\n");
    CHECK(client.line() == R"({"ok":true,"result":{"command":"a"}})");
  }
  SECTION("a socket that somebody answers on stays theirs") {
    const Running server{path};
    const auto second = open_at(io, path, log);
    REQUIRE_FALSE(second.has_value());
    CHECK_THAT(second.error().message(), Catch::Matchers::Contains("another process answers"));
    Client client{path};
    client.send("{\"command\":\"a\"}\n");
    CHECK(client.line() == R"({"ok":true,"result":{"command":"a"}})");
  }
  SECTION("a file that is no socket is never removed") {
    std::ofstream{path} << "precious";
    const auto server = open_at(io, path, log);
    REQUIRE_FALSE(server.has_value());
    CHECK_THAT(server.error().message(), Catch::Matchers::Contains("no socket"));
    CHECK(std::filesystem::file_size(path) == 8);
  }
  SECTION("a socket that another daemon has put there since is left alone") {
    {
      const Running server{path};
      std::filesystem::rename(path, directory.path / "old.sock");
      std::ofstream{path} << "theirs";
    }
    CHECK(std::filesystem::exists(path));
  }
  SECTION("a path that a socket address can't hold is an error") {
    const auto server = open_at(io, directory.path / std::string(108, 'x'), log);
    REQUIRE_FALSE(server.has_value());
    CHECK_THAT(server.error().message(), Catch::Matchers::Contains("1..107 bytes"));
  }
}

TEST_CASE("a server and its connections may end before or with their io_context") {
  const TempDirectory directory;
  const auto path = directory.path / "lbd.sock";
  const Log log{Level::error};
  boost::asio::io_context io;
  auto server = open_at(io, path, log);
  REQUIRE(server.has_value());
  const Client client{path};
  REQUIRE(client.connected());
  io.run_for(20ms);
  SECTION("stopped, then run to the end") {
    server->stop();
    io.restart();
    io.run_for(5s);
    CHECK(io.stopped());  // nothing was left to do
    CHECK(client.closed());
  }
  SECTION("destroyed with connections waiting") {
    // ~server, then ~io: the sanitizers see what would be wrong.
  }
}
