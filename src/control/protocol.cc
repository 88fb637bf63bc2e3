#include "control/protocol.h"

#include <nlohmann/json.hpp>

namespace merlon::control {
namespace {

using nlohmann::json;

struct Named {
  Command command;
  std::string_view text;
};
constexpr Named kCommands[] = {
    {Command::kStatus, "status"}, {Command::kUp, "up"},           {Command::kDown, "down"},
    {Command::kRekey, "rekey"},   {Command::kMonitor, "monitor"}, {Command::kTrace, "trace"},
    {Command::kReload, "reload"}, {Command::kMetrics, "metrics"}, {Command::kStop, "stop"}};

Result<Command> command_of(const std::string& text) {
  for (const Named& named : kCommands)
    if (named.text == text) return named.command;
  return fail(ErrorCode::kInvalidArgument, "unknown command \"{}\"", text);
}

// Wrong types are refused rather than ignored: a typo must not act on every connection.
Result<> take(const json& object, Request& request) {
  for (const auto& [key, value] : object.items()) {
    if (key == "command") continue;
    std::string* text = key == "connection" ? &request.connection : key == "child" ? &request.child : nullptr;
    bool* flag = key == "ike"    ? &request.ike
                 : key == "wait" ? &request.wait
                 : key == "keys" ? &request.keys
                                 : nullptr;
    if (text != nullptr && value.is_string()) {
      *text = value.get<std::string>();
    } else if (flag != nullptr && value.is_boolean()) {
      *flag = value.get<bool>();
    } else {
      return fail(ErrorCode::kInvalidArgument, "unknown field or wrong type: \"{}\"", key);
    }
  }
  return {};
}

}  // namespace

std::string encode(const Request& request) {
  json object{{"connection", request.connection},
              {"child", request.child},
              {"ike", request.ike},
              {"wait", request.wait},
              {"keys", request.keys}};
  for (const Named& named : kCommands)
    if (named.command == request.command) object["command"] = named.text;
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Request> parse_request(std::string_view line) {
  if (line.size() > kMaxRequestBytes)
    return fail(ErrorCode::kMalformed, "a request has at most {} bytes", kMaxRequestBytes);
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::kMalformed, "a request is one JSON object a line");
  const auto command = object.find("command");
  if (command == object.end() || !command->is_string())
    return fail(ErrorCode::kMalformed, "a request needs a \"command\"");
  Request request;
  MERLON_TRY(request.command, command_of(command->get<std::string>()));
  MERLON_TRY_VOID(take(object, request));
  return request;
}

std::string ok_line(const json& body) {
  json object = body;
  object["ok"] = true;
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string error_line(const std::string& sentence) {
  return json{{"ok", false}, {"error", sentence}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace merlon::control
