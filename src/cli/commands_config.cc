#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "control/config.h"
#include "pki/identity_text.h"

namespace merlon::cli {
namespace {

// What control/ leaves as text because only pki/ understands it.
Result<> check_identities(const policy::Connection& connection) {
  const auto check = [&](const char* key, const std::string& text) -> Result<> {
    if (text.empty() || text == "%any") return {};
    const auto parsed = pki::is_dn_pattern(text) ? pki::check_dn_pattern(text) : pki::identity_from_text(text).map([](const Identity&) {});
    if (!parsed) return fail_in(fmt::format("{}: connection \"{}\": {}", connection.source, connection.name, key), parsed.error());
    return {};
  };
  for (const auto& local : connection.local_auth) MERLON_TRY_VOID(check("local_id", local.id_text));
  for (const auto& remote : connection.remote_auth) MERLON_TRY_VOID(check("remote_id", remote.id_text));
  return {};
}

void check_config(Session& session, const std::string& file) {
  const control::LoadedConfig loaded = control::load_config(file);
  for (const control::Diagnostic& diagnostic : loaded.diagnostics) std::cerr << diagnostic.to_string() << "\n";
  if (!loaded.config) {
    session.status = kExitInvalid;
    return;
  }
  for (const auto& connection : loaded.config->connections)
    if (const auto checked = check_identities(*connection); !checked) {
      std::cerr << checked.error().message << "\n";
      session.status = kExitInvalid;
    }
  if (session.status == 0) std::cout << file << ": good, " << loaded.config->connections.size() << " connections\n";
}

}  // namespace

void add_config_commands(CLI::App& app, Session& session) {
  const auto file = std::make_shared<std::string>();
  const auto keys = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("check-config", "Check a configuration file (and conf.d beside it) without using it");
  command->add_option("FILE", *file, "Default: the configuration in use");
  command->add_flag("--keys", *keys, "List every key instead, with its default and meaning");
  command->callback([file, keys, &session] {
    if (*keys) {
      std::cout << control::configuration_reference();
      return;
    }
    check_config(session, file->empty() ? session.config_path : *file);
  });
}

}  // namespace merlon::cli
