#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "pki/builder.h"
#include "pki/files.h"
#include "pki/raw_public_key.h"

namespace merlon::cli {
namespace {

Result<> keygen(const std::string& kind, const std::string& file) {
  MERLON_TRY(const auto key, pki::generate_key(kind));
  MERLON_TRY_VOID(pki::write_private_file(file, key.to_pem().bytes()));
  std::cerr << "private key: " << file
            << " (keep it here)\nfingerprint: " << pki::short_fingerprint(key.public_key())
            << "\npublic key, for remote_public_key on the other side:\n";
  std::cout << pki::raw_public_key_to_text(key.public_key()) << "\n";
  return {};
}

Result<> show(const std::string& file) {
  MERLON_TRY(const auto key, pki::read_private_key_file(file));
  std::cerr << "fingerprint: " << pki::short_fingerprint(key.public_key()) << "\n";
  std::cout << pki::raw_public_key_to_text(key.public_key()) << "\n";
  return {};
}

}  // namespace

void add_key_commands(CLI::App& app, Session& session) {
  struct Options {
    std::string kind = "ed25519", file;
    bool show = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("keygen", "Make a private key, and print its public key for the other side");
  command->add_option("FILE", options->file, "Where the private key goes (mode 0600; never overwritten)")
      ->required();
  command
      ->add_option("--type", options->kind,
                   "ed25519, ed448, ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa-2048, rsa-3072, rsa-4096")
      ->capture_default_str();
  command->add_flag("--show", options->show, "Only print the public key of an existing FILE");
  command->callback([options, &session] {
    session.check(options->show ? show(options->file) : keygen(options->kind, options->file));
  });
}

}  // namespace merlon::cli
