// The registries of IANA's "Internet Key Exchange Version 2 (IKEv2) Parameters" and "IP protocol numbers"
// that more than one room speaks of. They stand in base/ because wire/ (codecs) and crypto/ (implementations)
// share them and neither may include the other. Enumerators mirror IANA's names; values from the wire may lie
// outside the enumerators.
#pragma once

#include <cstdint>
#include <string>

namespace merlon {

enum class IpProtocol : std::uint8_t {
  kHopByHop = 0,
  kIcmp = 1,
  kIpv4 = 4,
  kTcp = 6,
  kUdp = 17,
  kIpv6 = 41,
  kRouting = 43,
  kFragment = 44,
  kGre = 47,
  kEsp = 50,
  kAh = 51,
  kIpv6Icmp = 58,
  kNoNext = 59,
  kDestinationOptions = 60,
  kOspf = 89,
  kSctp = 132,
  kMobility = 135,
};

// RFC 7296 3.3.1
enum class SecurityProtocol : std::uint8_t { kNone = 0, kIke = 1, kAh = 2, kEsp = 3 };

// RFC 7296 3.3.2; ADDITIONAL_KEY_EXCHANGE_1 to 7: RFC 9370
enum class TransformType : std::uint8_t {
  kEncr = 1,
  kPrf = 2,
  kInteg = 3,
  kKe = 4,
  kSn = 5,
  kAddKe1 = 6,
  kAddKe2 = 7,
  kAddKe3 = 8,
  kAddKe4 = 9,
  kAddKe5 = 10,
  kAddKe6 = 11,
  kAddKe7 = 12,
};

// Transform type 1
enum class EncrId : std::uint16_t {
  kDes3 = 3,
  kNull = 11,
  kAesCbc = 12,
  kAesCtr = 13,
  kAesCcm8 = 14,
  kAesCcm12 = 15,
  kAesCcm16 = 16,
  kAesGcm8 = 18,
  kAesGcm12 = 19,
  kAesGcm16 = 20,
  kNullAuthAesGmac = 21,
  kCamelliaCbc = 23,
  kChacha20Poly1305 = 28,
};

// Transform type 2
enum class PrfId : std::uint16_t {
  kHmacMd5 = 1,
  kHmacSha1 = 2,
  kAes128Xcbc = 4,
  kHmacSha2_256 = 5,
  kHmacSha2_384 = 6,
  kHmacSha2_512 = 7,
  kAes128Cmac = 8,
};

// Transform type 3
enum class IntegId : std::uint16_t {
  kNone = 0,
  kHmacMd5_96 = 1,
  kHmacSha1_96 = 2,
  kAesXcbc96 = 5,
  kAesCmac96 = 8,
  kHmacSha2_256_128 = 12,
  kHmacSha2_384_192 = 13,
  kHmacSha2_512_256 = 14,
};

// Transform type 4, "Key Exchange Methods"
enum class KeMethod : std::uint16_t {
  kNone = 0,
  kModp768 = 1,
  kModp1024 = 2,
  kModp1536 = 5,
  kModp2048 = 14,
  kModp3072 = 15,
  kModp4096 = 16,
  kModp6144 = 17,
  kModp8192 = 18,
  kEcp256 = 19,
  kEcp384 = 20,
  kEcp521 = 21,
  kCurve25519 = 31,
  kCurve448 = 32,
  kMlKem512 = 35,
  kMlKem768 = 36,
  kMlKem1024 = 37,
};

// Transform type 5, "Sequence Numbers" (before RFC 9827: Extended Sequence Numbers)
enum class SnId : std::uint16_t { k32Bit = 0, kPartialEsn64 = 1 };

// "IKEv2 Identification Payload ID Types"
enum class IdType : std::uint8_t {
  kIpv4Addr = 1,
  kFqdn = 2,
  kRfc822Addr = 3,
  kIpv6Addr = 5,
  kDerAsn1Dn = 9,
  kDerAsn1Gn = 10,
  kKeyId = 11,
  kNull = 13,
};

// "IKEv2 Authentication Method"
enum class AuthMethod : std::uint8_t {
  kRsaDigitalSignature = 1,
  kSharedKeyMic = 2,
  kDssDigitalSignature = 3,
  kEcdsaSha256P256 = 9,
  kEcdsaSha384P384 = 10,
  kEcdsaSha512P521 = 11,
  kNull = 13,
  kDigitalSignature = 14,
};

// "IKEv2 Hash Algorithms" (RFC 7427; kIdentity: RFC 8420)
enum class HashId : std::uint16_t { kSha1 = 1, kSha2_256 = 2, kSha2_384 = 3, kSha2_512 = 4, kIdentity = 5 };

// "IKEv2 Certificate Encodings"
enum class CertEncoding : std::uint8_t {
  kPkcs7 = 1,
  kX509Signature = 4,
  kCrl = 7,
  kX509HashAndUrl = 12,
  kX509BundleHashAndUrl = 13,
  kOcspContent = 14,
  kRawPublicKey = 15,
};

// IANA's (or the customary) name; "UNKNOWN(n)" for values we have no name for. Key lengths print behind a
// dash where they matter: name(EncrId::kAesGcm16, 256) is "AES_GCM_16-256".
[[nodiscard]] std::string name(SecurityProtocol id);
[[nodiscard]] std::string name(TransformType id);
[[nodiscard]] std::string name(EncrId id);
[[nodiscard]] std::string name(EncrId id, unsigned key_bits);
[[nodiscard]] std::string name(PrfId id);
[[nodiscard]] std::string name(IntegId id);
[[nodiscard]] std::string name(KeMethod id);
[[nodiscard]] std::string name(SnId id);
[[nodiscard]] std::string name(IdType id);
[[nodiscard]] std::string name(AuthMethod id);
[[nodiscard]] std::string name(HashId id);
[[nodiscard]] std::string name(CertEncoding id);

// True where the algorithm is a combined-mode (AEAD) cipher, GMAC among them: then no separate integrity is
// negotiated.
[[nodiscard]] bool is_aead(EncrId id);
// True where a Key Length attribute (RFC 7296 3.3.5) must accompany the transform.
[[nodiscard]] bool has_key_length(EncrId id);

}  // namespace merlon
