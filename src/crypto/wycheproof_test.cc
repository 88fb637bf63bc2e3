// Wycheproof (https://github.com/C2SP/wycheproof): every file in the vectors folder whose algorithm is ours.
#include "crypto/wycheproof_test.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

namespace merlon::crypto {
namespace {

using Runner = void (*)(const nlohmann::json&, Tally&);

// By the file's "algorithm", so a file with a new name is picked up; parameters that are not ours are skipped
// inside.
const std::map<std::string, Runner> kRunners = {
    {"AES-GCM", run_gcm},
    {"AES-CCM", run_ccm},
    {"CHACHA20-POLY1305", run_chacha20_poly1305},
    {"AES-GMAC", run_gmac},
    {"AES-CMAC", run_mac},
    {"HMACSHA1", run_mac},
    {"HMACSHA256", run_mac},
    {"HMACSHA384", run_mac},
    {"HMACSHA512", run_mac},
    {"ECDH", run_ecdh},
    {"XDH", run_xdh},
    {"ECDSA", run_signature},
    {"EDDSA", run_signature},
    {"RSASSA-PSS", run_signature},
    {"RSASSA-PKCS1-v1_5", run_signature},
};

// Files that the vectors folder is known to hold: if one of them goes missing, or runs nothing, that is a
// failure.
const std::set<std::string> kKnownFiles = {
    "aes_ccm_test.json",
    "aes_cmac_test.json",
    "aes_gcm_test.json",
    "aes_gmac_test.json",
    "chacha20_poly1305_test.json",
    "ecdh_secp256r1_ecpoint_test.json",
    "ecdh_secp384r1_ecpoint_test.json",
    "ecdh_secp521r1_ecpoint_test.json",
    "ecdsa_secp256r1_sha256_test.json",
    "ecdsa_secp384r1_sha384_test.json",
    "ecdsa_secp521r1_sha512_test.json",
    "ed25519_test.json",
    "ed448_test.json",
    "hmac_sha1_test.json",
    "hmac_sha256_test.json",
    "hmac_sha384_test.json",
    "hmac_sha512_test.json",
    "rsa_pss_2048_sha256_mgf1_32_test.json",
    "rsa_signature_2048_sha256_test.json",
    "x25519_test.json",
    "x448_test.json",
};

std::optional<std::filesystem::path> vectors_folder() {
  namespace fs = std::filesystem;
  std::error_code error;
  if (const char* folder = std::getenv("MERLON_VECTORS"); folder != nullptr)
    if (fs::is_directory(fs::path(folder) / "wycheproof", error)) return fs::path(folder) / "wycheproof";
  // Beside the checkout: this file stands in src/crypto/ of it.
  const fs::path beside = fs::path(__FILE__).parent_path() / "../../../shared/vectors/wycheproof";
  if (fs::is_directory(beside, error)) return beside;
  return std::nullopt;
}

int sum(const std::map<std::string, int>& counts) {
  int total = 0;
  for (const auto& [reason, count] : counts) total += count;
  return total;
}

void print(const std::string& file, const Tally& tally) {
  fmt::print("{:<44} {:>4} valid {:>4} invalid {:>4} skipped\n", file, tally.valid, tally.invalid,
             sum(tally.skipped));
  for (const auto& [reason, count] : tally.skipped) fmt::print("{:>8} {}\n", count, reason);
}

TEST(Wycheproof, EveryFileInTheFolder) {
  const auto folder = vectors_folder();
  if (!folder) GTEST_SKIP() << "no vectors: set MERLON_VECTORS to a folder that holds wycheproof/";
  std::set<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(*folder))
    if (entry.path().extension() == ".json") files.insert(entry.path());
  std::set<std::string> missing = kKnownFiles;
  Tally all;
  for (const auto& path : files) {
    const std::string name = path.filename();
    SCOPED_TRACE(name);
    missing.erase(name);
    std::ifstream stream(path);
    const nlohmann::json file = nlohmann::json::parse(stream, nullptr, false);
    ASSERT_FALSE(file.is_discarded());
    const auto runner = kRunners.find(file.value("algorithm", ""));
    const int total = file.value("numberOfTests", 0);
    Tally tally;
    if (runner == kRunners.end()) {
      tally.skipped["algorithm not ours: " + file.value("algorithm", "unknown")] = total;
    } else {
      runner->second(file, tally);
    }
    print(name, tally);
    EXPECT_EQ(tally.valid + tally.invalid + sum(tally.skipped), total) << "a test was not counted";
    if (kKnownFiles.contains(name)) {
      EXPECT_GT(tally.valid, 0) << "no test of a known file ran";
    }
    all.valid += tally.valid;
    all.invalid += tally.invalid;
    for (const auto& [reason, count] : tally.skipped) all.skipped["in all"] += count;
  }
  print("all files", all);
  EXPECT_TRUE(missing.empty()) << "not in the folder: " << *missing.begin();
}

}  // namespace
}  // namespace merlon::crypto
