#include "wire/ike/certreq.h"

#include <algorithm>

#include "base/reader.h"

namespace merlon::wire {

CertreqPayload CertreqPayload::of(CertEncoding encoding, const std::vector<AuthorityHash>& hashes) {
  CertreqPayload payload{.encoding = encoding, .authorities = {}};
  for (const auto& hash : hashes) append(payload.authorities, hash);
  return payload;
}

std::vector<AuthorityHash> CertreqPayload::authority_hashes() const {
  std::vector<AuthorityHash> hashes;
  if (authorities.size() % std::tuple_size_v<AuthorityHash> != 0) return hashes;
  ByteReader reader(authorities);
  while (const auto hash = reader.take(std::tuple_size_v<AuthorityHash>))
    std::ranges::copy(*hash, hashes.emplace_back().begin());
  return hashes;
}

Result<CertreqPayload> CertreqPayload::parse(ByteView body) {
  ByteReader reader(body);
  const auto encoding = reader.u8();
  if (!encoding) return truncated("the Certificate Request payload");
  return CertreqPayload{.encoding = static_cast<CertEncoding>(*encoding),
                        .authorities = to_bytes(reader.rest())};
}

void CertreqPayload::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(encoding));
  out.bytes(authorities);
}

}  // namespace merlon::wire
