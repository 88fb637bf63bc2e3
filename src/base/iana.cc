#include "base/iana.h"

#include <fmt/core.h>

#include <span>

namespace merlon {
namespace {

template <class Id>
struct Named {
  Id id;
  const char* text;
};

template <class Id>
std::string look_up(std::span<const Named<Id>> names, Id id) {
  for (const auto& named : names)
    if (named.id == id) return named.text;
  return fmt::format("UNKNOWN({})", static_cast<unsigned>(id));
}

constexpr Named<SecurityProtocol> kSecurityProtocols[] = {{SecurityProtocol::kNone, "NONE"},
                                                          {SecurityProtocol::kIke, "IKE"},
                                                          {SecurityProtocol::kAh, "AH"},
                                                          {SecurityProtocol::kEsp, "ESP"}};
constexpr Named<TransformType> kTransformTypes[] = {
    {TransformType::kEncr, "ENCR"},     {TransformType::kPrf, "PRF"},
    {TransformType::kInteg, "INTEG"},   {TransformType::kKe, "KE"},
    {TransformType::kSn, "SN"},         {TransformType::kAddKe1, "ADDKE1"},
    {TransformType::kAddKe2, "ADDKE2"}, {TransformType::kAddKe3, "ADDKE3"},
    {TransformType::kAddKe4, "ADDKE4"}, {TransformType::kAddKe5, "ADDKE5"},
    {TransformType::kAddKe6, "ADDKE6"}, {TransformType::kAddKe7, "ADDKE7"}};
constexpr Named<EncrId> kEncrs[] = {{EncrId::kDes3, "3DES"},
                                    {EncrId::kNull, "NULL"},
                                    {EncrId::kAesCbc, "AES_CBC"},
                                    {EncrId::kAesCtr, "AES_CTR"},
                                    {EncrId::kAesCcm8, "AES_CCM_8"},
                                    {EncrId::kAesCcm12, "AES_CCM_12"},
                                    {EncrId::kAesCcm16, "AES_CCM_16"},
                                    {EncrId::kAesGcm8, "AES_GCM_8"},
                                    {EncrId::kAesGcm12, "AES_GCM_12"},
                                    {EncrId::kAesGcm16, "AES_GCM_16"},
                                    {EncrId::kNullAuthAesGmac, "NULL_AUTH_AES_GMAC"},
                                    {EncrId::kCamelliaCbc, "CAMELLIA_CBC"},
                                    {EncrId::kChacha20Poly1305, "CHACHA20_POLY1305"}};
constexpr Named<PrfId> kPrfs[] = {
    {PrfId::kHmacMd5, "HMAC_MD5"},           {PrfId::kHmacSha1, "HMAC_SHA1"},
    {PrfId::kAes128Xcbc, "AES128_XCBC"},     {PrfId::kHmacSha2_256, "HMAC_SHA2_256"},
    {PrfId::kHmacSha2_384, "HMAC_SHA2_384"}, {PrfId::kHmacSha2_512, "HMAC_SHA2_512"},
    {PrfId::kAes128Cmac, "AES128_CMAC"}};
constexpr Named<IntegId> kIntegs[] = {{IntegId::kNone, "NONE"},
                                      {IntegId::kHmacMd5_96, "HMAC_MD5_96"},
                                      {IntegId::kHmacSha1_96, "HMAC_SHA1_96"},
                                      {IntegId::kAesXcbc96, "AES_XCBC_96"},
                                      {IntegId::kAesCmac96, "AES_CMAC_96"},
                                      {IntegId::kHmacSha2_256_128, "HMAC_SHA2_256_128"},
                                      {IntegId::kHmacSha2_384_192, "HMAC_SHA2_384_192"},
                                      {IntegId::kHmacSha2_512_256, "HMAC_SHA2_512_256"}};
constexpr Named<KeMethod> kKeMethods[] = {{KeMethod::kNone, "NONE"},
                                          {KeMethod::kModp768, "MODP_768"},
                                          {KeMethod::kModp1024, "MODP_1024"},
                                          {KeMethod::kModp1536, "MODP_1536"},
                                          {KeMethod::kModp2048, "MODP_2048"},
                                          {KeMethod::kModp3072, "MODP_3072"},
                                          {KeMethod::kModp4096, "MODP_4096"},
                                          {KeMethod::kModp6144, "MODP_6144"},
                                          {KeMethod::kModp8192, "MODP_8192"},
                                          {KeMethod::kEcp256, "ECP_256"},
                                          {KeMethod::kEcp384, "ECP_384"},
                                          {KeMethod::kEcp521, "ECP_521"},
                                          {KeMethod::kCurve25519, "CURVE25519"},
                                          {KeMethod::kCurve448, "CURVE448"},
                                          {KeMethod::kMlKem512, "ML_KEM_512"},
                                          {KeMethod::kMlKem768, "ML_KEM_768"},
                                          {KeMethod::kMlKem1024, "ML_KEM_1024"}};
constexpr Named<SnId> kSns[] = {{SnId::k32Bit, "32_BIT"}, {SnId::kPartialEsn64, "PARTIAL_64_BIT_ESN"}};
constexpr Named<IdType> kIdTypes[] = {
    {IdType::kIpv4Addr, "ID_IPV4_ADDR"},     {IdType::kFqdn, "ID_FQDN"},
    {IdType::kRfc822Addr, "ID_RFC822_ADDR"}, {IdType::kIpv6Addr, "ID_IPV6_ADDR"},
    {IdType::kDerAsn1Dn, "ID_DER_ASN1_DN"},  {IdType::kDerAsn1Gn, "ID_DER_ASN1_GN"},
    {IdType::kKeyId, "ID_KEY_ID"},           {IdType::kNull, "ID_NULL"}};
constexpr Named<AuthMethod> kAuthMethods[] = {
    {AuthMethod::kRsaDigitalSignature, "RSA Digital Signature"},
    {AuthMethod::kSharedKeyMic, "Shared Key Message Integrity Code"},
    {AuthMethod::kDssDigitalSignature, "DSS Digital Signature"},
    {AuthMethod::kEcdsaSha256P256, "ECDSA with SHA-256 on the P-256 curve"},
    {AuthMethod::kEcdsaSha384P384, "ECDSA with SHA-384 on the P-384 curve"},
    {AuthMethod::kEcdsaSha512P521, "ECDSA with SHA-512 on the P-521 curve"},
    {AuthMethod::kNull, "NULL Authentication"},
    {AuthMethod::kDigitalSignature, "Digital Signature"}};
constexpr Named<HashId> kHashes[] = {{HashId::kSha1, "SHA1"},
                                     {HashId::kSha2_256, "SHA2-256"},
                                     {HashId::kSha2_384, "SHA2-384"},
                                     {HashId::kSha2_512, "SHA2-512"},
                                     {HashId::kIdentity, "Identity"}};
constexpr Named<CertEncoding> kCertEncodings[] = {
    {CertEncoding::kPkcs7, "PKCS #7 wrapped X.509 certificate"},
    {CertEncoding::kX509Signature, "X.509 Certificate - Signature"},
    {CertEncoding::kCrl, "Certificate Revocation List (CRL)"},
    {CertEncoding::kX509HashAndUrl, "Hash and URL of X.509 certificate"},
    {CertEncoding::kX509BundleHashAndUrl, "Hash and URL of X.509 bundle"},
    {CertEncoding::kOcspContent, "OCSP Content"},
    {CertEncoding::kRawPublicKey, "Raw Public Key"}};

}  // namespace

std::string name(SecurityProtocol id) {
  return look_up<SecurityProtocol>(kSecurityProtocols, id);
}
std::string name(TransformType id) {
  return look_up<TransformType>(kTransformTypes, id);
}
std::string name(EncrId id) {
  return look_up<EncrId>(kEncrs, id);
}
std::string name(EncrId id, unsigned key_bits) {
  return has_key_length(id) && key_bits != 0 ? fmt::format("{}-{}", name(id), key_bits) : name(id);
}
std::string name(PrfId id) {
  return look_up<PrfId>(kPrfs, id);
}
std::string name(IntegId id) {
  return look_up<IntegId>(kIntegs, id);
}
std::string name(KeMethod id) {
  return look_up<KeMethod>(kKeMethods, id);
}
std::string name(SnId id) {
  return look_up<SnId>(kSns, id);
}
std::string name(IdType id) {
  return look_up<IdType>(kIdTypes, id);
}
std::string name(AuthMethod id) {
  return look_up<AuthMethod>(kAuthMethods, id);
}
std::string name(HashId id) {
  return look_up<HashId>(kHashes, id);
}
std::string name(CertEncoding id) {
  return look_up<CertEncoding>(kCertEncodings, id);
}

bool is_aead(EncrId id) {
  switch (id) {
    case EncrId::kAesCcm8:
    case EncrId::kAesCcm12:
    case EncrId::kAesCcm16:
    case EncrId::kAesGcm8:
    case EncrId::kAesGcm12:
    case EncrId::kAesGcm16:
    case EncrId::kNullAuthAesGmac:
    case EncrId::kChacha20Poly1305:
      return true;
    default:
      return false;
  }
}

bool has_key_length(EncrId id) {
  switch (id) {
    case EncrId::kAesCbc:
    case EncrId::kAesCtr:
    case EncrId::kAesCcm8:
    case EncrId::kAesCcm12:
    case EncrId::kAesCcm16:
    case EncrId::kAesGcm8:
    case EncrId::kAesGcm12:
    case EncrId::kAesGcm16:
    case EncrId::kNullAuthAesGmac:
    case EncrId::kCamelliaCbc:
      return true;
    default:
      return false;
  }
}

}  // namespace merlon
