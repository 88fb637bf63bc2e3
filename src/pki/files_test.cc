#include "pki/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "pki/test_support.h"

namespace merlon::pki {
namespace {

unsigned mode_of(const std::filesystem::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
}

TEST(Files, PrivateFilesArePrivate) {
  const ScratchDirectory scratch;
  const auto key = value_or_die(generate_key("ed25519"));
  ASSERT_TRUE(write_private_file(scratch / "key.pem", key.to_pem().bytes()));
  EXPECT_EQ(mode_of(scratch / "key.pem"), 0600U);
  const auto read = read_private_key_file(scratch / "key.pem");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->public_key(), key.public_key());
  for (const mode_t mode : {0640U, 0604U, 0620U, 0602U, 0644U, 0610U}) {
    ASSERT_EQ(::chmod((scratch / "key.pem").c_str(), mode), 0);
    const auto refused = read_private_key_file(scratch / "key.pem");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kPolicy);
    EXPECT_NE(refused.error().message.find("chmod 600"), std::string::npos) << refused.error().message;
  }
  ASSERT_EQ(::chmod((scratch / "key.pem").c_str(), 0400), 0);
  EXPECT_TRUE(read_private_key_file(scratch / "key.pem"));
}

TEST(Files, PrivateFilesAreNeverOverwritten) {
  const ScratchDirectory scratch;
  ASSERT_TRUE(write_private_file(scratch / "key", as_bytes("first")));
  const auto second = write_private_file(scratch / "key", as_bytes("second"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kPolicy);
  EXPECT_EQ(scratch.read("key"), "first");
  ASSERT_TRUE(replace_private_file(scratch / "key", as_bytes("third")));
  EXPECT_EQ(scratch.read("key"), "third");
  EXPECT_EQ(mode_of(scratch / "key"), 0600U);
  EXPECT_EQ(scratch.run("ls -A").text, "key\n") << "no temporary file stays";
}

TEST(Files, PublicFilesAreReplaced) {
  const ScratchDirectory scratch;
  ASSERT_TRUE(write_public_file(scratch / "c", as_bytes("1")));
  ASSERT_TRUE(write_public_file(scratch / "c", as_bytes("2")));
  EXPECT_EQ(scratch.read("c"), "2");
  EXPECT_EQ(mode_of(scratch / "c"), 0644U);
}

TEST(Files, WhatIsNoFile) {
  const ScratchDirectory scratch;
  EXPECT_EQ(read_file(scratch / "none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(read_file(scratch.path()).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(read_file("/dev/null").error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(write_public_file(scratch / "none/c", as_bytes("1")));
  EXPECT_FALSE(write_private_file("", as_bytes("1")));
  ASSERT_TRUE(write_public_file(scratch / "empty", {}));
  EXPECT_TRUE(read_file(scratch / "empty")->empty());
  EXPECT_FALSE(read_certificates_file(scratch / "empty"));
  ASSERT_TRUE(write_private_file(scratch / "bad.key", as_bytes("nonsense")));
  const auto bad = read_private_key_file(scratch / "bad.key");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("bad.key"), std::string::npos);
}

TEST(Files, Certificates) {
  const ScratchDirectory scratch;
  TestAuthority authority("CN=CA");
  const Certificate leaf = authority.issue(spec_for("CN=gw"));
  scratch.write("chain.pem", leaf.to_pem() + authority.certificate.to_pem());
  ASSERT_TRUE(write_public_file(scratch / "leaf.der", leaf.der()));
  EXPECT_EQ(*read_certificates_file(scratch / "chain.pem"),
            (std::vector<Certificate>{leaf, authority.certificate}));
  EXPECT_EQ(*read_certificates_file(scratch / "leaf.der"), std::vector<Certificate>{leaf});
}

TEST(Files, KeysThatOpensslWrote) {
  MERLON_NEEDS_OPENSSL_COMMAND();
  const ScratchDirectory scratch;
  for (const char* make :
       {"genpkey -algorithm ed25519 -out k", "genpkey -algorithm ed448 -outform DER -out k",
        "genrsa -traditional -out k 2048", "ecparam -name prime256v1 -genkey -noout -out k",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out k"}) {
    const auto made = scratch.run(std::string("rm -f k; umask 077; openssl ") + make);
    ASSERT_EQ(made.status, 0) << made.text;
    const auto key = read_private_key_file(scratch / "k");
    EXPECT_TRUE(key) << make << ": " << key.error().message;
  }
}

}  // namespace
}  // namespace merlon::pki
