// Talks to merlond over its control socket.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "control/protocol.h"
#include "io/unix_socket.h"

namespace merlon::cli {

class Client {
 public:
  // The socket of the configuration, or --socket. The error says what to do when no daemon listens.
  [[nodiscard]] static Result<Client> connect(const std::string& path);

  // One request and its answer; a refusal is an error with the daemon's own sentence.
  [[nodiscard]] Result<nlohmann::json> ask(const control::Request& request);
  // The next line of a stream (after ask()); kExpired when the daemon has closed.
  [[nodiscard]] Result<nlohmann::json> next();

 private:
  explicit Client(io::Fd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] Result<std::string> read_line();
  io::Fd fd_;
  std::string buffer_;
};

}  // namespace merlon::cli
