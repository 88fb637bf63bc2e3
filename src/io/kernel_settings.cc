#include "io/kernel_settings.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "io/fd.h"
#include "io/system_error.h"

namespace merlon::io {
namespace {

Result<std::string> path_of(std::string_view name) {
  std::string path(name);
  if (path.find('/') == std::string::npos) std::ranges::replace(path, '.', '/');
  // Names hold device names, and those come from people: none may lead out of the folder.
  if (path.empty() || path.front() == '/' || path.find("..") != std::string::npos ||
      path.find('\0') != std::string::npos)
    return fail(ErrorCode::kInvalidArgument, "'{}' is not the name of a kernel setting", name);
  return "/proc/sys/" + path;
}

std::string device_setting(std::string_view family, std::string_view device, std::string_view setting) {
  return fmt::format("net/{}/conf/{}/{}", family, device, setting);
}

Result<int> read_number(const std::string& name) {
  MERLON_TRY(const std::string text, read_sysctl(name));
  if (text.empty() || text.size() > 9 ||
      !std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }))
    return fail(ErrorCode::kMalformed, "the kernel setting {} should be a number, it is '{}'", name, text);
  return std::stoi(text);
}

}  // namespace

Result<std::string> read_sysctl(std::string_view name) {
  MERLON_TRY(const std::string path, path_of(name));
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, fmt::format("read the kernel setting {}", name));
  char buffer[1024];
  const ssize_t length = read(fd.get(), buffer, sizeof buffer);
  if (length < 0) return fail_errno(errno, fmt::format("read the kernel setting {}", name));
  std::string text(buffer, static_cast<std::size_t>(length));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<> write_sysctl(std::string_view name, std::string_view value) {
  MERLON_TRY(const std::string path, path_of(name));
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, fmt::format("set the kernel setting {} to {}", name, value));
  if (write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return fail_errno(errno, fmt::format("set the kernel setting {} to {}", name, value));
  return {};
}

Result<bool> forwards(IpFamily family) {
  MERLON_TRY(const int value,
             read_number(family == IpFamily::kIpv4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding"));
  return value != 0;
}

Result<ReversePathFilter> reverse_path_filter(std::string_view device) {
  MERLON_TRY(const int all, read_number(device_setting("ipv4", "all", "rp_filter")));
  MERLON_TRY(const int own, read_number(device_setting("ipv4", device, "rp_filter")));
  const int effective = std::max(all, own);
  if (effective <= 0) return ReversePathFilter::kOff;
  return effective == 1 ? ReversePathFilter::kStrict : ReversePathFilter::kLoose;
}

Result<> set_reverse_path_filter(std::string_view device, ReversePathFilter mode) {
  return write_sysctl(device_setting("ipv4", device, "rp_filter"), std::to_string(static_cast<int>(mode)));
}

Result<bool> ipv6_disabled(std::string_view device) {
  if (access("/proc/sys/net/ipv6", F_OK) != 0) return true;
  MERLON_TRY(const int value, read_number(device_setting("ipv6", device, "disable_ipv6")));
  return value != 0;
}

Result<> set_ipv6_disabled(std::string_view device, bool disabled) {
  return write_sysctl(device_setting("ipv6", device, "disable_ipv6"), disabled ? "1" : "0");
}

Result<> disable_ipv6_autoconfiguration(std::string_view device) {
  MERLON_TRY_VOID(write_sysctl(device_setting("ipv6", device, "accept_ra"), "0"));
  return write_sysctl(device_setting("ipv6", device, "addr_gen_mode"), "1");
}

Result<unsigned> link_mtu(std::string_view device) {
  // sysfs shows the namespace in which it was mounted; an ioctl asks the caller's own.
  const Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "open a socket for interface settings");
  ifreq request{};
  if (device.size() >= sizeof request.ifr_name)
    return fail(ErrorCode::kInvalidArgument, "'{}' is longer than a device name can be", device);
  std::ranges::copy(device, request.ifr_name);
  if (ioctl(fd.get(), SIOCGIFMTU, &request) != 0)
    return fail_errno(errno, fmt::format("read the MTU of {}", device));
  return static_cast<unsigned>(request.ifr_mtu);
}

}  // namespace merlon::io
