// For the tests of this room: network namespaces of their own, so nothing they do reaches the machine.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "base/ip_address.h"
#include "io/fd.h"

namespace merlon::io::test {

// Runs a shell command in the calling thread's namespace.
inline void shell(const std::string& command) {
  ASSERT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT(concurrency-mt-unsafe,cert-env33-c)
}

inline Fd own_namespace() {
  return Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

// Addresses are of use at once, the kernel's own link-local ones too.
inline void prepare_namespace() {
  shell("ip link set lo up; sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0");
}

// Returns once every veth here that is up carries packets: the kernel notices a carrier up to a second after
// the link is set up, and drops what is sent until then.
inline void links_settle() {
  shell(
      "for i in $(seq 2000); do ip link show type veth up | grep -q 'state DOWN' || exit 0; sleep 0.01; "
      "done; exit 1");
}

// A namespace beside the one the test runs in; alive while this object is.
class Namespace {
 public:
  Namespace() {
    const Fd home = own_namespace();
    EXPECT_EQ(unshare(CLONE_NEWNET), 0);
    fd_ = own_namespace();
    prepare_namespace();
    EXPECT_EQ(setns(home.get(), CLONE_NEWNET), 0);
  }
  // For `ip ... netns PATH`.
  [[nodiscard]] std::string path() const {
    return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_.get());
  }

  // Runs something inside; sockets opened there stay there.
  template <class Body>
  void run(Body body) const {
    const Fd home = own_namespace();
    ASSERT_EQ(setns(fd_.get(), CLONE_NEWNET), 0);
    body();
    ASSERT_EQ(setns(home.get(), CLONE_NEWNET), 0);
  }
  void sh(const std::string& command) const {
    run([&command] { shell(command); });
  }

 private:
  Fd fd_;
};

// Tests of this fixture run each in a thread with a fresh namespace. Body: in_namespace([] { ... }).
class NamespaceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: it makes network namespaces";
    if (std::system("ip -V >/dev/null 2>&1") != 0) GTEST_SKIP() << "needs iproute2";
    const Fd home = own_namespace();
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "this system allows no network namespaces";
    setns(home.get(), CLONE_NEWNET);
    if (access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "needs /dev/net/tun";
  }

  template <class Body>
  static void in_namespace(Body body) {
    std::thread([&body] {
      ASSERT_EQ(unshare(CLONE_NEWNET), 0);
      prepare_namespace();
      body();
    }).join();
  }
};

// Waits up to twenty seconds for an event on a descriptor.
inline bool wait_for(int fd, short events = POLLIN, int milliseconds = 20'000) {
  pollfd entry{fd, events, 0};
  return poll(&entry, 1, milliseconds) == 1 && (entry.revents & events) != 0;
}

inline IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}
inline IpPrefix net(std::string_view text) {
  return *IpPrefix::parse(text);
}

}  // namespace merlon::io::test
