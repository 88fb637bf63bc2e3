// The real `merlon`, built beside this test, in a folder of its own: what it prints, writes, and its exit
// status.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/pair_line.h"
#include "control/config.h"
#include "io/system_clock.h"
#include "pki/files.h"
#include "pki/identity_match.h"
#include "pki/identity_text.h"
#include "pki/raw_public_key.h"
#include "pki/trust_store.h"

namespace merlon::cli {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

struct Outcome {
  int status = -1;
  std::string out, err;
};

std::string quoted(const std::string& word) {
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

class Commands : public testing::Test {
 protected:
  Commands() {
    std::string name = (fs::temp_directory_path() / "merlon-cli-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    binary_ = fs::read_symlink("/proc/self/exe").parent_path() / "merlon";
  }
  ~Commands() override { fs::remove_all(folder_); }
  void SetUp() override {
    if (!fs::exists(binary_)) GTEST_SKIP() << binary_ << " is not built: build the target merlon";
  }

  // In the scratch folder, without a terminal.
  Outcome merlon(const std::vector<std::string>& words, const std::string& input = "") {
    write("stdin", input);
    std::string command = "cd " + quoted(folder_.string()) + " && " + quoted(binary_.string());
    for (const std::string& word : words) command += " " + quoted(word);
    const int status =
        std::system((command + " <stdin >stdout 2>stderr").c_str());  // NOLINT(concurrency-mt-unsafe)
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read("stdout"), read("stderr")};
  }
  void write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
    ASSERT_EQ(chmod((folder_ / name).c_str(), mode), 0);
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  [[nodiscard]] unsigned mode_of(const std::string& name) const {
    struct stat info {};
    return stat((folder_ / name).c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
  }

  fs::path folder_, binary_;
};

constexpr const char* kGood =
    "[connection.paris]\nremote = \"192.0.2.1\"\nlocal_id = \"berlin.example\"\nremote_id = "
    "\"paris.example\"\n"
    "psk_file = \"paris.psk\"\nlocal_ts = \"10.1.0.0/16\"\nremote_ts = \"10.2.0.0/16\"\n";

// ---- check-config

TEST_F(Commands, CheckConfigAcceptsAGoodFile) {
  write("merlon.toml", std::string(kGood) +
                           "[[policy]]\naction = \"bypass\"\nlocal_ts = \"10.1.0.0/16\"\nremote_ts = "
                           "\"10.2.7.0/24\"\n");
  const Outcome outcome = merlon({"check-config", "merlon.toml"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "merlon.toml: good, 1 connection\n");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Commands, CheckConfigTakesDashC) {
  write("there/merlon.toml", kGood);
  EXPECT_EQ(merlon({"-c", "there/merlon.toml", "check-config"}).status, 0);
  EXPECT_EQ(merlon({"check-config", "-c", "there/merlon.toml"}).status, 0);
}

TEST_F(Commands, CheckConfigFindsErrorsInConfDToo) {
  write("merlon.toml", kGood);
  write("conf.d/rome.toml", "[connection.rome]\nremot = \"192.0.2.9\"\nstart = 5\n");
  const Outcome outcome = merlon({"check-config", "merlon.toml"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(
      outcome.err,
      HasSubstr("conf.d/rome.toml:2:1: error: unknown key \"remot\" in [connection.rome]; did you mean "
                "\"remote\"?"));
  EXPECT_THAT(outcome.err,
              HasSubstr("conf.d/rome.toml:3:9: error: start: expected a string, got an integer"));
}

TEST_F(Commands, CheckConfigWithWarningsIsGood) {
  write("merlon.toml", std::string(kGood) + "ike_proposals = \"aes128-sha1-modp1024\"\n");
  const Outcome outcome = merlon({"check-config", "merlon.toml"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("merlon.toml:1:13: warning: "));
}

TEST_F(Commands, CheckConfigUnderstandsIdentitiesAndKeys) {
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = kGood;
    write("merlon.toml", text.replace(text.find(from), from.size(), to));
    return merlon({"check-config", "merlon.toml"});
  };
  EXPECT_EQ(with("\"paris.example\"", "\"O=Example, CN=*\"").status, 0);
  EXPECT_EQ(with("\"paris.example\"", "\"%any\"").status, 0);
  const Outcome bad_dn = with("\"paris.example\"", "\"O=Example, CN\"");
  EXPECT_EQ(bad_dn.status, 2);
  EXPECT_THAT(bad_dn.err, HasSubstr("merlon.toml:1: error: connection \"paris\": remote_id: "));
  EXPECT_EQ(with("\"berlin.example\"", "\"=x\"").status, 2);
  const Outcome bad_key =
      with("psk_file = \"paris.psk\"", "private_key = \"a.key\"\nremote_public_key = \"AAAA\"");
  EXPECT_EQ(bad_key.status, 2);
  EXPECT_THAT(bad_key.err, HasSubstr("remote_public_key"));
}

TEST_F(Commands, CheckConfigOfNoFile) {
  const Outcome outcome = merlon({"check-config", "nothing.toml"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("nothing.toml: error: cannot read it"));
}

TEST_F(Commands, CheckConfigRefusesAReadableSecret) {
  std::string text = kGood;
  text.replace(text.find("psk_file = \"paris.psk\""), 22, "psk = \"sesame-sesame\"");
  write("merlon.toml", text, 0644);
  const Outcome outcome = merlon({"check-config", "merlon.toml"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("chmod 600"));
  EXPECT_THAT(outcome.err + outcome.out, Not(HasSubstr("sesame")));
}

TEST_F(Commands, KeysAreListed) {
  const Outcome outcome = merlon({"check-config", "--keys"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, control::configuration_reference());
}

TEST_F(Commands, BadOptionsAreInvalidInput) {
  EXPECT_EQ(merlon({"no-such-command"}).status, 2);
  EXPECT_EQ(merlon({}).status, 2);
  EXPECT_EQ(merlon({"up"}).status, 2);
  EXPECT_EQ(merlon({"--help"}).status, 0);
  EXPECT_THAT(merlon({"--version"}).out, testing::StartsWith("merlon "));
}

TEST_F(Commands, WithoutADaemonSaysWhatToDo) {
  for (const char* command : {"status", "reload", "stop", "metrics", "monitor"}) {
    const Outcome outcome = merlon({"--socket", "nobody.sock", command});
    EXPECT_EQ(outcome.status, 1) << command;
    EXPECT_THAT(outcome.err, HasSubstr("systemctl start merlond")) << command;
  }
}

// A name with bytes that are no UTF-8 is refused in words, not by a crash.
TEST_F(Commands, StrangeNames) {
  EXPECT_EQ(merlon({"--socket", "nobody.sock", "up", "caf\xe9"}).status, 1);
}

// ---- keygen

TEST_F(Commands, KeygenWritesOnceAndShows) {
  const Outcome made = merlon({"keygen", "a.key"});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_EQ(mode_of("a.key"), 0600U);
  EXPECT_TRUE(pki::raw_public_key_from_text(made.out));
  EXPECT_THAT(made.out + made.err, Not(HasSubstr("PRIVATE KEY")));
  EXPECT_EQ(merlon({"keygen", "--show", "a.key"}).out, made.out);
  const std::string before = read("a.key");
  EXPECT_EQ(merlon({"keygen", "a.key"}).status, 1);  // never overwritten
  EXPECT_EQ(read("a.key"), before);
  ASSERT_EQ(chmod((folder_ / "a.key").c_str(), 0644), 0);
  EXPECT_THAT(merlon({"keygen", "--show", "a.key"}).err, HasSubstr("chmod 600"));
  EXPECT_EQ(merlon({"keygen", "--type", "dsa", "b.key"}).status, 2);
}

// ---- pair

TEST_F(Commands, PairTwoMachines) {
  const auto pair = [&](const std::string& folder, const std::string& id, const std::string& network,
                        const std::string& peer) {
    std::vector<std::string> words{
        "-c",        folder + "/merlon.toml",    "pair", "--id", id, "--address", "192.0.2." + network,
        "--network", "10." + network + ".0.0/16"};
    if (!peer.empty()) words.insert(words.end(), {"--peer", peer});
    return merlon(words);
  };
  // The first run prints the line, and has none of the other side yet.
  const Outcome first = pair("berlin", "berlin.example", "1", "");
  EXPECT_EQ(first.status, 2);
  EXPECT_THAT(first.err, HasSubstr("nothing was written"));
  EXPECT_FALSE(fs::exists(folder_ / "berlin/conf.d"));
  const Outcome paris = pair("paris", "paris.example", "2", first.out);
  ASSERT_EQ(paris.status, 0) << paris.err;
  const Outcome berlin = pair("berlin", "berlin.example", "1", paris.out);
  ASSERT_EQ(berlin.status, 0) << berlin.err;
  EXPECT_EQ(berlin.out, first.out) << "one key a machine";
  for (const char* folder : {"berlin", "paris"}) {
    const Outcome checked = merlon({"check-config", std::string(folder) + "/merlon.toml"});
    EXPECT_EQ(checked.status, 0) << checked.err;
    EXPECT_EQ(mode_of(std::string(folder) + "/merlon.key"), 0600U);
  }
  // What each side says of the other fits.
  const auto a = control::load_config((folder_ / "berlin/merlon.toml").string()).config.value();
  const auto b = control::load_config((folder_ / "paris/merlon.toml").string()).config.value();
  ASSERT_EQ(a.connections.size(), 1U);
  ASSERT_EQ(b.connections.size(), 1U);
  const policy::Connection &to_paris = *a.connections[0], &to_berlin = *b.connections[0];
  EXPECT_EQ(to_paris.name, "paris-example");
  EXPECT_EQ(to_paris.local_auth[0].id_text, to_berlin.remote_auth[0].id_text);
  EXPECT_EQ(to_paris.remote_auth[0].id_text, to_berlin.local_auth[0].id_text);
  EXPECT_EQ(to_paris.children[0].local_ts, to_berlin.children[0].remote_ts);
  EXPECT_EQ(to_paris.children[0].remote_ts, to_berlin.children[0].local_ts);
  EXPECT_EQ(to_paris.remote_addresses, std::vector<std::string>{"192.0.2.2"});
  // One side keeps the tunnel up, the other calls when it must: never both at once.
  EXPECT_EQ(to_paris.start, policy::StartMode::kAlways);
  EXPECT_EQ(to_berlin.start, policy::StartMode::kOnTraffic);
  // The private key is the one whose public half the other side has, also with a relative -c.
  const auto key = pki::read_private_key_file(to_paris.local_auth[0].private_key_file.starts_with('/')
                                                  ? fs::path(to_paris.local_auth[0].private_key_file)
                                                  : folder_ / to_paris.local_auth[0].private_key_file);
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(to_berlin.remote_auth[0].public_keys,
            std::vector<std::string>{pki::raw_public_key_to_text(key->public_key())});
}

TEST_F(Commands, PairWorksInTheFolderItself) {
  const std::string peer = merlon({"-c", "b/merlon.toml", "pair", "--id", "b", "--address", "192.0.2.2",
                                   "--network", "10.2.0.0/16"})
                               .out;
  const Outcome outcome =
      merlon({"-c", "merlon.toml", "pair", "--id", "a", "--network", "10.1.0.0/16", "--peer", peer});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto config = control::load_config((folder_ / "merlon.toml").string()).config.value();
  EXPECT_EQ(config.connections.at(0)->local_auth.at(0).private_key_file, (folder_ / "merlon.key").string());
  EXPECT_EQ(config.connections.at(0)->start, policy::StartMode::kAlways);  // only we can call
}

TEST_F(Commands, PairTakesThePeersLineFromThePrompt) {
  const std::string peer = merlon({"-c", "b/merlon.toml", "pair", "--id", "b", "--address", "192.0.2.2",
                                   "--network", "10.2.0.0/16"})
                               .out;
  const Outcome outcome =
      merlon({"-c", "a/merlon.toml", "pair", "--id", "a"}, "10.1.0.0/16, fd00:1::/64\n" + peer);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("fingerprint"));
  EXPECT_EQ(merlon({"check-config", "a/merlon.toml"}).status, 0);
  // Pasted again after the other side changed its address: the same file, replaced.
  const std::string moved = merlon({"-c", "b/merlon.toml", "pair", "--id", "b", "--address", "192.0.2.77",
                                    "--network", "10.2.0.0/16"})
                                .out;
  EXPECT_EQ(merlon({"-c", "a/merlon.toml", "pair", "--id", "a", "--network", "10.1.0.0/16", "--peer", moved})
                .status,
            0);
  EXPECT_THAT(read("a/conf.d/b.toml"), HasSubstr("192.0.2.77"));
}

TEST_F(Commands, PairRefusesWhatCannotWork) {
  const auto line_of = [&](const std::string& folder, const std::vector<std::string>& more) {
    std::vector<std::string> words{"-c", folder + "/merlon.toml", "pair"};
    words.insert(words.end(), more.begin(), more.end());
    return merlon(words).out;
  };
  const std::string own = line_of("a", {"--id", "a", "--address", "192.0.2.1", "--network", "10.1.0.0/16"});
  const auto try_peer = [&](const std::string& peer) {
    return merlon({"-c", "a/merlon.toml", "pair", "--id", "a", "--network", "10.1.0.0/16", "--peer", peer});
  };
  EXPECT_THAT(try_peer(own).err, HasSubstr("this machine's own line"));
  EXPECT_THAT(try_peer(line_of("b", {"--id", "a", "--address", "b.example", "--network", "10.2.0.0/16"})).err,
              HasSubstr("both sides are called \"a\""));
  EXPECT_THAT(try_peer(line_of("b", {"--id", "b", "--network", "10.2.0.0/16"})).err,
              HasSubstr("neither side says where"));
  EXPECT_THAT(try_peer(line_of("b", {"--id", "b", "--address", "b.example", "--network", "10.1.0.0/16"})).err,
              HasSubstr("both sides say that 10.1.0.0/16 is behind them"));
  EXPECT_THAT(try_peer("something else").err, HasSubstr("not a line of `merlon pair`"));
  EXPECT_FALSE(fs::exists(folder_ / "a/conf.d"));
  EXPECT_EQ(merlon({"-c", "a/merlon.toml", "pair", "--id", "a b", "--network", "10.1.0.0/16"}).status, 2);
}

TEST_F(Commands, PairLeavesAPersonsFilesAlone) {
  const std::string peer = merlon({"-c", "b/merlon.toml", "pair", "--id", "b", "--address", "192.0.2.2",
                                   "--network", "10.2.0.0/16"})
                               .out;
  const std::vector<std::string> words{"-c",        "a/merlon.toml", "pair",   "--id", "a",
                                       "--network", "10.1.0.0/16",   "--peer", peer};
  write("a/conf.d/b.toml", "# mine\n");
  const Outcome refused = merlon(words);
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(read("a/conf.d/b.toml"), "# mine\n");
  fs::remove(folder_ / "a/conf.d/b.toml");
  // The name is taken in merlon.toml: what would not load is not left behind.
  std::string text = kGood;
  write("a/merlon.toml", text.replace(text.find("paris"), 5, "b"));
  const Outcome duplicate = merlon(words);
  EXPECT_EQ(duplicate.status, 2);
  EXPECT_THAT(duplicate.err, HasSubstr("stands twice"));
  EXPECT_FALSE(fs::exists(folder_ / "a/conf.d/b.toml"));
  EXPECT_EQ(merlon({"check-config", "a/merlon.toml"}).status, 0);
}

// ---- pki

TEST_F(Commands, PkiFromAuthorityToRevocation) {
  ASSERT_EQ(merlon({"pki", "init", "--ca", "ca", "--dn", "O=Example, CN=VPN CA", "--type", "ed25519"}).status,
            0);
  EXPECT_EQ(mode_of("ca/ca.key"), 0600U);
  const Outcome issued =
      merlon({"pki", "issue", "--ca", "ca", "--type", "ed25519", "--dn", "O=Example, CN=berlin", "--san",
              "berlin.example", "--key", "berlin.key", "--out", "berlin.pem"});
  ASSERT_EQ(issued.status, 0) << issued.err;
  EXPECT_EQ(mode_of("berlin.key"), 0600U);

  // A request, made where the key stays.
  ASSERT_EQ(merlon({"pki", "request", "--type", "ecdsa-p256", "--san", "paris.example", "--key", "paris.key",
                    "--out", "paris.csr"})
                .status,
            0);
  EXPECT_EQ(merlon({"pki", "sign", "--ca", "ca", "--request", "paris.csr", "--out", "paris.pem"}).status, 1)
      << "nobody allowed the names";
  const Outcome is_signed = merlon(
      {"pki", "sign", "--ca", "ca", "--request", "paris.csr", "--allow-request-names", "--out", "paris.pem"});
  ASSERT_EQ(is_signed.status, 0) << is_signed.err;

  const auto ca = pki::read_certificates_file(folder_ / "ca/ca.pem").value();
  const auto berlin = pki::read_certificates_file(folder_ / "berlin.pem").value().front();
  const auto paris = pki::read_certificates_file(folder_ / "paris.pem").value().front();
  const auto key = pki::read_private_key_file(folder_ / "berlin.key").value();
  EXPECT_EQ(berlin.public_key(), key.public_key());
  EXPECT_TRUE(pki::matches(paris, *pki::identity_from_text("paris.example")));
  const auto verify = [&](const pki::Certificate& certificate, bool with_crl) {
    pki::TrustStore store;
    EXPECT_TRUE(store.add_anchor(ca.front()));
    if (with_crl) {
      EXPECT_TRUE(store.add_crl(pki::read_file(folder_ / "ca/crl.pem").value()));
    }
    const auto verified =
        store.verify(certificate, {}, io::system_now().wall,
                     with_crl ? pki::RevocationPolicy::kRequired : pki::RevocationPolicy::kIfPresent);
    return verified ? std::string() : verified.error().message;
  };
  EXPECT_EQ(verify(berlin, false), "");
  EXPECT_EQ(verify(paris, false), "");

  EXPECT_EQ(merlon({"pki", "revoke", "--ca", "ca"}).status, 2);
  EXPECT_EQ(merlon({"pki", "revoke", "--ca", "ca", "--serial", "00ff"}).status, 1);
  ASSERT_EQ(merlon({"pki", "revoke", "--ca", "ca", "--certificate", "paris.pem", "--reason", "keyCompromise"})
                .status,
            0);
  ASSERT_EQ(merlon({"pki", "crl", "--ca", "ca"}).status, 0);
  EXPECT_EQ(verify(berlin, true), "");
  EXPECT_THAT(verify(paris, true), HasSubstr("revoked"));
  const Outcome list = merlon({"pki", "list", "--ca", "ca"});
  EXPECT_THAT(list.out, HasSubstr(berlin.serial_hex()));
  EXPECT_THAT(list.out, HasSubstr("good  O=Example, CN=berlin"));
  EXPECT_THAT(list.out, HasSubstr("revoked "));
}

TEST_F(Commands, PkiRefusals) {
  EXPECT_EQ(merlon({"pki"}).status, 2);
  EXPECT_EQ(merlon({"pki", "list", "--ca", "nothing"}).status, 1);
  ASSERT_EQ(merlon({"pki", "init", "--ca", "ca", "--dn", "CN=CA", "--type", "ed25519"}).status, 0);
  EXPECT_EQ(merlon({"pki", "init", "--ca", "ca", "--dn", "CN=CA"}).status, 1) << "never a second one";
  EXPECT_EQ(merlon({"pki", "issue", "--ca", "ca", "--role", "king", "--san", "a.example", "--key", "a.key",
                    "--out", "a.pem"})
                .status,
            2);
  EXPECT_EQ(merlon({"pki", "issue", "--ca", "ca", "--days", "0", "--san", "a.example", "--key", "a.key",
                    "--out", "a.pem"})
                .status,
            2);
  // Names nobody: no key is left behind.
  EXPECT_EQ(
      merlon({"pki", "issue", "--ca", "ca", "--type", "ed25519", "--key", "a.key", "--out", "a.pem"}).status,
      2);
  EXPECT_FALSE(fs::exists(folder_ / "a.key"));
  // A key file that stands there is not overwritten, and no certificate is made for a key that nobody has.
  write("a.key", "mine");
  EXPECT_EQ(merlon({"pki", "issue", "--ca", "ca", "--type", "ed25519", "--san", "a.example", "--key", "a.key",
                    "--out", "a.pem"})
                .status,
            1);
  EXPECT_EQ(read("a.key"), "mine");
  EXPECT_EQ(merlon({"pki", "list", "--ca", "ca"}).out, "");
}

}  // namespace
}  // namespace merlon::cli
