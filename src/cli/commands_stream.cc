#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/printable.h"

namespace merlon::cli {
namespace {

using control::Command;
using control::Request;
using nlohmann::json;

std::string clock_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%H:%M:%S", &parts);
  return text;
}

void print_event(const json& event) {
  if (event.value("event", "") == "message") {
    const bool sent = event.value("sent", false);
    std::cout << clock_text() << (sent ? "  --> " : "  <-- ") << event.value("remote", "")
              << (event.value("retransmission", false) ? "  (again)" : "") << "\n";
    for (const json& line : event.value("lines", json::array()))
      std::cout << "            " << printable(line.get<std::string>()) << "\n";
  } else {
    std::cout << clock_text() << "  " << printable(event.value("text", "")) << "\n";
  }
  std::cout.flush();
}

// Appends to DIRECTORY/FILE, which only root can read.
Result<> write_key_line(const std::string& directory, const json& event) {
  const std::string file = event.value("file", "keys");
  if (file.find('/') != std::string::npos)
    return fail(ErrorCode::kMalformed, "merlond named a strange key file");
  const std::string path = directory + "/" + file;
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
  const std::string line = event.value("line", "") + "\n";
  const bool written = fd >= 0 && fchmod(fd, 0600) == 0 &&
                       write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!written)
    return fail(ErrorCode::kSystem, "cannot write {}: {}", path, std::generic_category().message(error));
  return {};
}

void run(Session& session, const Request& request, bool as_json, const std::string& key_directory) {
  if (request.keys) {
    if (mkdir(key_directory.c_str(), 0700) != 0 && errno != EEXIST)
      return session.fail({ErrorCode::kSystem,
                           "cannot make " + key_directory + ": " + std::generic_category().message(errno)});
  }
  auto client = Client::connect(session.socket());
  if (!client) return session.fail(client.error());
  if (const auto begun = client->ask(request); !begun) return session.fail(begun.error());
  for (;;) {
    const auto event = client->next();
    if (!event) return session.fail(event.error());
    if (event->value("event", "") == "keys") {
      if (const auto written = write_key_line(key_directory, *event); !written)
        return session.fail(written.error());
    } else if (as_json) {
      std::cout << event->dump() << "\n" << std::flush;
    } else {
      print_event(*event);
    }
  }
}

}  // namespace

void add_stream_commands(CLI::App& app, Session& session) {
  struct Options {
    std::string name, keys;
    bool json = false;
  };
  const auto monitor = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("monitor", "Events as they happen, until interrupted");
  command->add_option("NAME", monitor->name, "Only this connection");
  command->add_flag("--json", monitor->json, "One JSON object a line");
  command->callback([monitor, &session] {
    Request request;
    request.command = Command::kMonitor;
    request.connection = monitor->name;
    run(session, request, monitor->json, "");
  });
  const auto trace = std::make_shared<Options>();
  command = app.add_subcommand(
      "trace", "The exchanges of a connection, message by message, in words, until interrupted");
  command->add_option("NAME", trace->name, "Connection")->required();
  command->add_flag("--json", trace->json, "One JSON object a line");
  command
      ->add_option("--keys", trace->keys,
                   "Write the keys negotiated from now on into this folder, as the tables that Wireshark "
                   "reads there with WIRESHARK_CONFIG_DIR=FOLDER (see merlon(1)); only for root")
      ->type_name("FOLDER");
  command->callback([trace, &session] {
    Request request;
    request.command = Command::kTrace;
    request.connection = trace->name;
    request.keys = !trace->keys.empty();
    run(session, request, trace->json, trace->keys);
  });
}

}  // namespace merlon::cli
