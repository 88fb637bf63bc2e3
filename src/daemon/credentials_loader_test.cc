// Files into keys and identities: what is refused, and whether the sentence says which file and what to do.
#include "daemon/credentials_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "pki/builder.h"
#include "pki/files.h"
#include "pki/identity_text.h"
#include "pki/raw_public_key.h"

namespace merlon::daemon {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

class Credentials : public testing::Test {
 protected:
  Credentials() {
    std::string name = (fs::temp_directory_path() / "merlon-credentials-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    const auto ca_key = pki::generate_key("ed25519").value();
    const auto ca = pki::make_root(ca_key, spec("CN=CA", {}), rng_).value();
    const auto key = pki::generate_key("ed25519").value();
    const auto leaf = pki::make_certificate(ca, ca_key, key.public_key(),
                                            spec("O=Example, CN=berlin", {"berlin.example"}), rng_)
                          .value();
    write("berlin.key", as_text(key.to_pem().bytes()), 0600);
    write("other.key", as_text(pki::generate_key("ed25519")->to_pem().bytes()), 0600);
    write("berlin.pem", leaf.to_pem());
    write("ca.pem", ca.to_pem());
    write("paris.psk", "sesame\n", 0600);
    public_key_ = pki::raw_public_key_to_text(key.public_key());
  }
  ~Credentials() override { fs::remove_all(folder_); }

  static pki::CertificateSpec spec(const char* dn, const std::vector<std::string>& names) {
    pki::CertificateSpec out;
    out.subject_dn = pki::dn_from_text(dn).value();
    out.names = pki::names_from_text(names).value();
    out.not_before = UnixTime{std::chrono::seconds(1'600'000'000)};
    out.not_after = UnixTime{std::chrono::seconds(2'600'000'000)};
    return out;
  }
  void write(const std::string& name, std::string_view text, mode_t mode = 0644) const {
    ASSERT_TRUE(pki::write_public_file(folder_ / name, as_bytes(text)));
    ASSERT_EQ(chmod((folder_ / name).c_str(), mode), 0);
  }

  // As the daemon gets it: out of a text.
  Result<ResolvedConfig> load(const std::string& keys, const std::string& daemon = "") {
    const std::string text = "[daemon]\n" + daemon +
                             "[connection.paris]\nremote = \"192.0.2.1\"\nlocal_ts = "
                             "\"10.1.0.0/16\"\nremote_ts = \"10.2.0.0/16\"\n" +
                             keys;
    auto loaded = control::parse_config({{"merlon.toml", text, false}}, folder_.string());
    EXPECT_TRUE(loaded.config) << keys
                               << (loaded.diagnostics.empty() ? "" : loaded.diagnostics[0].to_string());
    return loaded.config ? resolve(*loaded.config)
                         : fail(ErrorCode::kInvalidArgument, "the test's own text is wrong");
  }
  std::string refusal(const std::string& keys, const std::string& daemon = "") {
    const auto resolved = load(keys, daemon);
    EXPECT_FALSE(resolved) << keys;
    return resolved ? "" : resolved.error().message;
  }

  fs::path folder_;
  SeededRng rng_{7};
  std::string public_key_;
};

const std::string kCertificate =
    "certificate = \"berlin.pem\"\nprivate_key = \"berlin.key\"\nca = \"ca.pem\"\nremote_id = "
    "\"paris.example\"\n";
const std::string kPsk =
    "psk_file = \"paris.psk\"\nlocal_id = \"berlin.example\"\nremote_id = \"paris.example\"\n";

TEST_F(Credentials, CertificateGivesItsSubjectAsIdentity) {
  const auto resolved = load(kCertificate);
  ASSERT_TRUE(resolved) << resolved.error().message;
  const policy::Connection& paris = *resolved->connections.at(0);
  EXPECT_EQ(pki::identity_to_text(paris.local_auth[0].id), "O=Example, CN=berlin");
  EXPECT_EQ(paris.remote_auth[0].id->to_string(), "paris.example");
  const auto* credentials = resolved->credentials->find("paris");
  ASSERT_NE(credentials, nullptr);
  EXPECT_NE(credentials->private_key, nullptr);
  EXPECT_EQ(credentials->certificates.size(), 1U);
  EXPECT_NE(credentials->trust, nullptr);
}

// What `merlon pki issue --san gw.example.com` makes: a name, and no subject.
TEST_F(Credentials, CertificateWithoutSubjectGivesItsName) {
  const auto key = pki::generate_key("ed25519").value();
  pki::CertificateSpec nameless = spec("CN=x", {"gw.example.com"});
  nameless.subject_dn = Bytes{0x30, 0x00};
  write("berlin.pem", pki::make_self_signed(key, nameless, rng_)->to_pem());
  write("berlin.key", as_text(key.to_pem().bytes()), 0600);
  const auto resolved = load(kCertificate);
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(resolved->connections[0]->local_auth[0].id, Identity::parse("gw.example.com").value());
}

// Peers may compare a distinguished name byte by byte: it is sent as the certificate has it.
TEST_F(Credentials, DistinguishedNameIsSentAsTheCertificateHasIt) {
  const auto resolved = load(kCertificate + "local_id = \"o=EXAMPLE, cn=Berlin\"\n");
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(pki::identity_to_text(resolved->connections[0]->local_auth[0].id), "O=Example, CN=berlin");
}

TEST_F(Credentials, LocalIdMayBeAnyNameOfTheCertificate) {
  EXPECT_TRUE(load(kCertificate + "local_id = \"BERLIN.example\"\n"));
  EXPECT_TRUE(load(kCertificate + "local_id = \"O=Example, CN=berlin\"\n"));
}

TEST_F(Credentials, CertificateThatDoesNotFitLocalId) {
  EXPECT_THAT(refusal(kCertificate + "local_id = \"rome.example\"\n"),
              AllOf(HasSubstr("connection \"paris\" (merlon.toml:2)"),
                    HasSubstr("local_id does not fit our own certificate"), HasSubstr("berlin.example")));
}

TEST_F(Credentials, KeyThatBelongsToAnotherCertificate) {
  std::string keys = kCertificate;
  EXPECT_THAT(refusal(keys.replace(keys.find("berlin.key"), 10, "other.key")),
              AllOf(HasSubstr("connection \"paris\""), HasSubstr("does not belong"), HasSubstr("other.key"),
                    HasSubstr("berlin.pem")));
}

TEST_F(Credentials, KeyThatOthersMayRead) {
  for (const mode_t mode : {0644U, 0640U, 0604U}) {
    ASSERT_EQ(chmod((folder_ / "berlin.key").c_str(), mode), 0);
    EXPECT_THAT(refusal(kCertificate), AllOf(HasSubstr("berlin.key"), HasSubstr("chmod 600")));
  }
}

TEST_F(Credentials, PskFileThatOthersMayRead) {
  ASSERT_EQ(chmod((folder_ / "paris.psk").c_str(), 0640), 0);
  EXPECT_THAT(refusal(kPsk), AllOf(HasSubstr("paris.psk"), HasSubstr("chmod 600"), Not(HasSubstr("sesame"))));
}

TEST_F(Credentials, PskFileLosesOneNewline) {
  const auto psk_of = [&](const std::string& content) {
    write("paris.psk", content, 0600);
    const auto resolved = load(kPsk);
    EXPECT_TRUE(resolved);
    const auto* credentials = resolved ? resolved->credentials->find("paris") : nullptr;
    if (credentials == nullptr) return std::string();
    EXPECT_EQ(credentials->local_psk, credentials->remote_psk);
    return std::string(as_text(credentials->local_psk.bytes()));
  };
  EXPECT_EQ(psk_of("sesame"), "sesame");
  EXPECT_EQ(psk_of("sesame\n"), "sesame");
  EXPECT_EQ(psk_of("sesame\n\n"), "sesame\n");
  EXPECT_EQ(psk_of(" sesame "), " sesame ");
}

TEST_F(Credentials, EmptyPskFile) {
  for (const char* content : {"", "\n"}) {
    write("paris.psk", content, 0600);
    EXPECT_THAT(refusal(kPsk), AllOf(HasSubstr("paris.psk"), HasSubstr("no pre-shared key")));
  }
}

TEST_F(Credentials, FilesThatAreNotThereOrNotWhatTheyShouldBe) {
  for (const char* name : {"berlin.key", "berlin.pem", "ca.pem"}) {
    std::string keys = kCertificate;
    EXPECT_THAT(refusal(keys.replace(keys.find(name), std::string(name).size(), "missing")),
                AllOf(HasSubstr("connection \"paris\""), HasSubstr("missing"), HasSubstr("No such file")));
  }
  EXPECT_THAT(refusal(kCertificate, "crl = \"ca.pem\"\n"), HasSubstr("ca.pem"));
  write("berlin.pem", "no certificate at all\n");
  EXPECT_THAT(refusal(kCertificate), HasSubstr("berlin.pem"));
}

TEST_F(Credentials, DaemonsCaServesEveryConnection) {
  std::string keys = kCertificate;
  keys.erase(keys.find("ca = "), std::string("ca = \"ca.pem\"\n").size());
  const auto resolved = load(keys, "ca = \"ca.pem\"\n");
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_NE(resolved->credentials->find("paris")->trust, nullptr);
}

TEST_F(Credentials, RawPublicKeys) {
  const auto resolved = load(
      "private_key = \"berlin.key\"\nlocal_id = \"@berlin\"\nremote_id = \"@paris\"\nremote_public_key = \"" +
      public_key_ + "\"\n");
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(resolved->credentials->find("paris")->public_keys.size(), 1U);
  EXPECT_THAT(refusal("private_key = \"berlin.key\"\nlocal_id = \"@berlin\"\nremote_public_key = \"AAAA\"\n"),
              HasSubstr("connection \"paris\""));
}

TEST_F(Credentials, RemoteIdentities) {
  const auto remote = [&](const std::string& id) {
    std::string keys = kCertificate;
    const auto resolved = load(keys.replace(keys.find("paris.example"), 13, id));
    EXPECT_TRUE(resolved) << id;
    return resolved ? resolved->connections[0]->remote_auth[0] : policy::RemoteAuth{};
  };
  EXPECT_FALSE(remote("%any").id);
  EXPECT_EQ(remote("%any").id_pattern, "");
  EXPECT_EQ(remote("O=Example, CN=*").id_pattern, "O=Example, CN=*");
  EXPECT_EQ(remote("O=Example, CN=paris").id->type, IdType::kDerAsn1Dn);
  EXPECT_EQ(remote("192.0.2.1").id->type, IdType::kIpv4Addr);
}

TEST_F(Credentials, SingleLocalAddressIsTheIdentityOfAPsk) {
  const auto resolved =
      load("psk_file = \"paris.psk\"\nremote_id = \"paris.example\"\nlocal = \"198.51.100.7\"\n");
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(resolved->connections[0]->local_auth[0].id.to_string(), "198.51.100.7");
}

TEST_F(Credentials, OneBadFileFailsTheWhole) {
  const auto resolved = load(kPsk +
                             "[connection.rome]\nremote = \"192.0.2.9\"\nlocal_ts = "
                             "\"10.1.0.0/16\"\nremote_ts = \"10.3.0.0/16\"\npsk_file = "
                             "\"rome.psk\"\nlocal_id = \"a.example\"\n");
  ASSERT_FALSE(resolved);
  EXPECT_THAT(resolved.error().message, HasSubstr("connection \"rome\" (merlon.toml:9)"));
}

// ---- A reload touches no tunnel that it does not change.

TEST_F(Credentials, UnchangedConnectionsKeepTheirPointer) {
  const auto before = load(kPsk).value();
  const auto again = keep_unchanged(load(kPsk).value().connections, before.connections);
  EXPECT_EQ(again, before.connections);
  // Further down in its file, but the same.
  const auto moved = keep_unchanged(load(kPsk, "\n# a comment\n\n").value().connections, before.connections);
  EXPECT_EQ(moved, before.connections);
}

TEST_F(Credentials, ChangedConnectionsAreNew) {
  const auto before = load(kPsk).value();
  for (const char* more :
       {"replay_window = 64\n", "unique = \"keep\"\n", "lifetime_soft = \"2h\"\n", "remote_port = 501\n"}) {
    const auto after = keep_unchanged(load(kPsk + more).value().connections, before.connections);
    ASSERT_EQ(after.size(), 1U);
    EXPECT_NE(after[0], before.connections[0]) << more;
  }
}

TEST_F(Credentials, OthersStayWhenOneIsAddedOrGone) {
  const auto before = load(kPsk).value();
  const std::string rome =
      "[connection.rome]\nremote = \"192.0.2.9\"\nlocal_ts = \"10.1.0.0/16\"\nremote_ts = "
      "\"10.3.0.0/16\"\npsk_file = \"paris.psk\"\nlocal_id = \"a.example\"\n";
  const auto both = keep_unchanged(load(kPsk + rome).value().connections, before.connections);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0], before.connections[0]);
  const auto one = keep_unchanged(load(kPsk).value().connections, both);
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0], both[0]);
}

}  // namespace
}  // namespace merlon::daemon
