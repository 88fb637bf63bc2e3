// The control socket: a stream socket in the file system, and who is at its other end.
#pragma once

#include <sys/types.h>

#include <string>

#include "io/fd.h"

namespace merlon::io {

struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

// A listening AF_UNIX stream socket, nonblocking. Its file goes with it (unless another process has put its
// own there since).
class UnixListener {
 public:
  struct Options {
    std::string path = {};  // at most 107 bytes; its folder must exist
    mode_t mode = 0660;
    std::string group =
        {};  // the file's group; empty: the process's own. kNotFound if there is no such group
    int backlog = 64;
  };
  // Takes over a path that a killed process left (nobody listens there); an error if somebody does.
  [[nodiscard]] static Result<UnixListener> open(const Options& options);

  UnixListener(UnixListener&& from) noexcept;
  UnixListener& operator=(UnixListener&& from) noexcept;
  ~UnixListener();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  // The next waiting client (nonblocking, close-on-exec); an empty Fd when none waits.
  [[nodiscard]] Result<Fd> accept();
  // Gives the listening descriptor away, to asio for one. The file stays with this object.
  [[nodiscard]] Fd release_fd() { return std::move(fd_); }

 private:
  UnixListener(Fd fd, std::string path, dev_t device, ino_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode) {}
  void remove_file();
  Fd fd_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// Who connected (SO_PEERCRED): the credentials at the time of connect(2), vouched for by the kernel.
[[nodiscard]] Result<PeerCredentials> peer_credentials(int connected_fd);

// Connects to a listening stream socket, blocking mode. kNotFound: no such file; kSystem with ECONNREFUSED's
// text: nobody listens.
[[nodiscard]] Result<Fd> connect_unix(const std::string& path);

}  // namespace merlon::io
