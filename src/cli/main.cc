// merlon: the command that people use.
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "control/config.h"

namespace merlon::cli {

void Session::fail(const Error& error) {
  std::cerr << "merlon: " << error.message << "\n";
  status = error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kMalformed ? kExitInvalid
                                                                                            : kExitFailed;
}

void Session::check(const Result<>& result) {
  if (!result) fail(result.error());
}

std::string Session::socket() const {
  if (!socket_path.empty()) return socket_path;
  // A configuration that does not load still has the default socket: status must work then, too.
  const control::LoadedConfig loaded = control::load_config(config_path);
  return loaded.config ? loaded.config->daemon.control_socket : control::DaemonConfig().control_socket;
}

}  // namespace merlon::cli

int main(int argc, char** argv) {
  CLI::App app("merlon: tunnels over a network nobody trusts. The daemon is merlond.");
  merlon::cli::Session session;
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("-c,--config", session.config_path, "Configuration file")->capture_default_str();
  app.add_option("--socket", session.socket_path, "Control socket of the daemon");
  app.set_version_flag("--version", std::string("merlon ") + MERLON_VERSION);
  merlon::cli::add_daemon_commands(app, session);
  merlon::cli::add_stream_commands(app, session);
  merlon::cli::add_config_commands(app, session);
  merlon::cli::add_key_commands(app, session);
  merlon::cli::add_pki_commands(app, session);
  merlon::cli::add_pair_command(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : merlon::cli::kExitInvalid;
  }
  return session.status;
}
