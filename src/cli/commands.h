// The subcommands of `merlon`. Each add_... puts its options into the parser; what is chosen runs as a
// callback, prints, and leaves the exit status in Session::status.
#pragma once

#include <string>

#include "base/result.h"

namespace CLI {
class App;
}

namespace merlon::cli {

inline constexpr int kExitFailed = 1;   // the daemon refused, or the thing did not work
inline constexpr int kExitInvalid = 2;  // bad input: a file, an option

struct Session {
  std::string config_path = "/etc/merlon/merlon.toml";
  std::string socket_path;  // empty: as the configuration says
  int status = 0;

  // Prints the error and remembers the exit status.
  void fail(const Error& error);
  void check(const Result<>& result);
  [[nodiscard]] std::string socket() const;
};

void add_daemon_commands(CLI::App& app, Session& session);  // status, up, down, rekey, reload, stop, metrics
void add_stream_commands(CLI::App& app, Session& session);  // monitor, trace
void add_config_commands(CLI::App& app, Session& session);  // check-config
void add_key_commands(CLI::App& app, Session& session);     // keygen
void add_pki_commands(CLI::App& app, Session& session);     // pki ...
void add_pair_command(CLI::App& app, Session& session);     // pair

}  // namespace merlon::cli
