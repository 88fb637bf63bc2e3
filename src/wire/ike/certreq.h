// Certificate Request payload (RFC 7296 3.7).
#pragma once

#include <array>
#include <vector>

#include "base/bytes.h"
#include "base/iana.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

// SHA-1 of a trust anchor's SubjectPublicKeyInfo.
using AuthorityHash = std::array<std::uint8_t, 20>;

struct CertreqPayload {
  static constexpr PayloadType kType = PayloadType::kCertreq;
  CertEncoding encoding = CertEncoding::kX509Signature;  // may lie outside the enumerators
  Bytes authorities;  // for X.509 encodings: authority hashes one after the other; otherwise opaque, or empty
  bool critical = false;

  [[nodiscard]] static CertreqPayload of(CertEncoding encoding, const std::vector<AuthorityHash>& hashes);
  // `authorities` cut into hashes; empty where its length is not a multiple of 20.
  [[nodiscard]] std::vector<AuthorityHash> authority_hashes() const;

  [[nodiscard]] static Result<CertreqPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const CertreqPayload&, const CertreqPayload&) = default;
};

}  // namespace merlon::wire
