#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crypto/integrity.h"
#include "crypto/message_cipher.h"
#include "crypto/prf.h"
#include "crypto/test_support.h"
#include "crypto/wycheproof_test.h"

namespace merlon::crypto {
namespace {

using nlohmann::json;

struct AeadVector {
  Bytes key;
  Bytes nonce;
  Bytes aad;
  Bytes message;
  Bytes ciphertext;
  Bytes tag;
  bool valid = false;
};

AeadVector aead_vector(const json& test) {
  return {hex(test.at("key").get<std::string>()),
          hex(test.at("iv").get<std::string>()),
          hex(test.at("aad").get<std::string>()),
          hex(test.at("msg").get<std::string>()),
          hex(test.at("ct").get<std::string>()),
          hex(test.at("tag").get<std::string>()),
          test.at("result") == "valid"};
}

std::uint64_t number(ByteView bytes) {
  std::uint64_t out = 0;
  for (const std::uint8_t byte : bytes) out = out << 8U | byte;
  return out;
}

// As the protection of an IKE message: the salt is the nonce's front, the IV its last 8 bytes.
void through_message_cipher(const AeadVector& vector, EncrId encr) {
  const std::size_t salt = vector.nonce.size() - 8;
  const MessageCipherSuite suite{encr, static_cast<unsigned>(8 * vector.key.size()), IntegId::kNone};
  const Bytes keymat = concat(vector.key, ByteView(vector.nonce).first(salt));
  const ByteView iv = ByteView(vector.nonce).last(8);
  const auto cipher = MessageCipher::create(suite, Secret::copy_of(keymat), {}, number(iv));
  ASSERT_TRUE(cipher) << cipher.error().message;
  const Bytes wire = concat(iv, vector.ciphertext, vector.tag);
  const auto opened = (*cipher)->open(vector.aad, wire);
  EXPECT_EQ(opened.has_value(), vector.valid);
  if (!vector.valid) return;
  EXPECT_EQ(*opened, vector.message);
  SeededRng unused(0);
  EXPECT_EQ(to_hex((*cipher)->seal(vector.aad, vector.message, unused).value()), to_hex(wire));
}

// The packet between two of another key.
void through_a_burst(PacketCipher& cipher, PacketCipher& neighbour, const AeadVector& vector, ByteView header,
                     std::uint32_t high) {
  const ByteView iv = ByteView(vector.nonce).last(8);
  TestPacket packets[] = {TestPacket(neighbour, header, iv, vector.message, high),
                          TestPacket(cipher, header, iv, vector.ciphertext, high),
                          TestPacket(neighbour, header, iv, vector.ciphertext, high)};
  packets[1].set_icv(vector.tag);
  seal_one(neighbour, packets[0]);
  seal_one(neighbour, packets[2]);
  std::vector<PacketJob> jobs;
  for (TestPacket& packet : packets) jobs.push_back(packet.job());
  PacketCipher* const ciphers[] = {&neighbour, &cipher, &neighbour};
  PacketCipher::open_all(jobs, ciphers);
  EXPECT_TRUE(jobs[0].ok && jobs[2].ok);
  EXPECT_EQ(jobs[1].ok, vector.valid) << name(cipher.backend());
  if (!vector.valid) return;
  EXPECT_TRUE(equal(packets[1].data(), vector.message)) << name(cipher.backend());
  PacketCipher::seal_all(jobs, ciphers);
  EXPECT_TRUE(equal(packets[1].data(), vector.ciphertext) && equal(packets[1].icv(), vector.tag));
}

// As ESP packets, where the additional data are as long as SPI | sequence number; through every back end.
bool through_packet_ciphers(const AeadVector& vector, EncrId encr) {
  const bool esn = vector.aad.size() == 12;
  if ((vector.aad.size() != 8 && !esn) || vector.ciphertext.empty()) return false;
  const std::size_t salt = vector.nonce.size() - 8;
  const Bytes keymat = concat(vector.key, ByteView(vector.nonce).first(salt));
  const ByteView aad = vector.aad;
  const Bytes header = concat(aad.first(4), aad.last(4));
  const auto high = esn ? static_cast<std::uint32_t>(number(aad.subspan(4, 4))) : 0U;
  for (const PacketBackend backend :
       {PacketBackend::kVaes, PacketBackend::kIpsecMb, PacketBackend::kOpenssl}) {
    const EspTransform transform{encr, static_cast<unsigned>(8 * vector.key.size()), IntegId::kNone};
    const auto cipher = PacketCipher::create_with_backend(backend, transform, esn, keymat, {});
    if (!cipher) continue;
    TestPacket packet(**cipher, header, ByteView(vector.nonce).last(8), vector.ciphertext, high);
    packet.set_icv(vector.tag);
    EXPECT_EQ(open_one(**cipher, packet), vector.valid) << name(backend);
    through_a_burst(
        **cipher,
        *PacketCipher::create_with_backend(backend, transform, esn, counting(keymat.size()), {}).value(),
        vector, header, high);
    if (!vector.valid) continue;
    EXPECT_TRUE(equal(packet.data(), vector.message)) << name(backend);
    seal_one(**cipher, packet);
    EXPECT_TRUE(equal(packet.data(), vector.ciphertext) && equal(packet.icv(), vector.tag)) << name(backend);
  }
  return true;
}

void count(bool valid, Tally& tally) {
  ++(valid ? tally.valid : tally.invalid);
}

// `ids`: by the size of the tag.
void run_aead(const json& file, Tally& tally, const std::map<std::size_t, EncrId>& ids,
              std::size_t nonce_size) {
  int as_packets = 0;
  for (const json& group : file.at("testGroups"))
    for (const json& test : group.at("tests")) {
      SCOPED_TRACE("tcId " + test.at("tcId").dump());
      const AeadVector vector = aead_vector(test);
      const auto id = ids.find(vector.tag.size());
      if (vector.nonce.size() != nonce_size) {
        tally.skip(fmt::format("the nonce has not {} bits", 8 * nonce_size));
      } else if (id == ids.end()) {
        tally.skip("IKE and ESP have no ICV of this size");
      } else {
        through_message_cipher(vector, id->second);
        if (through_packet_ciphers(vector, id->second)) ++as_packets;
        count(vector.valid, tally);
      }
    }
  fmt::print("{:>8} of the following ran as ESP packets as well\n", as_packets);
}

PrfId prf_of(const std::string& algorithm) {
  if (algorithm == "HMACSHA1") return PrfId::kHmacSha1;
  if (algorithm == "HMACSHA256") return PrfId::kHmacSha2_256;
  if (algorithm == "HMACSHA384") return PrfId::kHmacSha2_384;
  if (algorithm == "HMACSHA512") return PrfId::kHmacSha2_512;
  return PrfId::kAes128Cmac;
}

IntegId integ_of(PrfId id) {
  switch (id) {
    case PrfId::kHmacSha1:
      return IntegId::kHmacSha1_96;
    case PrfId::kHmacSha2_256:
      return IntegId::kHmacSha2_256_128;
    case PrfId::kHmacSha2_384:
      return IntegId::kHmacSha2_384_192;
    case PrfId::kHmacSha2_512:
      return IntegId::kHmacSha2_512_256;
    default:
      return IntegId::kAesCmac96;
  }
}

}  // namespace

void run_gcm(const json& file, Tally& tally) {
  run_aead(file, tally, {{8, EncrId::kAesGcm8}, {12, EncrId::kAesGcm12}, {16, EncrId::kAesGcm16}}, 12);
}

void run_ccm(const json& file, Tally& tally) {
  run_aead(file, tally, {{8, EncrId::kAesCcm8}, {12, EncrId::kAesCcm12}, {16, EncrId::kAesCcm16}}, 11);
}

void run_chacha20_poly1305(const json& file, Tally& tally) {
  run_aead(file, tally, {{16, EncrId::kChacha20Poly1305}}, 12);
}

// GMAC is GCM without plaintext. (ESP's own GMAC has a fixed form and is compared with GCM in
// packet_cipher_test.cc.)
void run_gmac(const json& file, Tally& tally) {
  for (const json& group : file.at("testGroups"))
    for (const json& test : group.at("tests")) {
      SCOPED_TRACE("tcId " + test.at("tcId").dump());
      AeadVector vector;
      vector.key = hex(test.at("key").get<std::string>());
      vector.nonce = hex(test.at("iv").get<std::string>());
      vector.aad = hex(test.at("msg").get<std::string>());
      vector.tag = hex(test.at("tag").get<std::string>());
      vector.valid = test.at("result") == "valid";
      if (vector.nonce.size() != 12) {
        tally.skip("the nonce has not 96 bits");
      } else if (vector.tag.size() != 16) {
        tally.skip("IKE and ESP have no ICV of this size");
      } else {
        through_message_cipher(vector, EncrId::kAesGcm16);
        count(vector.valid, tally);
      }
    }
}

void run_mac(const json& file, Tally& tally) {
  const PrfId id = prf_of(file.at("algorithm"));
  const IntegId integ = integ_of(id);
  for (const json& group : file.at("testGroups"))
    for (const json& test : group.at("tests")) {
      SCOPED_TRACE("tcId " + test.at("tcId").dump());
      const Bytes key = hex(test.at("key").get<std::string>());
      const Bytes message = hex(test.at("msg").get<std::string>());
      const Bytes tag = hex(test.at("tag").get<std::string>());
      const bool valid = test.at("result") == "valid";
      // RFC 4615 gives other key lengths a meaning of its own.
      if (id == PrfId::kAes128Cmac && key.size() != 16) {
        tally.skip("IKE has AES-CMAC with 128 bits only");
        continue;
      }
      const Secret full = prf(id, key, {message}).value();
      const bool matches = tag.size() <= full.size() && equal(full.bytes().first(tag.size()), tag);
      EXPECT_EQ(matches, valid);
      if (key.size() == integrity_key_size(integ) && tag.size() >= integrity_icv_size(integ)) {
        Integrity integrity = Integrity::create(integ, key).value();
        const bool front_matches = integrity.verify({message}, ByteView(tag).first(integrity.icv_size()));
        // A tag that is longer than the ICV may be wrong behind it.
        if (valid || tag.size() == integrity.icv_size()) {
          EXPECT_EQ(front_matches, valid);
        }
      }
      count(valid, tally);
    }
}

}  // namespace merlon::crypto
