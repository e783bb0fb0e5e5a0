// Two network namespaces for the router's tests: this thread's, and one at the other end of its
// links. Needs root; where it can't be made the test fails.
#pragma once
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace lbd::test {

inline constexpr const char* near_mac = "02:00:00:00:00:01";
inline constexpr const char* far_mac = "02:00:00:00:00:02";

/// A network namespace that a child process holds: it is gone when the child is.
class Far {
 public:
  Far() {
    std::array<int, 2> ready{};
    REQUIRE(pipe(ready.data()) == 0);
    child_ = fork();
    if (child_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const char made = unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
      if (write(ready[1], &made, 1) != 1) _exit(1);
      for (;;) pause();
    }
    close(ready[1]);
    char made = 'n';
    const bool answered = read(ready[0], &made, 1) == 1;
    close(ready[0]);
    REQUIRE(child_ > 0);
    REQUIRE(answered);
    REQUIRE(made == 'y');
  }
  Far(const Far&) = delete;
  Far& operator=(const Far&) = delete;
  ~Far() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  [[nodiscard]] int pid() const { return child_; }

 private:
  int child_ = 0;
};

/// While it lives, this thread is in a namespace of its own.
class Near {
 public:
  Near() : before_{open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)} {
    REQUIRE(before_ >= 0);
    REQUIRE(unshare(CLONE_NEWNET) == 0);
  }
  Near(const Near&) = delete;
  Near& operator=(const Near&) = delete;
  ~Near() {
    if (setns(before_, CLONE_NEWNET) != 0) std::abort();  // no other test may run in here
    close(before_);
  }

 private:
  int before_;
};

/// near0 (10.1.0.1, fd01::1; 02:…:01) – far0 (10.1.0.2, fd01::2; 02:…:02), and near1 – far1
/// (10.2.0.x, fd02::x) likewise, without fixed MACs. Neighbours that don't answer fail quickly.
class Lab {
 public:
  Lab() {
    near("link set lo up");
    for (const int i : {0, 1}) {
      near(fmt::format("link add near{0} type veth peer name far{0} netns {1}", i, far_.pid()));
      // Addresses of the link's own scope at once, not a second after it is up.
      near(fmt::format("link set near{} addrgenmode none", i));
      far(fmt::format("link set far{} addrgenmode none", i));
      near(fmt::format("addr add fe80::1/64 dev near{} nodad", i));
      far(fmt::format("addr add fe80::2/64 dev far{} nodad", i));
      if (i == 0) near(fmt::format("link set near0 address {}", near_mac));
      if (i == 0) far(fmt::format("link set far0 address {}", far_mac));
      near(fmt::format("addr add 10.{}.0.1/24 dev near{}", i + 1, i));
      near(fmt::format("addr add fd0{}::1/64 dev near{} nodad", i + 1, i));
      far(fmt::format("addr add 10.{}.0.2/24 dev far{}", i + 1, i));
      far(fmt::format("addr add fd0{}::2/64 dev far{} nodad", i + 1, i));
      far(fmt::format("link set far{} up", i));
      near(fmt::format("link set near{} up", i));
      // A new MAC is believed at once, not only a second after the last.
      set(fmt::format("net/ipv4/neigh/near{}/locktime", i), "0");
    }
    // The far ends hear IPv6 multicast, as solicitations are, some time after they are up.
    run("ping -q -c 1 -i 0.1 -w 5 fe80::2%near0 >/dev/null");
    run("ping -q -c 1 -i 0.1 -w 5 fe80::2%near1 >/dev/null");
    for (const int i : {0, 1}) {
      near(fmt::format("neigh flush dev near{}", i));
      for (const char* family : {"ipv4", "ipv6"}) {
        set(fmt::format("net/{}/neigh/near{}/retrans_time_ms", family, i), "100");
        set(fmt::format("net/{}/neigh/near{}/mcast_solicit", family, i), "3");
        set(fmt::format("net/{}/neigh/near{}/interval_probe_time_ms", family, i), "500");
      }
    }
  }

  void near(const std::string& arguments) { run("ip " + arguments); }
  void far(const std::string& arguments) { far_shell("ip " + arguments); }
  void far_shell(const std::string& command) {
    run(fmt::format("nsenter --net=/proc/{}/ns/net {}", far_.pid(), command));
  }
  /// That the near ends, too, hear multicast: the far ones have to ask for their addresses.
  void await_hearing() {
    for (const int i : {0, 1}) {
      far(fmt::format("neigh flush dev far{}", i));
      far_shell(fmt::format("ping -q -c 1 -i 0.1 -w 5 fe80::1%far{} >/dev/null", i));
    }
  }
  /// What `ip ARGUMENTS` prints.
  static std::string show(const std::string& arguments) {
    std::FILE* output = popen(("ip " + arguments).c_str(), "r");
    REQUIRE(output != nullptr);
    std::string text;
    std::array<char, 4096> part{};
    while (const std::size_t size = std::fread(part.data(), 1, part.size(), output))
      text.append(part.data(), size);
    pclose(output);
    return text;
  }
  static void set(const std::string& sysctl, const std::string& value) {
    std::ofstream file{"/proc/sys/" + sysctl};
    file << value << std::flush;
    INFO(sysctl);
    REQUIRE(file.good());
  }
  /// Many lines for one `ip`.
  static void batch(const std::string& lines) {
    std::FILE* input = popen("ip -batch -", "w");
    REQUIRE(input != nullptr);
    std::fwrite(lines.data(), 1, lines.size(), input);
    REQUIRE(pclose(input) == 0);
  }

 private:
  static void run(const std::string& command) {
    INFO(command);
    REQUIRE(std::system(command.c_str()) == 0);
  }

  Near near_;
  Far far_;
};

}  // namespace lbd::test
