#include "io/unix_socket.h"

#include <fmt/format.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "io/system_error.h"

namespace merlon::io {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path || path.find('\0') != std::string::npos)
    return fail(ErrorCode::kInvalidArgument, "a socket's path has 1 to {} bytes, '{}' has {}",
                sizeof address.sun_path - 1, path, path.size());
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<gid_t> group_id(const std::string& group_name) {
  std::vector<char> buffer(16384);
  ::group entry{};
  ::group* found = nullptr;
  const int error = getgrnam_r(group_name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (error != 0) return fail_errno(error, fmt::format("look up the group '{}'", group_name));
  if (found == nullptr) return fail(ErrorCode::kNotFound, "there is no group '{}'", group_name);
  return found->gr_gid;
}

int bind_to(const Fd& fd, const sockaddr_un& address) {
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

// A socket file without a listener refuses connections: a killed process left it.
bool is_abandoned(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const auto address = address_of(path);
  const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return address && probe &&
         connect(probe.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0 &&
         errno == ECONNREFUSED;
}

}  // namespace

Result<UnixListener> UnixListener::open(const Options& options) {
  MERLON_TRY(const sockaddr_un address, address_of(options.path));
  gid_t group = static_cast<gid_t>(-1);
  if (!options.group.empty()) {
    MERLON_TRY(group, group_id(options.group));
  }
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "open a UNIX socket");
  const std::string attempt = fmt::format("listen on {}", options.path);
  int error = bind_to(fd, address);
  if (error == EADDRINUSE && is_abandoned(options.path)) {
    unlink(options.path.c_str());
    error = bind_to(fd, address);
  }
  if (error != 0) return fail_errno(error, attempt);
  // Nobody can connect before listen(), so the file may have too open a mode until here.
  struct stat status {};
  if (lstat(options.path.c_str(), &status) != 0) return fail_errno(errno, attempt);
  UnixListener listener(std::move(fd), options.path, status.st_dev, status.st_ino);
  if (!options.group.empty() && chown(options.path.c_str(), static_cast<uid_t>(-1), group) != 0)
    return fail_errno(errno, fmt::format("give {} to the group '{}'", options.path, options.group));
  if (chmod(options.path.c_str(), options.mode) != 0)
    return fail_errno(errno, fmt::format("set the mode of {}", options.path));
  if (listen(listener.fd(), options.backlog) != 0) return fail_errno(errno, attempt);
  return listener;
}

UnixListener::UnixListener(UnixListener&& from) noexcept
    : fd_(std::move(from.fd_)),
      path_(std::exchange(from.path_, {})),
      device_(from.device_),
      inode_(from.inode_) {}

UnixListener& UnixListener::operator=(UnixListener&& from) noexcept {
  if (this == &from) return *this;
  remove_file();
  fd_ = std::move(from.fd_);
  path_ = std::exchange(from.path_, {});
  device_ = from.device_;
  inode_ = from.inode_;
  return *this;
}

UnixListener::~UnixListener() {
  remove_file();
}

void UnixListener::remove_file() {
  struct stat status {};
  if (path_.empty() || lstat(path_.c_str(), &status) != 0) return;
  if (status.st_dev == device_ && status.st_ino == inode_) unlink(path_.c_str());
}

Result<Fd> UnixListener::accept() {
  for (;;) {
    Fd client(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client) return client;
    if (errno == EAGAIN) return Fd();
    if (errno != EINTR && errno != ECONNABORTED)
      return fail_errno(errno, fmt::format("accept a client on {}", path_));
  }
}

Result<PeerCredentials> peer_credentials(int connected_fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(connected_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return fail_errno(errno, "read the credentials of the control socket's client");
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Result<Fd> connect_unix(const std::string& path) {
  MERLON_TRY(const sockaddr_un address, address_of(path));
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "open a UNIX socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, fmt::format("connect to {}", path));
  return fd;
}

}  // namespace merlon::io
