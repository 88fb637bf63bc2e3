// Certificates, CRLs, requests and names from a peer: nothing here may crash, whatever the bytes. The first
// byte says what the rest is.
#include <cstdlib>

#include "pki/builder.h"
#include "pki/identity_match.h"
#include "pki/identity_text.h"
#include "pki/raw_public_key.h"
#include "pki/trust_store.h"

namespace {

using namespace merlon;

void require(bool holds) {
  if (!holds) std::abort();
}

void try_certificate(ByteView bytes) {
  const auto certificate = pki::Certificate::from_der(bytes);
  if (!certificate) return;
  // Whatever the certificate says it carries, it matches, and it can be said in words.
  for (const Identity& identity : pki::identities_of(*certificate)) {
    require(pki::matches(*certificate, identity).has_value());
    require(pki::as_carried(*certificate, identity).type == identity.type);
    require(!pki::identity_to_text(identity).empty());
  }
  for (const char* text :
       {"gw.example.com", "bob@example.com", "192.0.2.1", "2001:db8::1", "O=Example, CN=gw", "keyid:x"})
    static_cast<void>(pki::matches(*certificate, *pki::identity_from_text(text)));
  static_cast<void>(certificate->public_key());
  static_cast<void>(pki::check_fit_for_ike(*certificate));
  static_cast<void>(pki::dn_matches_pattern(certificate->subject_dn_der(), "O=Example, CN=*"));
  require(pki::Certificate::from_pem(certificate->to_pem()) == *certificate);

  pki::TrustStore store;
  static_cast<void>(store.add_anchor(*certificate));
  const std::vector<pki::Certificate> offered{*certificate};
  static_cast<void>(
      store.verify(*certificate, offered, certificate->not_before(), pki::RevocationPolicy::kIfPresent));
}

void try_crl(ByteView bytes) {
  pki::TrustStore store;
  static_cast<void>(store.add_crl(bytes));
}

void try_name(ByteView bytes) {
  if (const auto text = pki::dn_to_text(bytes)) {
    for (const char c : *text) require(c >= 0x20 && c < 0x7f);
    if (const auto back = pki::dn_from_text(*text)) require(pki::dn_equal(bytes, *back));
  }
  const std::string_view text = as_text(bytes);
  if (const auto der = pki::dn_from_text(text)) require(pki::dn_to_text(*der).has_value());
  if (pki::check_dn_pattern(text)) static_cast<void>(pki::dn_matches_pattern(bytes, text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest = ByteView(data, size).subspan(1);
  switch (data[0] % 5) {
    case 0:
      try_certificate(rest);
      break;
    case 1:
      try_crl(rest);
      break;
    case 2:
      try_name(rest);
      break;
    case 3:
      static_cast<void>(pki::CertificateRequest::from_der(rest));
      break;
    default:
      static_cast<void>(pki::raw_public_key_from_der(rest));
  }
  return 0;
}
