#include "cli/client.h"

#include <sys/socket.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>

namespace merlon::cli {
namespace {

std::string reason() {
  return std::generic_category().message(errno);
}

}  // namespace

Result<Client> Client::connect(const std::string& path) {
  auto socket = io::connect_unix(path);
  if (socket) return Client(std::move(*socket));
  return fail(ErrorCode::kNotFound,
              "merlond does not answer: {}. Is it running (`systemctl start merlond`), and are you root?",
              socket.error().message);
}

Result<nlohmann::json> Client::ask(const control::Request& request) {
  const std::string line = control::encode(request) + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t count = send(fd_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0) return fail(ErrorCode::kSystem, "merlond closed the connection: {}", reason());
    sent += static_cast<std::size_t>(count);
  }
  MERLON_TRY(auto answer, next());
  if (!answer.value("ok", false))
    return fail(ErrorCode::kPolicy, "{}", answer.value("error", std::string("merlond gave no reason")));
  return answer;
}

Result<nlohmann::json> Client::next() {
  MERLON_TRY(const std::string line, read_line());
  auto object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::kMalformed, "merlond sent something else than JSON");
  return object;
}

Result<std::string> Client::read_line() {
  for (;;) {
    if (const auto end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    char chunk[16384];
    const ssize_t count = recv(fd_.get(), chunk, sizeof chunk, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail(ErrorCode::kExpired, "merlond closed the connection");
    buffer_.append(chunk, static_cast<std::size_t>(count));
  }
}

}  // namespace merlon::cli
