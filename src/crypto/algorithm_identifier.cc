// The AlgorithmIdentifiers of RFC 7427 appendix A and RFC 8420 appendix A. There are few of them, so all
// encodings that are accepted are written out once and compared byte by byte: no parser, nothing lenient.
#include <algorithm>

#include "crypto/signature.h"

namespace merlon::crypto {
namespace {

constexpr std::uint8_t kSequence = 0x30;
constexpr std::uint8_t kContext = 0xa0;  // constructed, explicit
constexpr std::uint8_t kInteger = 0x02;

struct Encoding {
  SignatureScheme scheme;
  Bytes der;
};

// Every structure here is shorter than 128 bytes, so lengths are a single byte.
template <class... Parts>
Bytes tlv(std::uint8_t tag, const Parts&... parts) {
  const Bytes content = concat(parts...);
  Bytes out{tag, static_cast<std::uint8_t>(content.size())};
  append(out, content);
  return out;
}

Bytes oid(std::string_view hex) {
  return tlv(0x06, *from_hex(hex));
}

const Bytes& null_der() {
  static const Bytes null{0x05, 0x00};
  return null;
}

Bytes null_if(bool present) {
  return present ? null_der() : Bytes{};
}

struct HashFacts {
  HashId hash;
  std::string_view oid;
  std::string_view with_rsa;
  std::string_view with_ecdsa;
  std::uint8_t size;
};

constexpr HashFacts kHashes[] = {
    {HashId::kSha1, "2b0e03021a", "2a864886f70d010105", "2a8648ce3d0401", 20},
    {HashId::kSha2_256, "608648016503040201", "2a864886f70d01010b", "2a8648ce3d040302", 32},
    {HashId::kSha2_384, "608648016503040202", "2a864886f70d01010c", "2a8648ce3d040303", 48},
    {HashId::kSha2_512, "608648016503040203", "2a864886f70d01010d", "2a8648ce3d040304", 64},
};
constexpr std::string_view kRsassaPss = "2a864886f70d01010a";
constexpr std::string_view kMgf1 = "2a864886f70d010108";
constexpr std::string_view kEd25519 = "2b6570";
constexpr std::string_view kEd448 = "2b6571";

// RFC 4055 3.1
Bytes pss(const HashFacts& facts, bool hash_null, bool mask_hash_null, bool trailer) {
  const Bytes hash = tlv(kSequence, oid(facts.oid), null_if(hash_null));
  const Bytes mask_hash = tlv(kSequence, oid(facts.oid), null_if(mask_hash_null));
  const Bytes mask = tlv(kSequence, oid(kMgf1), mask_hash);
  const Bytes trailer_field = trailer ? tlv(kContext + 3, tlv(kInteger, Bytes{1})) : Bytes{};
  return tlv(kSequence, oid(kRsassaPss),
             tlv(kSequence, tlv(kContext, hash), tlv(kContext + 1, mask),
                 tlv(kContext + 2, tlv(kInteger, Bytes{facts.size})), trailer_field));
}

std::vector<Encoding> make_encodings() {
  std::vector<Encoding> out;
  // The first encoding of a scheme is the one that is written.
  for (const HashFacts& facts : kHashes) {
    // RFC 4055 5: NULL, but its absence passes.
    for (const bool null : {true, false})
      out.push_back(
          {{SignatureAlgorithm::kRsaPkcs1, facts.hash}, tlv(kSequence, oid(facts.with_rsa), null_if(null))});
    // RFC 5758 3.2: no parameters.
    out.push_back({{SignatureAlgorithm::kEcdsa, facts.hash}, tlv(kSequence, oid(facts.with_ecdsa))});
    if (facts.hash == HashId::kSha1) continue;
    for (const bool trailer : {false, true})
      for (const bool hash_null : {true, false})
        for (const bool mask_hash_null : {true, false})
          out.push_back(
              {{SignatureAlgorithm::kRsaPss, facts.hash}, pss(facts, hash_null, mask_hash_null, trailer)});
  }
  // RFC 8410 3: no parameters.
  out.push_back({{SignatureAlgorithm::kEd25519, HashId::kIdentity}, tlv(kSequence, oid(kEd25519))});
  out.push_back({{SignatureAlgorithm::kEd448, HashId::kIdentity}, tlv(kSequence, oid(kEd448))});
  return out;
}

const std::vector<Encoding>& encodings() {
  static const std::vector<Encoding> all = make_encodings();
  return all;
}

}  // namespace

Result<Bytes> algorithm_identifier_der(const SignatureScheme& scheme) {
  for (const Encoding& encoding : encodings())
    if (encoding.scheme == scheme) return encoding.der;
  return fail(ErrorCode::kUnsupported, "{} has no AlgorithmIdentifier", name(scheme));
}

Result<SignatureScheme> parse_algorithm_identifier(ByteView der) {
  for (const Encoding& encoding : encodings())
    if (equal(encoding.der, der)) return encoding.scheme;
  // A peer chose these bytes, and how many.
  constexpr std::size_t kShown = 80;
  return fail(ErrorCode::kUnsupported, "signature algorithm {}{} is not supported",
              to_hex(der.first(std::min(der.size(), kShown))), der.size() > kShown ? "..." : "");
}

}  // namespace merlon::crypto
