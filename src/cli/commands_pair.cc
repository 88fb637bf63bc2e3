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
  std::error_code error;
  if (fs::exists(file, error)) return pki::read_private_key_file(file);
  MERLON_TRY(auto key, pki::generate_key("ed25519"));
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
  std::ranges::replace_if(
      name, [](char c) { return c == '.' || c == ':'; }, '-');
  return name;
}

// Both sides must not call each other at once: the one whose identity sorts first keeps the tunnel up, the
// other one calls when it has traffic.
std::string start_mode(const PairLine& own, const PairLine& peer) {
  if (peer.address.empty()) return "wait";
  return own.address.empty() || own.id < peer.id ? "always" : "on-traffic";
}

// What tells a file that may be written again from one that a person wrote.
constexpr std::string_view kWritten = "# Written by `merlon pair`";
// Beside merlon.toml, which relative names are seen from.
constexpr const char* kKeyFile = "merlon.key";

std::string connection_toml(const PairLine& own, const PairLine& peer) {
  std::string out = fmt::format(
      "{}; the key of {} has the fingerprint {}.\n[connection.{}]\n", kWritten, peer.id,
      pki::short_fingerprint(*pki::raw_public_key_from_text(peer.public_key)), connection_name(peer.id));
  if (!peer.address.empty()) out += fmt::format("remote = \"{}\"\n", peer.address);
  out += fmt::format(
      "local_id = \"@{}\"\nremote_id = \"@{}\"\nprivate_key = \"{}\"\nremote_public_key = \"{}\"\n", own.id,
      peer.id, kKeyFile, peer.public_key);
  out += fmt::format("local_ts = {}\nremote_ts = {}\nstart = \"{}\"\n", quoted_list(own.networks),
                     quoted_list(peer.networks), start_mode(own, peer));
  return out;
}

Result<PairLine> own_line(Options& options, const crypto::PrivateKey& key) {
  if (options.networks.empty()) {
    std::string answer = ask("Networks behind this machine, such as 10.1.0.0/16 (several with commas): ");
    std::ranges::replace(answer, ',', ' ');
    for (const std::string& network : CLI::detail::split(answer, ' '))
      if (!network.empty()) options.networks.push_back(network);
  }
  PairLine line{options.id.empty() ? host_name() : options.id, options.address, options.networks,
                pki::raw_public_key_to_text(key.public_key())};
  // What the other side would refuse is refused here.
  return parse_pair_line(to_text(line));
}

// A file of the same name that is not this peer's from an earlier pairing: "a.b" and "a-b" share a name, and
// a person may have written one. Its old content, where it may be replaced; nothing where there is none.
Result<std::optional<Bytes>> replaceable(const fs::path& file, const PairLine& peer) {
  auto content = pki::read_file(file);
  if (!content && content.error().code == ErrorCode::kNotFound) return std::nullopt;
  if (!content) return tl::unexpected<Error>(content.error());
  if (!as_text(*content).starts_with(fmt::format("{}; the key of {} has", kWritten, peer.id)))
    return fail(
        ErrorCode::kPolicy,
        "{} is not what an earlier `merlon pair` with {} wrote: nothing was written; move it away first",
        file.string(), peer.id);
  return std::optional(std::move(*content));
}

Result<> check_whole(const std::string& config_path) {
  const control::LoadedConfig loaded = control::load_config(config_path);
  if (loaded.config) return {};
  std::string text;
  for (const auto& diagnostic : loaded.diagnostics) text += "\n" + diagnostic.to_string();
  return fail(ErrorCode::kInvalidArgument,
              "nothing was written, since the configuration as a whole would not be good:{}", text);
}

Result<> write_connection(const Session& session, const PairLine& own, const PairLine& peer) {
  const fs::path main(session.config_path);
  const fs::path file = main.parent_path() / "conf.d" / (connection_name(peer.id) + ".toml");
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  MERLON_TRY(const auto before, replaceable(file, peer));
  if (!fs::exists(main, error))
    MERLON_TRY_VOID(pki::write_public_file(
        main, as_bytes("# Merlon's configuration; connections may stand here or in conf.d/*.toml.\n")));
  MERLON_TRY_VOID(pki::write_public_file(file, as_bytes(connection_toml(own, peer))));
  if (auto checked = check_whole(session.config_path); !checked) {
    // A daemon that starts now must not find it.
    if (before) {
      MERLON_TRY_VOID(pki::write_public_file(file, *before));
    } else {
      fs::remove(file, error);
    }
    return checked;
  }
  std::cerr << "Wrote " << file.string()
            << ".\nNow: systemctl start merlond (or `merlon reload` where it runs), then merlon status.\n";
  return {};
}

Result<> check_pair(const PairLine& own, const PairLine& peer) {
  if (peer.public_key == own.public_key)
    return fail(ErrorCode::kInvalidArgument, "that is this machine's own line");
  if (peer.id == own.id)
    return fail(ErrorCode::kInvalidArgument, "both sides are called \"{}\": give one of them another --id",
                own.id);
  if (peer.address.empty() && own.address.empty())
    return fail(ErrorCode::kInvalidArgument,
                "neither side says where it can be reached: give --address on at least one of them");
  for (const std::string& network : own.networks)
    if (std::ranges::find(peer.networks, network) != peer.networks.end())
      return fail(ErrorCode::kInvalidArgument,
                  "both sides say that {} is behind them: one of them has to use other addresses", network);
  return {};
}

Result<> pair(Session& session, Options& options) {
  MERLON_TRY(const auto key, own_key(fs::path(session.config_path).parent_path() / kKeyFile));
  MERLON_TRY(const PairLine own, own_line(options, key));
  std::cerr << "This machine's fingerprint: " << pki::short_fingerprint(key.public_key())
            << "\nPaste this line into `merlon pair` on the other side:\n\n";
  std::cout << to_text(own) << std::endl;
  std::string text = options.peer_line;
  if (text.empty()) text = ask("\nThe other side's line: ");
  if (text.empty())
    return fail(ErrorCode::kInvalidArgument,
                "no line from the other side: nothing was written; run `merlon pair` again when you have it");
  MERLON_TRY(const PairLine peer, parse_pair_line(text));
  MERLON_TRY_VOID(check_pair(own, peer));
  std::cerr << "The other side's fingerprint: "
            << pki::short_fingerprint(*pki::raw_public_key_from_text(peer.public_key))
            << " (compare it with what the other side shows)\n";
  return write_connection(session, own, peer);
}

}  // namespace

void add_pair_command(CLI::App& app, Session& session) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("pair",
                                         "Join two machines: prints one line for the other side, takes the "
                                         "other side's line, writes the configuration");
  command->add_option("--id", options->id, "What this machine is called (default: its host name)");
  command->add_option("--address", options->address,
                      "Where the other side can reach this machine; without it only this side calls");
  command->add_option("--network", options->networks, "Networks behind this machine")->take_all();
  command->add_option("--peer", options->peer_line, "The other side's line, instead of asking for it");
  command->callback([options, &session] { session.check(pair(session, *options)); });
}

}  // namespace merlon::cli
