#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crypto/key_exchange.h"
#include "crypto/signature.h"
#include "crypto/test_support.h"
#include "crypto/wycheproof_test.h"

namespace merlon::crypto {
namespace {

using nlohmann::json;

bool has_flag(const json& test, std::string_view flag) {
  for (const json& each : test.at("flags"))
    if (each == flag) return true;
  return false;
}

// The private value as long as the group's, whatever zeros the file puts in front.
Bytes fitted(Bytes value, std::size_t size) {
  while (value.size() > size && value.front() == 0) value.erase(value.begin());
  while (value.size() < size) value.insert(value.begin(), 0);
  return value;
}

void expect_derived(KeMethod method, const Bytes& private_value, const Bytes& peer, const Bytes& shared,
                    bool accepted, Tally& tally) {
  ScriptedRng rng(private_value);
  const auto exchange = KeyExchange::generate(method, rng);
  ASSERT_TRUE(exchange) << exchange.error().message;
  const auto derived = (*exchange)->derive(peer);
  EXPECT_EQ(derived.has_value(), accepted);
  if (accepted && derived) {
    EXPECT_EQ(to_hex(derived->bytes()), to_hex(shared));
  }
  ++(accepted ? tally.valid : tally.invalid);
}

HashId hash_of(const std::string& name) {
  if (name == "SHA-256") return HashId::kSha2_256;
  if (name == "SHA-384") return HashId::kSha2_384;
  if (name == "SHA-512") return HashId::kSha2_512;
  return HashId::kSha1;
}

// None where the group's parameters are not ours.
std::optional<SignatureScheme> scheme_of(const json& file, const json& group, KeyKind kind) {
  const std::string algorithm = file.at("algorithm");
  if (algorithm == "EDDSA")
    return SignatureScheme{
        kind == KeyKind::kEd25519 ? SignatureAlgorithm::kEd25519 : SignatureAlgorithm::kEd448,
        HashId::kIdentity};
  const std::string sha = group.at("sha");
  const HashId hash = hash_of(sha);
  if (hash == HashId::kSha1 && sha != "SHA-1") return std::nullopt;
  if (algorithm == "ECDSA") return SignatureScheme{SignatureAlgorithm::kEcdsa, hash};
  if (algorithm == "RSASSA-PKCS1-v1_5") return SignatureScheme{SignatureAlgorithm::kRsaPkcs1, hash};
  const int digest_size = hash == HashId::kSha2_256 ? 32 : hash == HashId::kSha2_384 ? 48 : 64;
  if (hash == HashId::kSha1 || group.at("mgfSha") != sha || group.at("sLen") != digest_size)
    return std::nullopt;
  return SignatureScheme{SignatureAlgorithm::kRsaPss, hash};
}

}  // namespace

void run_ecdh(const json& file, Tally& tally) {
  for (const json& group : file.at("testGroups")) {
    const std::string curve = group.at("curve");
    const KeMethod method = curve == "secp256r1"   ? KeMethod::kEcp256
                            : curve == "secp384r1" ? KeMethod::kEcp384
                            : curve == "secp521r1" ? KeMethod::kEcp521
                                                   : KeMethod::kNone;
    for (const json& test : group.at("tests")) {
      SCOPED_TRACE("tcId " + test.at("tcId").dump());
      if (method == KeMethod::kNone || group.at("encoding") != "ecpoint") {
        tally.skip("curve or encoding not ours: " + curve);
        continue;
      }
      Bytes peer = hex(test.at("public").get<std::string>());
      // RFC 5903 7: x | y without the octet of the form, so a compressed point has no place in IKE and is
      // refused.
      const bool uncompressed = !peer.empty() && peer.front() == 4;
      if (uncompressed) peer.erase(peer.begin());
      expect_derived(
          method, fitted(hex(test.at("private").get<std::string>()), public_value_size(method) / 2), peer,
          hex(test.at("shared").get<std::string>()), test.at("result") == "valid" && uncompressed, tally);
    }
  }
}

void run_xdh(const json& file, Tally& tally) {
  for (const json& group : file.at("testGroups"))
    for (const json& test : group.at("tests")) {
      SCOPED_TRACE("tcId " + test.at("tcId").dump());
      const KeMethod method = group.at("curve") == "curve25519" ? KeMethod::kCurve25519 : KeMethod::kCurve448;
      // What the file calls acceptable is decided by RFC 8031: all zeros MUST be refused, the rest is as RFC
      // 7748 says.
      const Bytes shared = hex(test.at("shared").get<std::string>());
      const bool zero =
          std::all_of(shared.begin(), shared.end(), [](std::uint8_t byte) { return byte == 0; });
      const bool accepted = test.at("result") != "invalid" && !zero && !has_flag(test, "ZeroSharedSecret");
      expect_derived(method, hex(test.at("private").get<std::string>()),
                     hex(test.at("public").get<std::string>()), shared, accepted, tally);
    }
}

void run_signature(const json& file, Tally& tally) {
  for (const json& group : file.at("testGroups")) {
    const auto key = PublicKey::from_spki_der(hex(group.at("publicKeyDer").get<std::string>()));
    const auto scheme = key ? scheme_of(file, group, key->kind()) : std::nullopt;
    if (key) {
      EXPECT_EQ(PublicKey::from_pem(group.at("publicKeyPem").get<std::string>()).value(), *key);
    }
    for (const json& test : group.at("tests")) {
      SCOPED_TRACE("tcId " + test.at("tcId").dump());
      if (!scheme) {
        tally.skip(key ? "parameters not ours" : "key not ours: " + key.error().message);
        continue;
      }
      // "Acceptable" are encodings that only lenient verifiers take: refused.
      const bool valid = test.at("result") == "valid";
      EXPECT_EQ(verify(*key, *scheme, hex(test.at("msg").get<std::string>()),
                       hex(test.at("sig").get<std::string>()))
                    .has_value(),
                valid);
      ++(valid ? tally.valid : tally.invalid);
    }
  }
}

}  // namespace merlon::crypto
