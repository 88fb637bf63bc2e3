// Answers `merlon` on the control socket (control/protocol.h). Root and the socket's group may speak; what a client may see
// or do beyond that is decided here.
#pragma once

#include <asio/local/stream_protocol.hpp>
#include <memory>
#include <optional>
#include <set>

#include "daemon/gateway.h"
#include "io/unix_socket.h"

namespace merlon::daemon {

class ControlSession;

class ControlServer {
 public:
  // Creates the socket's folder where it is missing. `stop` is called when a client asks the daemon to stop; `metrics`
  // gives the metrics page.
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> open(asio::io_context& context,
                                                                   Gateway& gateway, const std::string& path,
                                                                   std::function<void()> stop,
                                                                   std::function<std::string()> metrics);
  ~ControlServer();
  void close();

  // A connected client, and who the kernel says it is. Beyond kMaxSessions it is hung up on.
  void serve(io::Fd client, const io::PeerCredentials& peer);

  // After each settled change of the gateway: sessions that wait for a connection look again.
  void settled();

 private:
  friend class ControlSession;
  ControlServer(asio::io_context& context, Gateway& gateway, io::UnixListener listener,
                std::function<void()> stop, std::function<std::string()> metrics);
  void accept();
  void accept_later();

  static constexpr std::size_t kMaxSessions = 128;
  asio::io_context& context_;
  Gateway& gateway_;
  io::UnixListener listener_;
  asio::posix::stream_descriptor acceptor_;
  asio::steady_timer pause_;
  std::function<void()> stop_;
  std::function<std::string()> metrics_;
  std::set<std::shared_ptr<ControlSession>> sessions_;
};

}  // namespace merlon::daemon
