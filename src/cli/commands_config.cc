#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "control/config.h"
#include "pki/identity_text.h"
#include "pki/raw_public_key.h"

namespace merlon::cli {
namespace {

// What control/ leaves as text because only pki/ understands it.
std::vector<std::string> problems_of(const policy::Connection& connection) {
  std::vector<std::string> out;
  const auto problem = [&](const char* key, const Error& error) {
    out.push_back(fmt::format("{}: error: connection \"{}\": {}: {}", connection.source, connection.name, key,
                              error.message));
  };
  for (const auto& local : connection.local_auth)
    if (const auto parsed = pki::identity_from_text(local.id_text); !local.id_text.empty() && !parsed)
      problem("local_id", parsed.error());
  for (const auto& remote : connection.remote_auth) {
    const std::string& text = remote.id_text;
    const auto parsed = pki::is_dn_pattern(text) ? pki::check_dn_pattern(text)
                                                 : pki::identity_from_text(text).map([](const Identity&) {});
    if (!text.empty() && text != "%any" && !parsed) problem("remote_id", parsed.error());
    for (const std::string& key : remote.public_keys)
      if (const auto read = pki::raw_public_key_from_text(key); !read)
        problem("remote_public_key", read.error());
  }
  return out;
}

void check_config(Session& session, const std::string& file) {
  const control::LoadedConfig loaded = control::load_config(file);
  for (const control::Diagnostic& diagnostic : loaded.diagnostics)
    std::cerr << diagnostic.to_string() << "\n";
  if (!loaded.config) {
    session.status = kExitInvalid;
    return;
  }
  std::size_t peers = 0;
  for (const auto& connection : loaded.config->connections) {
    if (connection->name != control::kPolicyConnection) ++peers;
    for (const std::string& problem : problems_of(*connection)) {
      std::cerr << problem << "\n";
      session.status = kExitInvalid;
    }
  }
  if (session.status == 0)
    std::cout << fmt::format("{}: good, {} connection{}\n", file, peers, peers == 1 ? "" : "s");
}

}  // namespace

void add_config_commands(CLI::App& app, Session& session) {
  const auto file = std::make_shared<std::string>();
  const auto keys = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "check-config", "Check a configuration file (and conf.d beside it) without using it");
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
