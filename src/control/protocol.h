// What `merlon` and `merlond` say to each other over the control socket: one JSON object a line.
// A request: {"command": "up", "connection": "paris"}. Its answer: {"ok": true, ...} or {"ok": false,
// "error": "..."}. "monitor" and "trace" are answered by {"ok": true} and then by one event object a line
// until either side closes.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"

namespace merlon::control {

enum class Command { kStatus, kUp, kDown, kRekey, kMonitor, kTrace, kReload, kMetrics, kStop };

struct Request {
  Command command = Command::kStatus;
  std::string connection;  // up, down, rekey, trace; "" = all, where that makes sense
  std::string child;       // "" = every child
  bool ike = false;        // rekey: the IKE SA instead of the children
  bool wait = true;        // up: answer when it is up or has failed, not at once
  bool keys = false;       // trace: key events too; refused to anybody but root
};

inline constexpr std::size_t kMaxRequestBytes = 64 * 1024;  // a longer line is refused and the client dropped

[[nodiscard]] std::string encode(const Request& request);  // without the newline
[[nodiscard]] Result<Request> parse_request(std::string_view line);

[[nodiscard]] std::string ok_line(const nlohmann::json& body);  // body: an object; "ok": true is added
[[nodiscard]] std::string error_line(const std::string& sentence);

}  // namespace merlon::control
