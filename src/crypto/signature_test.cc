#include "crypto/signature.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/backends/openssl_util.h"
#include "crypto/hash.h"
#include "crypto/test_support.h"

namespace merlon::crypto {
namespace {

constexpr KeyKind kAllKinds[] = {KeyKind::kRsa,       KeyKind::kEcdsaP256, KeyKind::kEcdsaP384,
                                 KeyKind::kEcdsaP521, KeyKind::kEd25519,   KeyKind::kEd448};
constexpr HashId kSha2[] = {HashId::kSha2_256, HashId::kSha2_384, HashId::kSha2_512};
constexpr HashId kEveryHash[] = {HashId::kSha1, HashId::kSha2_256, HashId::kSha2_384, HashId::kSha2_512,
                                 HashId::kIdentity};

const PrivateKey& key_of(KeyKind kind) {
  static const std::vector<PrivateKey>* const all_keys = [] {
    auto* keys = new std::vector<PrivateKey>();
    for (const KeyKind each : kAllKinds)
      keys->push_back(PrivateKey::generate(each, each == KeyKind::kRsa ? 2048 : 0).value());
    return keys;
  }();
  return (*all_keys)[static_cast<std::size_t>(kind)];
}

std::vector<SignatureScheme> schemes_for(KeyKind kind) {
  std::vector<SignatureScheme> out;
  if (kind == KeyKind::kRsa) {
    out.push_back({SignatureAlgorithm::kRsaPkcs1, HashId::kSha1});
    for (const HashId hash : kSha2) {
      out.push_back({SignatureAlgorithm::kRsaPkcs1, hash});
      out.push_back({SignatureAlgorithm::kRsaPss, hash});
    }
  } else if (is_ecdsa(kind)) {
    for (const HashId hash : kSha2) out.push_back({SignatureAlgorithm::kEcdsa, hash});
    for (const HashId hash : kSha2)
      if (static_cast<int>(hash) - static_cast<int>(HashId::kSha2_256) ==
          static_cast<int>(kind) - static_cast<int>(KeyKind::kEcdsaP256))
        out.push_back({SignatureAlgorithm::kEcdsa, hash, EcdsaForm::kRaw});
  } else {
    out.push_back({kind == KeyKind::kEd25519 ? SignatureAlgorithm::kEd25519 : SignatureAlgorithm::kEd448,
                   HashId::kIdentity});
  }
  return out;
}

Bytes spki_of(EVP_PKEY* key) {
  Bytes out(static_cast<std::size_t>(i2d_PUBKEY(key, nullptr)));
  unsigned char* cursor = out.data();
  i2d_PUBKEY(key, &cursor);
  return out;
}

TEST(Signature, EverySchemeSignsAndVerifies) {
  const Bytes message = counting(200);
  for (const KeyKind kind : kAllKinds)
    for (const SignatureScheme& scheme : schemes_for(kind)) {
      SCOPED_TRACE(name(kind) + ": " + name(scheme));
      const PrivateKey& key = key_of(kind);
      const Bytes signature = sign(key, scheme, message).value();
      EXPECT_TRUE(verify(key.public_key(), scheme, message, signature));
      EXPECT_EQ(verify(key.public_key(), scheme, counting(199), signature).error().code,
                ErrorCode::kAuthentication);
      for (const std::size_t where : {std::size_t{0}, signature.size() / 2, signature.size() - 1}) {
        Bytes altered = signature;
        altered[where] = static_cast<std::uint8_t>(altered[where] ^ 4U);
        EXPECT_EQ(verify(key.public_key(), scheme, message, altered).error().code,
                  ErrorCode::kAuthentication);
      }
      EXPECT_FALSE(verify(key.public_key(), scheme, message, {}));
      EXPECT_FALSE(verify(key.public_key(), scheme, message, concat(signature, Bytes{0})));
      // No other scheme accepts it, with this key or with another.
      for (const KeyKind other_kind : kAllKinds)
        for (const SignatureScheme& another : schemes_for(other_kind))
          if (other_kind != kind || another != scheme) {
            EXPECT_FALSE(verify(key_of(other_kind).public_key(), another, message, signature))
                << name(another);
          }
    }
}

TEST(Signature, KeysAndSchemesMustFit) {
  EXPECT_EQ(sign(key_of(KeyKind::kRsa), {SignatureAlgorithm::kEd25519, HashId::kIdentity}, {}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(sign(key_of(KeyKind::kRsa), {SignatureAlgorithm::kRsaPss, HashId::kSha1}, {}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(
      sign(key_of(KeyKind::kEd25519), {SignatureAlgorithm::kEd25519, HashId::kSha2_256}, {}).error().code,
      ErrorCode::kInvalidArgument);
  const SignatureScheme raw_384{SignatureAlgorithm::kEcdsa, HashId::kSha2_384, EcdsaForm::kRaw};
  EXPECT_EQ(sign(key_of(KeyKind::kEcdsaP256), raw_384, {}).error().code, ErrorCode::kInvalidArgument);
}

// RFC 4754 section 8.
TEST(Signature, RawEcdsaAsInRfc4754) {
  const PublicKey p256 =
      PublicKey::from_spki_der(hex("3059301306072a8648ce3d020106082a8648ce3d030107034200 04"
                                   "2442A5CC0ECD015FA3CA31DC8E2BBC70BF42D60CBCA20085E0822CB04235E970"
                                   "6FC98BD7E50211A4A27102FA3549DF79EBCB4BF246B80945CDDFE7D509BBFD7D"))
          .value();
  const Bytes signature =
      hex("CB28E0999B9C7715FD0A80D8E47A77079716CBBF917DD72E97566EA1C066957C"
          "86FA3BB4E26CAD5BF90B7F81899256CE7594BB1EA0C89212748BFF3B3D5B0315");
  EXPECT_TRUE(verify(p256, schemes_of(AuthMethod::kEcdsaSha256P256)[0], as_bytes("abc"), signature));
  EXPECT_FALSE(verify(p256, schemes_of(AuthMethod::kEcdsaSha256P256)[0], as_bytes("abd"), signature));
  EXPECT_FALSE(verify(p256, {SignatureAlgorithm::kEcdsa, HashId::kSha2_256}, as_bytes("abc"), signature));
  const PublicKey p384 = PublicKey::from_spki_der(hex("3076301006072a8648ce3d020106052b81040022036200 04"
                                                      "96281BF8DD5E0525CA049C048D345D3082968D10FEDF5C5ACA0C64"
                                                      "E6465A97EA5CE10C9DFEC21797415710721F437922"
                                                      "447688BA94708EB6E2E4D59F6AB6D7EDFF9301D249FE49C3309665"
                                                      "5F5D502FAD3D383B91C5E7EDAA2B714CC99D5743CA"))
                             .value();
  EXPECT_TRUE(verify(
      p384, schemes_of(AuthMethod::kEcdsaSha384P384)[0], as_bytes("abc"),
      hex("FB017B914E29149432D8BAC29A514640B46F53DDAB2C69948084E2930F1C8F7E08E07C9C63F2D21A07DCB56A6AF56EB3"
          "B263A1305E057F984D38726A1B46874109F417BCA112674C528262A40A629AF1CBB9F516CE0FA7D2FF630863A00E8B9"
          "F")));
}

TEST(AlgorithmIdentifier, AsInRfc7427AppendixAAndRfc8420) {
  const auto der = [](const SignatureScheme& scheme) {
    return to_hex(algorithm_identifier_der(scheme).value());
  };
  EXPECT_EQ(der({SignatureAlgorithm::kRsaPkcs1, HashId::kSha1}), "300d06092a864886f70d0101050500");
  EXPECT_EQ(der({SignatureAlgorithm::kRsaPkcs1, HashId::kSha2_256}), "300d06092a864886f70d01010b0500");
  EXPECT_EQ(der({SignatureAlgorithm::kRsaPkcs1, HashId::kSha2_384}), "300d06092a864886f70d01010c0500");
  EXPECT_EQ(der({SignatureAlgorithm::kRsaPkcs1, HashId::kSha2_512}), "300d06092a864886f70d01010d0500");
  EXPECT_EQ(der({SignatureAlgorithm::kEcdsa, HashId::kSha1}), "300906072a8648ce3d0401");
  EXPECT_EQ(der({SignatureAlgorithm::kEcdsa, HashId::kSha2_256}), "300a06082a8648ce3d040302");
  EXPECT_EQ(der({SignatureAlgorithm::kEcdsa, HashId::kSha2_384}), "300a06082a8648ce3d040303");
  EXPECT_EQ(der({SignatureAlgorithm::kEcdsa, HashId::kSha2_512}), "300a06082a8648ce3d040304");
  EXPECT_EQ(der({SignatureAlgorithm::kEd25519, HashId::kIdentity}), "300506032b6570");
  EXPECT_EQ(der({SignatureAlgorithm::kEd448, HashId::kIdentity}), "300506032b6571");
  EXPECT_FALSE(algorithm_identifier_der({SignatureAlgorithm::kRsaPss, HashId::kSha1}));
  EXPECT_FALSE(algorithm_identifier_der({SignatureAlgorithm::kEcdsa, HashId::kSha2_256, EcdsaForm::kRaw}));
}

// OpenSSL's own encoder is the second opinion.
TEST(AlgorithmIdentifier, AgreesWithOpenssl) {
  for (const KeyKind kind : kAllKinds)
    for (const SignatureScheme& scheme : schemes_for(kind)) {
      if (scheme.ecdsa_form == EcdsaForm::kRaw) continue;
      SCOPED_TRACE(name(scheme));
      constexpr const char* kNames[] = {nullptr, "SHA1", "SHA256", "SHA384", "SHA512", nullptr};
      const MdCtxPtr ctx(EVP_MD_CTX_new());
      EVP_PKEY_CTX* parameters = nullptr;
      ASSERT_EQ(EVP_DigestSignInit_ex(ctx.get(), &parameters, kNames[static_cast<std::size_t>(scheme.hash)],
                                      nullptr, nullptr, key_of(kind).native(), nullptr),
                1);
      if (scheme.algorithm == SignatureAlgorithm::kRsaPss) {
        EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST);
      }
      Bytes der(200);
      OSSL_PARAM wanted[] = {
          OSSL_PARAM_construct_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, der.data(), der.size()),
          OSSL_PARAM_construct_end()};
      ASSERT_EQ(EVP_PKEY_CTX_get_params(parameters, wanted), 1);
      der.resize(wanted[0].return_size);
      EXPECT_EQ(to_hex(algorithm_identifier_der(scheme).value()), to_hex(der));
      EXPECT_EQ(parse_algorithm_identifier(der).value(), scheme);
    }
}

TEST(AlgorithmIdentifier, PssParametersAreChecked) {
  const SignatureScheme sha256{SignatureAlgorithm::kRsaPss, HashId::kSha2_256};
  const std::string oid = "06092a864886f70d01010a";
  const std::string hash = "300d06096086480165030402010500";
  const std::string mask = "301a06092a864886f70d010108" + hash;
  const auto parse = [](const std::string& der) { return parse_algorithm_identifier(*from_hex(der)); };
  // RFC 7427 A.4.3 spells the trailer field out; DER leaves a default away. Both pass.
  EXPECT_EQ(parse("3041" + oid + "3034a00f" + hash + "a11c" + mask + "a203020120").value(), sha256);
  EXPECT_EQ(parse("3046" + oid + "3039a00f" + hash + "a11c" + mask + "a203020120a303020101").value(), sha256);
  // Without NULL in the hashes.
  EXPECT_EQ(parse("303d" + oid +
                  "3030a00d300b0609608648016503040201a11a301806092a864886f70d010108300b0609608648016503040201"
                  "a203020120")
                .value(),
            sha256);
  // RFC 7427 A.4.1 and A.4.2: the defaults, SHA-1 with a salt of 20 bytes.
  EXPECT_EQ(parse("300d" + oid + "3000").error().code, ErrorCode::kUnsupported);
  EXPECT_FALSE(parse("300b" + oid));
  // A salt of 20 or 33 bytes, another hash in the mask, a trailer of 2, a byte behind.
  EXPECT_FALSE(parse("3041" + oid + "3034a00f" + hash + "a11c" + mask + "a203020114"));
  EXPECT_FALSE(parse("3041" + oid + "3034a00f" + hash + "a11c" + mask + "a203020121"));
  EXPECT_FALSE(parse("3041" + oid + "3034a00f" + hash +
                     "a11c301a06092a864886f70d010108300d06096086480165030402020500"
                     "a203020120"));
  EXPECT_FALSE(parse("3046" + oid + "3039a00f" + hash + "a11c" + mask + "a203020120a303020102"));
  EXPECT_FALSE(parse("3041" + oid + "3034a00f" + hash + "a11c" + mask + "a20302012000"));
}

TEST(AlgorithmIdentifier, NonsenseIsUnsupported) {
  for (const Bytes& der : {Bytes{}, Bytes{0x30}, Bytes{0x30, 0x00}, Bytes(300, 0x30)})
    EXPECT_EQ(parse_algorithm_identifier(der).error().code, ErrorCode::kUnsupported);
  EXPECT_LT(parse_algorithm_identifier(Bytes(60000, 0x30)).error().message.size(), 300U);
  // RFC 4055 5: absent parameters pass for PKCS #1 v1.5; MD5 does not.
  EXPECT_TRUE(parse_algorithm_identifier(*from_hex("300b06092a864886f70d01010b")));
  EXPECT_FALSE(parse_algorithm_identifier(*from_hex("300d06092a864886f70d0101040500")));
}

TEST(ChooseScheme, FollowsRfc7427AndRfc8420) {
  const auto rsa = key_of(KeyKind::kRsa).public_key();
  const auto p384 = key_of(KeyKind::kEcdsaP384).public_key();
  EXPECT_EQ(*choose_scheme(rsa, kEveryHash, true),
            (SignatureScheme{SignatureAlgorithm::kRsaPss, HashId::kSha2_256}));
  EXPECT_EQ(*choose_scheme(rsa, kEveryHash, false),
            (SignatureScheme{SignatureAlgorithm::kRsaPkcs1, HashId::kSha2_256}));
  EXPECT_EQ(*choose_scheme(p384, kEveryHash, true),
            (SignatureScheme{SignatureAlgorithm::kEcdsa, HashId::kSha2_384}));
  const HashId few[] = {HashId::kSha1, HashId::kSha2_256, HashId::kSha2_512};
  EXPECT_EQ(choose_scheme(p384, few, true)->hash, HashId::kSha2_512);
  const HashId only_sha1[] = {HashId::kSha1};
  EXPECT_EQ(choose_scheme(rsa, only_sha1, true).error().code, ErrorCode::kUnsupported);
  EXPECT_FALSE(choose_scheme(rsa, {}, true));
  const auto ed25519 = key_of(KeyKind::kEd25519).public_key();
  EXPECT_FALSE(choose_scheme(ed25519, few, true));
  EXPECT_EQ(choose_scheme(ed25519, kEveryHash, true)->algorithm, SignatureAlgorithm::kEd25519);
  EXPECT_EQ(choose_scheme(key_of(KeyKind::kEd448).public_key(), kEveryHash, true)->algorithm,
            SignatureAlgorithm::kEd448);
}

TEST(LegacyMethods, AreThoseOfRfc7296AndRfc4754) {
  EXPECT_EQ(legacy_auth_method(key_of(KeyKind::kRsa).public_key()), AuthMethod::kRsaDigitalSignature);
  EXPECT_EQ(legacy_auth_method(key_of(KeyKind::kEcdsaP521).public_key()), AuthMethod::kEcdsaSha512P521);
  EXPECT_FALSE(legacy_auth_method(key_of(KeyKind::kEd448).public_key()));
  EXPECT_EQ(schemes_of(AuthMethod::kRsaDigitalSignature)[0].hash, HashId::kSha1);
  EXPECT_EQ(schemes_of(AuthMethod::kEcdsaSha384P384)[0].ecdsa_form, EcdsaForm::kRaw);
  EXPECT_TRUE(schemes_of(AuthMethod::kDigitalSignature).empty());
  EXPECT_TRUE(schemes_of(AuthMethod::kSharedKeyMic).empty());
  for (const KeyKind kind : {KeyKind::kEcdsaP256, KeyKind::kEcdsaP384, KeyKind::kEcdsaP521, KeyKind::kRsa}) {
    const auto& key = key_of(kind);
    for (const SignatureScheme& scheme : schemes_of(*legacy_auth_method(key.public_key())))
      EXPECT_TRUE(verify(key.public_key(), scheme, as_bytes("x"), sign(key, scheme, as_bytes("x")).value()));
  }
}

// RFC 8247 4.1
TEST(CheckKey, RefusesShortRsa) {
  const PkeyPtr native(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024}));
  const PublicKey key = PublicKey::from_spki_der(spki_of(native.get())).value();
  EXPECT_EQ(key.bits(), 1024U);
  EXPECT_EQ(check_key(key).error().code, ErrorCode::kPolicy);
  EXPECT_EQ(verify(key, {SignatureAlgorithm::kRsaPkcs1, HashId::kSha2_256}, {}, Bytes(128)).error().code,
            ErrorCode::kPolicy);
  EXPECT_EQ(PrivateKey::generate(KeyKind::kRsa, 1024).error().code, ErrorCode::kInvalidArgument);
}

TEST(CheckKey, RefusesDegenerateRsaExponents) {
  Bytes spki = key_of(KeyKind::kRsa).public_key().spki_der();
  for (const std::uint8_t last : {std::uint8_t{0x00}, std::uint8_t{0x02}}) {
    spki.back() = last;  // 65536 and 65538: even
    EXPECT_EQ(check_key(PublicKey::from_spki_der(spki).value()).error().code, ErrorCode::kPolicy);
  }
  // ... 02 03 01 00 01 -> 02 03 00 00 01: not minimal DER, or 1; either way no key that verifies.
  spki.back() = 1;
  spki[spki.size() - 3] = 0;
  const auto one = PublicKey::from_spki_der(spki);
  EXPECT_TRUE(!one || !check_key(*one));
}

TEST(CheckKey, RefusesSmallOrderEdwardsKeys) {
  const auto ed25519 = [](std::string_view key) {
    return PublicKey::from_spki_der(concat(hex("302a300506032b6570032100"), hex(key)));
  };
  // The eight points of small order: y = 1, 0, -1, and two of order 8; signs of x; and y = p, p + 1, not
  // canonical.
  for (const std::string_view y : {"0100000000000000000000000000000000000000000000000000000000000000",
                                   "0000000000000000000000000000000000000000000000000000000000000000",
                                   "0000000000000000000000000000000000000000000000000000000000000080",
                                   "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                   "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                                   "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
                                   "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                                   "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
                                   "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                   "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    EXPECT_EQ(check_key(ed25519(y).value()).error().code, ErrorCode::kPolicy) << y;
  }
  // RFC 8032 7.1, test 1.
  EXPECT_TRUE(check_key(ed25519("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").value()));

  const auto ed448 = [](Bytes key) {
    return PublicKey::from_spki_der(concat(hex("3043300506032b6571033a00"), key));
  };
  Bytes y(57, 0);
  EXPECT_EQ(check_key(ed448(y).value()).error().code, ErrorCode::kPolicy);
  y[0] = 1;
  EXPECT_EQ(check_key(ed448(y).value()).error().code, ErrorCode::kPolicy);
  y.assign(57, 0xff);  // p - 1
  y[0] = 0xfe;
  y[28] = 0xfe;
  y[56] = 0;
  EXPECT_EQ(check_key(ed448(y).value()).error().code, ErrorCode::kPolicy);
  EXPECT_TRUE(check_key(key_of(KeyKind::kEd448).public_key()));
}

// What a lax verifier takes for a signature (RFC 8017 8.2.2 says: encode and compare): each block is one that the key's owner
// never signed as such, raised to the private exponent.
TEST(Signature, LaxPkcs1EncodingsAreRefused) {
  const PrivateKey& key = key_of(KeyKind::kRsa);
  const SignatureScheme scheme{SignatureAlgorithm::kRsaPkcs1, HashId::kSha2_256};
  const Bytes message = counting(50);
  const Bytes prefix = hex("3031300d060960864801650304020105000420");
  const Bytes digest_info = concat(prefix, sha2_256({message}));
  const auto block = [](std::uint8_t type, ByteView content, std::size_t padding = 0) {
    if (padding == 0) padding = 256 - 3 - content.size();
    Bytes made{0, type};
    made.insert(made.end(), padding, 0xff);
    made.push_back(0);
    append(made, content);
    made.resize(256, 0x5a);  // what is left is garbage behind the digest
    return made;
  };
  const auto is_signature = [&](const Bytes& encoded) {
    const PkeyCtxPtr ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, key.native(), nullptr));
    Bytes signature(256);
    std::size_t size = signature.size();
    EXPECT_EQ(EVP_PKEY_sign_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(ctx.get(), RSA_NO_PADDING), 1);
    EXPECT_EQ(EVP_PKEY_sign(ctx.get(), signature.data(), &size, encoded.data(), encoded.size()), 1);
    return verify(key.public_key(), scheme, message, signature).has_value();
  };
  EXPECT_TRUE(is_signature(block(1, digest_info)));
  EXPECT_FALSE(is_signature(block(1, digest_info, 8))) << "garbage behind the digest";
  EXPECT_FALSE(is_signature(block(1, digest_info, 200))) << "a little garbage behind the digest";
  EXPECT_FALSE(is_signature(block(2, digest_info))) << "the block of an encryption";
  EXPECT_FALSE(is_signature(block(0, digest_info))) << "block type 0";
  Bytes broken = block(1, digest_info);
  broken[40] = 0xfe;
  EXPECT_FALSE(is_signature(broken)) << "a padding byte that is not ff";
  EXPECT_FALSE(is_signature(block(1, sha2_256({message})))) << "a digest without its algorithm";
  const Bytes garbage_in_parameters =
      concat(hex("3035301106096086480165030402010504deadbeef0420"), sha2_256({message}));
  EXPECT_FALSE(is_signature(block(1, garbage_in_parameters))) << "parameters that are not NULL";
  const Bytes long_length = concat(hex("308131300d060960864801650304020105000420"), sha2_256({message}));
  EXPECT_FALSE(is_signature(block(1, long_length))) << "BER";
}

TEST(CheckKey, RefusesDegenerateEcKeys) {
  const Bytes spki = key_of(KeyKind::kEcdsaP256).public_key().spki_der();
  const auto accepted = [](const Bytes& der) {
    const auto key = PublicKey::from_spki_der(der);
    return key && check_key(*key).has_value();
  };
  ASSERT_TRUE(accepted(spki));
  Bytes off_curve = spki;
  off_curve.back() ^= 1U;
  EXPECT_FALSE(accepted(off_curve));
  Bytes zero(spki.begin(), spki.end() - 64);
  zero.resize(spki.size());
  EXPECT_FALSE(accepted(zero)) << "x = y = 0";
  EXPECT_FALSE(accepted(hex("3019301306072a8648ce3d020106082a8648ce3d03010703020000")))
      << "the point at infinity";
}

}  // namespace
}  // namespace merlon::crypto
