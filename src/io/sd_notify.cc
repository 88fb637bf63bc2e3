#include "io/sd_notify.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "io/fd.h"
#include "io/system_clock.h"
#include "io/system_error.h"

namespace merlon::io {
namespace {

std::optional<long long> number_from_environment(const char* variable) {
  const char* text = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): nobody calls setenv
  if (text == nullptr) return std::nullopt;
  long long value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

Result<> sd_notify(std::string_view assignments) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || *path == '\0') return {};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if ((path[0] != '/' && path[0] != '@') || length >= sizeof address.sun_path)
    return fail(ErrorCode::kInvalidArgument, "NOTIFY_SOCKET is '{}', which is no usable socket address",
                path);
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
  const Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "open a socket to notify systemd");
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  if (sendto(fd.get(), assignments.data(), assignments.size(), MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&address), size) < 0)
    return fail_errno(errno, fmt::format("notify systemd through {}", path));
  return {};
}

Result<> sd_notify_reloading() {
  const auto since_boot =
      std::chrono::duration_cast<std::chrono::microseconds>(monotonic_now().time_since_epoch());
  return sd_notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", since_boot.count()));
}

std::optional<Duration> sd_watchdog_interval() {
  const auto interval_us = number_from_environment("WATCHDOG_USEC");
  if (!interval_us || *interval_us <= 0) return std::nullopt;
  const auto pid = number_from_environment("WATCHDOG_PID");
  if (pid && *pid != getpid()) return std::nullopt;
  return std::chrono::microseconds(*interval_us);
}

}  // namespace merlon::io
