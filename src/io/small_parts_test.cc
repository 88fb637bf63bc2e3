// The parts of the room that need neither root nor a namespace.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <thread>

#include "io/fd.h"
#include "io/kernel_settings.h"
#include "io/privileges.h"
#include "io/resolver.h"
#include "io/sd_notify.h"
#include "io/send_outcome.h"
#include "io/system_clock.h"
#include "io/system_error.h"
#include "io/system_rng.h"
#include "io/thread_name.h"
#include "io/unix_socket.h"

namespace merlon::io {
namespace {

bool is_open(int fd) {
  return fcntl(fd, F_GETFD) != -1;
}

std::string scratch_path(std::string_view name) {
  return fmt::format("{}/merlon-io-test-{}-{}", testing::TempDir(), getpid(), name);
}

TEST(Fd, ClosesOnceAndMoves) {
  int pair[2];
  ASSERT_EQ(pipe2(pair, O_CLOEXEC), 0);
  const Fd reader(pair[0]);
  {
    Fd writer(pair[1]);
    Fd moved(std::move(writer));
    EXPECT_FALSE(writer);  // NOLINT(bugprone-use-after-move): what a moved-from Fd is, is the point
    EXPECT_EQ(moved.get(), pair[1]);
    const auto copy = moved.duplicate();
    ASSERT_TRUE(copy);
    EXPECT_NE(copy->get(), pair[1]);
    EXPECT_TRUE((fcntl(copy->get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  EXPECT_FALSE(is_open(pair[1]));
  EXPECT_TRUE(is_open(pair[0]));
}

TEST(SystemClock, GoesOn) {
  const Now before = system_now();
  const Instant after = monotonic_now();
  EXPECT_LE(before.monotonic, after);
  EXPECT_GT(before.wall.time_since_epoch().count(), 1'700'000'000);  // November 2023
}

TEST(SystemRng, FillsEveryLength) {
  SystemRng rng;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{255}, std::size_t{257}, std::size_t{100'000}})
    EXPECT_EQ(rng.bytes(size).size(), size);
  std::set<Bytes> drawn;
  for (int i = 0; i < 100; ++i) drawn.insert(rng.bytes(16));
  EXPECT_EQ(drawn.size(), 100U);
  // The last byte of a long draw is drawn as well.
  std::set<std::uint8_t> last;
  for (int i = 0; i < 50; ++i) last.insert(rng.bytes(1000).back());
  EXPECT_GT(last.size(), 5U);
}

TEST(ThreadName, IsCutToWhatTheKernelKeeps) {
  std::thread([] {
    set_thread_name("a-name-that-is-too-long");
    char name[16] = {};
    prctl(PR_GET_NAME, name);
    EXPECT_STREQ(name, "a-name-that-is-");
  }).join();
}

TEST(SendOutcome, ClassifiesErrno) {
  EXPECT_EQ(classify_send_errno(0), SendOutcome::kSent);
  EXPECT_EQ(classify_send_errno(EWOULDBLOCK), SendOutcome::kWouldBlock);
  EXPECT_EQ(classify_send_errno(ENOBUFS), SendOutcome::kNoBuffers);
  EXPECT_EQ(classify_send_errno(ENETUNREACH), SendOutcome::kUnreachable);
  EXPECT_EQ(classify_send_errno(EHOSTUNREACH), SendOutcome::kUnreachable);
  EXPECT_EQ(classify_send_errno(EPERM), SendOutcome::kRefusedByPolicy);
  EXPECT_EQ(classify_send_errno(EMSGSIZE), SendOutcome::kTooBig);
  EXPECT_EQ(classify_send_errno(ECONNREFUSED), SendOutcome::kPeerRefused);
  EXPECT_EQ(classify_send_errno(ENETDOWN), SendOutcome::kDeviceDown);
  EXPECT_EQ(classify_send_errno(EFAULT), SendOutcome::kFailed);
  EXPECT_TRUE(is_transient(SendOutcome::kNoBuffers));
  EXPECT_FALSE(is_transient(SendOutcome::kTooBig));
}

TEST(SystemError, SaysWhatWasAttempted) {
  const Result<> result = fail_errno(EADDRINUSE, "bind a UDP socket to 0.0.0.0:500");
  EXPECT_EQ(
      result.error().message,
      "cannot bind a UDP socket to 0.0.0.0:500: Address already in use (another program uses it already)");
  EXPECT_EQ(code_of_errno(ENODEV), ErrorCode::kNotFound);
}

TEST(Resolver, TakesLiteralsAndNames) {
  const auto literal = resolve_blocking("2001:db8::1", std::nullopt);
  ASSERT_TRUE(literal);
  EXPECT_EQ(literal->front().to_string(), "2001:db8::1");
  EXPECT_EQ(resolve_blocking("192.0.2.1", IpFamily::kIpv6).error().code, ErrorCode::kNotFound);
  const auto localhost = resolve_blocking("localhost", IpFamily::kIpv4);
  ASSERT_TRUE(localhost) << localhost.error().message;
  EXPECT_EQ(localhost->front().to_string(), "127.0.0.1");
  EXPECT_EQ(localhost->size(), 1U);
}

TEST(KernelSettings, RefusesNamesThatLeadElsewhere) {
  EXPECT_EQ(read_sysctl("../../etc/passwd").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(read_sysctl("/etc/passwd").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(read_sysctl("").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(read_sysctl("net.no.such").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(link_mtu("no-such-device0").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(link_mtu("a-name-that-is-too-long").error().code, ErrorCode::kInvalidArgument);
}

TEST(SdNotify, SendsWhereSystemdListens) {
  unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(sd_notify("READY=1"));

  const std::string path = scratch_path("notify");
  const Fd listener(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  ASSERT_TRUE(sd_notify("READY=1\nSTATUS=1 tunnel up"));
  char buffer[200];
  const ssize_t length = recv(listener.get(), buffer, sizeof buffer, 0);
  EXPECT_EQ(std::string(buffer, static_cast<std::size_t>(length)), "READY=1\nSTATUS=1 tunnel up");
  ASSERT_TRUE(sd_notify_reloading());
  const ssize_t reloading = recv(listener.get(), buffer, sizeof buffer, 0);
  EXPECT_TRUE(
      std::string(buffer, static_cast<std::size_t>(reloading)).starts_with("RELOADING=1\nMONOTONIC_USEC="));
  setenv("NOTIFY_SOCKET", "relative/path", 1);
  EXPECT_EQ(sd_notify("READY=1").error().code, ErrorCode::kInvalidArgument);
  unsetenv("NOTIFY_SOCKET");
  unlink(path.c_str());
}

TEST(SdNotify, ReadsTheWatchdogInterval) {
  unsetenv("WATCHDOG_USEC");
  EXPECT_EQ(sd_watchdog_interval(), std::nullopt);
  setenv("WATCHDOG_USEC", "3000000", 1);
  EXPECT_EQ(sd_watchdog_interval(), std::chrono::seconds(3));
  setenv("WATCHDOG_PID", "1", 1);  // another process's
  EXPECT_EQ(sd_watchdog_interval(), std::nullopt);
  setenv("WATCHDOG_USEC", "3s", 1);
  unsetenv("WATCHDOG_PID");
  EXPECT_EQ(sd_watchdog_interval(), std::nullopt);
  unsetenv("WATCHDOG_USEC");
}

TEST(UnixSocket, ListensTellsWhoCameAndCleansUp) {
  const std::string path = scratch_path("control");
  {
    auto listener = UnixListener::open({.path = path, .mode = 0600, .group = {}, .backlog = 8});
    ASSERT_TRUE(listener) << listener.error().message;
    struct stat status {};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    const auto nobody = listener->accept();
    ASSERT_TRUE(nobody);
    EXPECT_FALSE(*nobody);
    const auto client = connect_unix(path);
    ASSERT_TRUE(client) << client.error().message;
    const auto accepted = listener->accept();
    ASSERT_TRUE(accepted && *accepted);
    const auto credentials = peer_credentials(accepted->get());
    ASSERT_TRUE(credentials);
    EXPECT_EQ(credentials->pid, getpid());
    EXPECT_EQ(credentials->uid, geteuid());
    // Somebody listens there: it is not taken away from them.
    EXPECT_FALSE(UnixListener::open({.path = path, .mode = 0600, .group = {}, .backlog = 8}));
    UnixListener moved(std::move(*listener));
    EXPECT_EQ(moved.path(), path);
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  EXPECT_EQ(connect_unix(path).error().code, ErrorCode::kNotFound);
}

TEST(UnixSocket, TakesOverWhatAKilledProcessLeft) {
  const std::string path = scratch_path("left-behind");
  {
    const Fd killed(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(killed.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(killed.get(), 1), 0);
  }
  ASSERT_EQ(access(path.c_str(), F_OK), 0);
  EXPECT_TRUE(UnixListener::open({.path = path, .mode = 0600, .group = {}, .backlog = 8}));
}

TEST(UnixSocket, RefusesWhatCanNotBe) {
  EXPECT_EQ(UnixListener::open({.path = std::string(200, 'x')}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(UnixListener::open({.path = scratch_path("x"), .group = "no-such-group"}).error().code,
            ErrorCode::kNotFound);
  const std::string file = scratch_path("plain-file");
  close(open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_FALSE(UnixListener::open({.path = file}));
  EXPECT_EQ(access(file.c_str(), F_OK), 0) << "a file that is no socket must stay";
  unlink(file.c_str());
}

TEST(Privileges, NamesWhatIsMissingAndKeepsOnlyWhatIsNeeded) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root: it gives capabilities up";
  const pid_t child = fork();  // what is given up does not come back
  if (child == 0) {
    const Capability needed[] = {Capability::kNetAdmin};
    const Capability more[] = {Capability::kNetAdmin, Capability::kNetRaw};
    if (!require_capabilities(more)) _exit(2);
    if (!keep_only(needed)) _exit(3);
    if (!*has_capability(Capability::kNetAdmin) || *has_capability(Capability::kNetRaw)) _exit(4);
    const auto missing = require_capabilities(more);
    if (missing || missing.error().message.find("CAP_NET_RAW (for native ESP") == std::string::npos) _exit(5);
    if (missing.error().message.find("CAP_NET_ADMIN") != std::string::npos) _exit(6);
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) _exit(7);
    if (prctl(PR_CAPBSET_READ, 13, 0, 0, 0) != 0 || prctl(PR_CAPBSET_READ, 12, 0, 0, 0) != 1) _exit(8);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "root here has no CAP_NET_ADMIN and CAP_NET_RAW";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace merlon::io
