// One client of the control socket.
#pragma once

#include <asio/streambuf.hpp>
#include <deque>

#include "control/protocol.h"
#include "daemon/control_server.h"

namespace merlon::daemon {

class ControlSession : public std::enable_shared_from_this<ControlSession> {
 public:
  ControlSession(ControlServer& server, asio::local::stream_protocol::socket socket,
                 io::PeerCredentials peer);
  void start() { read(); }
  void close();
  // Whether a connection that this client waits for is up or has failed meanwhile.
  void look_again();

 private:
  void read();
  void handle(std::string_view line);
  void answer(const control::Request& request);
  void up(const control::Request& request);
  void stream(const control::Request& request);
  // Messages and keys of the connection, as far as some open session asked for them.
  void trace_what_others_want(const std::string& connection);
  void send_event(const ike::Event& event, const control::Request& request);
  void send(std::string line);
  void write_next();

  // A client that does not read must not make the daemon grow.
  static constexpr std::size_t kMaxQueuedLines = 10'000, kMaxQueuedBytes = std::size_t{32} << 20U;

  ControlServer& server_;
  asio::local::stream_protocol::socket socket_;
  io::PeerCredentials peer_;
  asio::streambuf input_{control::kMaxRequestBytes};
  std::deque<std::string> output_;
  std::size_t output_bytes_ = 0;
  std::uint64_t subscription_ = 0;
  std::optional<control::Request> streaming_;
  struct Waiting {
    std::string connection;
    std::uint64_t failures = 0;
  };
  std::optional<Waiting> waiting_;
  bool closed_ = false;
};

}  // namespace merlon::daemon
