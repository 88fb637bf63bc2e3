// merlon pair: two machines, one line each, no service in between.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>

#include "cli/commands.h"
#include "cli/pair_line.h"
#include "control/config.h"
#include "pki/builder.h"
#include "pki/files.h"
#include "pki/raw_public_key.h"

namespace merlon::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string id, address, peer_line;
  std::vector<std::string> networks;
};

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string ask(const std::string& question) {
  std::cerr << question << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer;
}

// One key a machine, made at the first pairing.
Result<crypto::PrivateKey> own_key(const fs::path& file) {
  if (fs::exists(file)) return pki::read_private_key_file(file);
  MERLON_TRY(auto key, pki::generate_key("ed25519"));
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  MERLON_TRY_VOID(pki::write_private_file(file, key.to_pem().bytes()));
  return key;
}

std::string quoted_list(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", item);
  return "[" + out + "]";
}

std::string connection_name(const std::string& id) {
  std::string name = id.substr(0, 64);
  std::ranges::replace_if(name, [](char c) { return c == '.' || c == ':'; }, '-');
  return name;
}

// Both sides must not call each other at once: the one whose identity sorts first keeps the tunnel up, the other one
// calls when it has traffic.
std::string start_mode(const PairLine& own, const PairLine& peer) {
  if (peer.address.empty()) return "wait";
  return own.address.empty() || own.id < peer.id ? "always" : "on-traffic";
}

std::string connection_toml(const PairLine& own, const PairLine& peer, const std::string& key_file) {
  std::string out = fmt::format("# Written by `merlon pair`; the peer's key has the fingerprint {}.\n[connection.{}]\n",
                                pki::short_fingerprint(*pki::raw_public_key_from_text(peer.public_key)), connection_name(peer.id));
  if (!peer.address.empty()) out += fmt::format("remote = \"{}\"\n", peer.address);
  out += fmt::format("local_id = \"@{}\"\nremote_id = \"@{}\"\nprivate_key = \"{}\"\nremote_public_key = \"{}\"\n", own.id, peer.id, key_file, peer.public_key);
  out += fmt::format("local_ts = {}\nremote_ts = {}\nstart = \"{}\"\n", quoted_list(own.networks), quoted_list(peer.networks), start_mode(own, peer));
  return out;
}

Result<PairLine> own_line(Options& options, const crypto::PrivateKey& key) {
  if (options.networks.empty()) {
    std::string answer = ask("Networks behind this machine, such as 10.1.0.0/16 (several with commas): ");
    std::ranges::replace(answer, ',', ' ');
    for (const std::string& network : CLI::detail::split(answer, ' '))
      if (!network.empty()) options.networks.push_back(network);
  }
  PairLine line{options.id.empty() ? host_name() : options.id, options.address, options.networks, pki::raw_public_key_to_text(key.public_key())};
  // What the other side would refuse is refused here.
  return parse_pair_line(to_text(line));
}

Result<> write_connection(const Session& session, const PairLine& own, const PairLine& peer, const std::string& key_file) {
  const fs::path main(session.config_path);
  const fs::path file = main.parent_path() / "conf.d" / (connection_name(peer.id) + ".toml");
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (!fs::exists(main))
    MERLON_TRY_VOID(pki::write_public_file(main, as_bytes("# Merlon's configuration; connections may stand here or in conf.d/*.toml.\n")));
  MERLON_TRY_VOID(pki::write_public_file(file, as_bytes(connection_toml(own, peer, key_file))));
  const control::LoadedConfig loaded = control::load_config(session.config_path);
  if (!loaded.config) {
    std::string text;
    for (const auto& diagnostic : loaded.diagnostics) text += "\n" + diagnostic.to_string();
    return fail(ErrorCode::kInvalidArgument, "{} is written, but the configuration as a whole is not good:{}", file.string(), text);
  }
  std::cerr << "Wrote " << file.string() << ".\nNow: systemctl start merlond (or `merlon reload` where it runs), then merlon status.\n";
  return {};
}

Result<> pair(Session& session, Options& options) {
  const std::string key_file = (fs::path(session.config_path).parent_path() / "merlon.key").string();
  MERLON_TRY(const auto key, own_key(key_file));
  MERLON_TRY(const PairLine own, own_line(options, key));
  std::cerr << "This machine's fingerprint: " << pki::short_fingerprint(key.public_key()) << "\nPaste this line into `merlon pair` on the other side:\n\n";
  std::cout << to_text(own) << std::endl;
  std::string text = options.peer_line;
  if (text.empty()) text = ask("\nThe other side's line: ");
  if (text.empty()) return fail(ErrorCode::kInvalidArgument, "no line from the other side: nothing was written; run `merlon pair` again when you have it");
  MERLON_TRY(const PairLine peer, parse_pair_line(text));
  if (peer.public_key == own.public_key) return fail(ErrorCode::kInvalidArgument, "that is this machine's own line");
  if (peer.id == own.id) return fail(ErrorCode::kInvalidArgument, "both sides are called \"{}\": give one of them another --id", own.id);
  if (peer.address.empty() && own.address.empty())
    return fail(ErrorCode::kInvalidArgument, "neither side says where it can be reached: give --address on at least one of them");
  std::cerr << "The other side's fingerprint: " << pki::short_fingerprint(*pki::raw_public_key_from_text(peer.public_key))
            << " (compare it with what the other side shows)\n";
  return write_connection(session, own, peer, key_file);
}

}  // namespace

void add_pair_command(CLI::App& app, Session& session) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("pair", "Join two machines: prints one line for the other side, takes the other side's line, writes the configuration");
  command->add_option("--id", options->id, "What this machine is called (default: its host name)");
  command->add_option("--address", options->address, "Where the other side can reach this machine; without it only this side calls");
  command->add_option("--network", options->networks, "Networks behind this machine")->take_all();
  command->add_option("--peer", options->peer_line, "The other side's line, instead of asking for it");
  command->callback([options, &session] { session.check(pair(session, *options)); });
}

}  // namespace merlon::cli
