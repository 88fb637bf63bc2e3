// Certificates, CRLs, requests and names from a peer, or from an authority that errs (its signature is right): nothing
// here may crash, whatever the bytes, and no chain is accepted that should not be. The first byte says what the rest is.
#include "crypto/signature.h"
#include "fuzz/certificate_keys.h"
#include "fuzz/certificate_signing.h"
#include "pki/identity_match.h"
#include "pki/raw_public_key.h"
#include "pki/trust_store.h"

namespace {

using namespace merlon;        // NOLINT: a main file
using namespace merlon::fuzz;  // NOLINT

void try_certificate(ByteView bytes) {
  const auto certificate = pki::Certificate::from_der(bytes);
  if (!certificate) return;
  // Whatever the certificate says it carries, it matches, and it can be said in words.
  for (const Identity& identity : pki::identities_of(*certificate)) {
    require(pki::matches(*certificate, identity).has_value(), "a certificate matches what it carries");
    require(pki::as_carried(*certificate, identity).type == identity.type, "an identity keeps its type");
    require(!pki::identity_to_text(identity).empty(), "an identity can be said");
  }
  for (const char* text :
       {"gw.example.com", "bob@example.com", "192.0.2.1", "2001:db8::1", "O=Example, CN=gw", "keyid:x"})
    static_cast<void>(pki::matches(*certificate, *pki::identity_from_text(text)));
  static_cast<void>(certificate->public_key());
  static_cast<void>(pki::check_fit_for_ike(*certificate));
  static_cast<void>(pki::dn_matches_pattern(certificate->subject_dn_der(), "O=Example, CN=*"));
  require(pki::Certificate::from_pem(certificate->to_pem()) == *certificate, "PEM and back");

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
    for (const char c : *text) require(c >= 0x20 && c < 0x7f, "a name prints as plain text");
    if (const auto back = pki::dn_from_text(*text)) require(pki::dn_equal(bytes, *back), "a name and back");
  }
  const std::string_view text = as_text(bytes);
  if (const auto der = pki::dn_from_text(text))
    require(pki::dn_to_text(*der).has_value(), "what was understood can be said");
  if (pki::check_dn_pattern(text)) static_cast<void>(pki::dn_matches_pattern(bytes, text));
}

// Everything that is trusted, made once.
struct Trusted {
  KeyPtr authority = key_of(1), intermediate = key_of(2), subject = key_of(3);
  pki::Certificate root = root_of(*authority);
  pki::Certificate leaf = leaf_of(root, *authority, *subject, "gw.example.com");
};
const Trusted& trusted() {
  static const Trusted kTrusted;
  return kTrusted;
}

// RFC 5280 6: what a path must be, whatever stands in its certificates.
void check_chain(const pki::VerifiedChain& chain) {
  require(chain.anchor() == trusted().root, "a chain ends at the trust anchor");
  require(chain.valid_until >= kToday, "a chain is valid now");
  for (const auto& certificate : chain.certificates)
    require(certificate.not_before() <= kToday && kToday <= certificate.not_after(),
            "every certificate is valid now");
  for (std::size_t i = 1; i < chain.certificates.size(); ++i)
    require(chain.certificates[i].is_ca() && chain.certificates[i].allows(pki::KeyUsage::kKeyCertSign),
            "only an authority issues");
  require(pki::check_fit_for_ike(chain.leaf()).has_value(), "the leaf is fit for IKE");
}

// A certificate that the anchor signed.
void try_signed_certificate(ByteView bytes) {
  const auto& t = trusted();
  const auto der = signed_certificate(bytes, t.root.subject_dn_der(), *t.authority, nullptr);
  if (!der) return;
  try_certificate(*der);
  const auto leaf = pki::Certificate::from_der(*der);
  if (!leaf) return;
  pki::TrustStore store;
  require(store.add_anchor(t.root).has_value(), "the anchor can be added");
  const auto chain = store.verify(*leaf, {}, kToday, pki::RevocationPolicy::kIfPresent);
  if (chain) check_chain(*chain);
  require(!store.verify(*leaf, {}, kToday, pki::RevocationPolicy::kRequired), "no CRL, no proof");
}

// Two bytes of length, a certificate for the intermediate's key, a certificate that it signed.
void try_signed_chain(ByteView bytes) {
  const auto& t = trusted();
  if (bytes.size() < 2) return;
  const std::size_t size = std::min(std::size_t{bytes[0]} << 8U | bytes[1], bytes.size() - 2);
  const auto middle_der = signed_certificate(bytes.subspan(2, size), t.root.subject_dn_der(), *t.authority,
                                             &t.intermediate->public_key());
  if (!middle_der) return;
  const auto middle = pki::Certificate::from_der(*middle_der);
  if (!middle) return;
  const auto rest = bytes.subspan(2 + size);
  const auto leaf_der = signed_certificate(rest.empty() ? ByteView(t.leaf.der()) : rest,
                                           middle->subject_dn_der(), *t.intermediate, nullptr);
  if (!leaf_der) return;
  const auto leaf = pki::Certificate::from_der(*leaf_der);
  if (!leaf) return;
  pki::TrustStore store;
  require(store.add_anchor(t.root).has_value(), "the anchor can be added");
  const std::vector<pki::Certificate> offered{*middle};
  const auto chain = store.verify(*leaf, offered, kToday, pki::RevocationPolicy::kIfPresent);
  if (chain) check_chain(*chain);
}

// A CRL that the anchor signed.
void try_signed_crl(ByteView bytes) {
  const auto& t = trusted();
  const auto der = signed_crl(bytes, t.root.subject_dn_der(), *t.authority);
  if (!der) return;
  pki::TrustStore store;
  require(store.add_anchor(t.root).has_value(), "the anchor can be added");
  if (!store.add_crl(*der)) return;
  for (const auto policy : {pki::RevocationPolicy::kIfPresent, pki::RevocationPolicy::kRequired})
    if (const auto chain = store.verify(t.leaf, {}, kToday, policy)) check_chain(*chain);
  require(store.verify(t.leaf, {}, kToday, pki::RevocationPolicy::kNone).has_value(),
          "a CRL that is not asked");
}

void try_request(ByteView bytes) {
  static_cast<void>(pki::CertificateRequest::from_der(bytes));
  const auto der = signed_request(bytes, *trusted().subject);
  if (!der) return;
  const auto request = pki::CertificateRequest::from_der(*der);
  if (!request) return;
  require(pki::CertificateRequest::from_pem(request->to_pem()).has_value(), "PEM and back");
  require(request->public_key().has_value(), "the proof was made with the key");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest = ByteView(data, size).subspan(1);
  switch (data[0] % 9) {
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
      try_request(rest);
      break;
    case 4:
      static_cast<void>(pki::raw_public_key_from_der(rest));
      break;
    case 5:
      try_signed_certificate(rest);
      break;
    case 6:
      try_signed_chain(rest);
      break;
    case 7:
      try_signed_crl(rest);
      break;
    default:  // RFC 7427 3: what an AUTH payload names its scheme by
      if (const auto scheme = crypto::parse_algorithm_identifier(rest))
        require(!crypto::name(*scheme).empty(), "a scheme has a name");
  }
  return 0;
}
