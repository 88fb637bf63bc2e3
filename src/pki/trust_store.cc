#include "pki/trust_store.h"

#include <openssl/x509_vfy.h>

#include <algorithm>

#include "crypto/signature.h"
#include "pki/chain_error.h"

namespace merlon::pki {
namespace {

using StoreOwner = std::unique_ptr<X509_STORE, OpensslDeleter<X509_STORE_free>>;
using StoreContextOwner = std::unique_ptr<X509_STORE_CTX, OpensslDeleter<X509_STORE_CTX_free>>;
using CertificateStackOwner =
    std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * stack) { sk_X509_free(stack); })>;

constexpr int kSecurityLevel = 2;  // 112 bits: RSA 2048, P-224, no SHA-1

// What the callback needs to know, and what it keeps of a failure: OpenSSL forgets the CRL when it returns.
struct Observer {
  RevocationPolicy policy = RevocationPolicy::kIfPresent;
  X509CrlOwner crl;
};

// A missing CRL is an error only where the policy says so; and a trust anchor is trusted because the
// configuration says so, not because a CRL does.
int on_problem(int ok, X509_STORE_CTX* context) {
  if (ok == 1) return ok;
  auto& observer = *static_cast<Observer*>(X509_STORE_CTX_get_app_data(context));
  if (X509_STORE_CTX_get_error(context) == X509_V_ERR_UNABLE_TO_GET_CRL) {
    const int last = sk_X509_num(X509_STORE_CTX_get0_chain(context)) - 1;
    if (observer.policy == RevocationPolicy::kRequired && X509_STORE_CTX_get_error_depth(context) != last)
      return 0;
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
  }
  X509_CRL* crl = X509_STORE_CTX_get0_current_crl(context);
  if (crl != nullptr && X509_CRL_up_ref(crl) == 1) observer.crl.reset(crl);
  return 0;
}

Result<> check_crl_hash(const X509_CRL* crl) {
  int digest = NID_undef;
  OBJ_find_sigid_algs(X509_CRL_get_signature_nid(crl), &digest, nullptr);
  if (digest != NID_md5 && digest != NID_sha1 && digest != NID_md5_sha1) return {};
  return fail(ErrorCode::kPolicy, "a CRL signed with {} is not accepted", OBJ_nid2sn(digest));
}

}  // namespace

struct TrustStore::Native {
  StoreOwner store{X509_STORE_new()};
  std::vector<Certificate> anchors;
  std::size_t crl_count = 0;
};

TrustStore::TrustStore() : native_(std::make_unique<Native>()) {}
TrustStore::TrustStore(TrustStore&&) noexcept = default;
TrustStore& TrustStore::operator=(TrustStore&&) noexcept = default;
TrustStore::~TrustStore() = default;

const std::vector<Certificate>& TrustStore::anchors() const {
  return native_->anchors;
}
std::size_t TrustStore::crl_count() const {
  return native_->crl_count;
}

Result<> TrustStore::add_anchor(Certificate certificate) {
  if (!certificate.is_self_signed())
    return fail(ErrorCode::kInvalidArgument,
                "certificate {} is not self-signed, so it cannot be a trust anchor: give the root CA, and "
                "this one as an intermediate "
                "(its issuer is '{}')",
                certificate.describe(), certificate.issuer());
  if (std::ranges::find(native_->anchors, certificate) != native_->anchors.end()) return {};
  clear_openssl_errors();
  if (!native_->store || X509_STORE_add_cert(native_->store.get(), NativeCertificate::x509(certificate)) != 1)
    return fail(ErrorCode::kExhausted, "cannot keep a trust anchor: {}", openssl_reason());
  native_->anchors.push_back(std::move(certificate));
  return {};
}

Result<> TrustStore::add_crl(ByteView der_or_pem) {
  std::vector<Bytes> ders;
  if (looks_like_der(der_or_pem)) {
    ders.push_back(to_bytes(der_or_pem));
  } else {
    MERLON_TRY(ders, pem_blocks(as_text(der_or_pem), "X509 CRL"));
  }
  if (ders.empty())
    return fail(ErrorCode::kMalformed, "neither a CRL in DER nor '-----BEGIN X509 CRL-----' in it");
  for (const Bytes& der : ders) {
    const auto crl = from_der_exactly<X509CrlOwner, d2i_X509_CRL>(der);
    if (!crl)
      return fail(ErrorCode::kMalformed, "{} bytes that are not one CRL in DER ({})", der.size(),
                  openssl_reason());
    MERLON_TRY_VOID(check_crl_hash(crl.get()));
    if (!native_->store || X509_STORE_add_crl(native_->store.get(), crl.get()) != 1)
      return fail(ErrorCode::kExhausted, "cannot keep a CRL: {}", openssl_reason());
    ++native_->crl_count;
  }
  return {};
}

Bytes TrustStore::certreq_hashes() const {
  Bytes out;
  for (const Certificate& anchor : native_->anchors) append(out, anchor.spki_sha1());
  return out;
}

namespace {

// OpenSSL's objects are the ones that our values share, so a pointer finds the value.
Certificate value_of(X509* wanted, const Certificate& leaf, std::span<const Certificate> intermediates,
                     std::span<const Certificate> anchors) {
  for (const auto list : {intermediates, anchors})
    for (const Certificate& candidate : list)
      if (NativeCertificate::x509(candidate) == wanted) return candidate;
  return leaf;
}

void configure(X509_STORE_CTX* context, UnixTime now, bool check_crls) {
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context);
  // Whether the leaf fits IKE is decided by check_fit_for_ike: OpenSSL knows no purpose for it.
  X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY);
  X509_VERIFY_PARAM_set_depth(param, kMaxIntermediates);
  X509_VERIFY_PARAM_set_auth_level(param, kSecurityLevel);
  X509_VERIFY_PARAM_set_time(param, static_cast<time_t>(now.time_since_epoch().count()));
  if (check_crls) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

// What OpenSSL lets pass and IKE, or this store, does not.
std::optional<ChainError> check_further(const std::vector<Certificate>& chain) {
  const Certificate& leaf = chain.front();
  for (std::size_t i = 1; i + 1 < chain.size(); ++i)
    // RFC 5280 6.1.4 (k): only the trust anchor may be a version 1 certificate without basicConstraints
    if (!chain[i].is_ca())
      return chain_error(ChainFailure::kConstraint,
                         fmt::format("certificate {} is above {} in the chain, but is no CA certificate",
                                     chain[i].describe(), leaf.describe()));
  if (auto fit = check_fit_for_ike(leaf); !fit)
    return chain_error(ChainFailure::kConstraint, std::move(fit).error().message);
  const auto key = leaf.public_key();
  if (!key) return chain_error(ChainFailure::kMalformed, key.error().message);
  if (const auto strong = crypto::check_key(*key); !strong)
    return chain_error(ChainFailure::kWeak,
                       fmt::format("certificate {}: {}", leaf.describe(), strong.error().message));
  return std::nullopt;
}

}  // namespace

tl::expected<VerifiedChain, ChainError> TrustStore::verify(const Certificate& leaf,
                                                           std::span<const Certificate> intermediates,
                                                           UnixTime now, RevocationPolicy policy) const {
  const auto refuse = [](ChainError error) { return tl::unexpected<ChainError>(std::move(error)); };
  if (intermediates.size() > kMaxCertificatesOffered)
    return refuse(chain_error(ChainFailure::kMalformed,
                              fmt::format("{} certificates with {}: more than {} are not looked at",
                                          intermediates.size(), leaf.describe(), kMaxCertificatesOffered)));
  clear_openssl_errors();
  const StoreContextOwner context(X509_STORE_CTX_new());
  const CertificateStackOwner untrusted(sk_X509_new_null());
  bool ready = context && untrusted && native_->store;
  for (const Certificate& certificate : intermediates)
    ready = ready && sk_X509_push(untrusted.get(), NativeCertificate::x509(certificate)) > 0;
  if (!ready || X509_STORE_CTX_init(context.get(), native_->store.get(), NativeCertificate::x509(leaf),
                                    untrusted.get()) != 1)
    return refuse(chain_error(ChainFailure::kMalformed, "cannot verify: " + openssl_reason()));
  configure(context.get(), now,
            policy == RevocationPolicy::kRequired ||
                (policy == RevocationPolicy::kIfPresent && native_->crl_count > 0));
  Observer observer{policy, nullptr};
  X509_STORE_CTX_set_app_data(context.get(), &observer);
  X509_STORE_CTX_set_verify_cb(context.get(), on_problem);

  const bool verified = X509_verify_cert(context.get()) == 1;
  clear_openssl_errors();
  if (!verified) {
    const Certificate subject =
        value_of(X509_STORE_CTX_get_current_cert(context.get()), leaf, intermediates, native_->anchors);
    return refuse(explain({X509_STORE_CTX_get_error(context.get()), subject, observer.crl.get()},
                          {leaf, native_->anchors, now}));
  }
  VerifiedChain chain;
  const STACK_OF(X509)* path = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(path); ++i)
    chain.certificates.push_back(value_of(sk_X509_value(path, i), leaf, intermediates, native_->anchors));
  if (auto problem = check_further(chain.certificates)) return refuse(std::move(*problem));
  chain.valid_until = leaf.not_after();
  for (const Certificate& certificate : chain.certificates)
    chain.valid_until = std::min(chain.valid_until, certificate.not_after());
  return chain;
}

Result<> check_fit_for_ike(const Certificate& leaf) {
  // RFC 4945 5.1.3.2
  if (!leaf.allows(KeyUsage::kDigitalSignature) && !leaf.allows(KeyUsage::kNonRepudiation))
    return fail(ErrorCode::kAuthentication,
                "certificate {} may not sign (keyUsage without digitalSignature and nonRepudiation)",
                leaf.describe());
  if (!leaf.has_extended_key_usage()) return {};
  // RFC 4945 5.1.3.12; serverAuth and clientAuth pass as well, since common CAs issue nothing else
  constexpr std::string_view kAccepted[] = {kEkuIpsecIke, kEkuIkeIntermediate, kEkuServerAuth, kEkuClientAuth,
                                            kEkuAny};
  for (const std::string& usage : leaf.extended_key_usage())
    if (std::ranges::find(kAccepted, usage) != std::end(kAccepted)) return {};
  return fail(ErrorCode::kAuthentication,
              "certificate {} is not meant for IKE: its extendedKeyUsage has neither serverAuth, clientAuth "
              "nor ipsecIKE",
              leaf.describe());
}

bool answers_certreq(std::span<const Certificate> chain, ByteView hashes) {
  if (hashes.size() < sizeof(Sha1Hash)) return true;
  for (; hashes.size() >= sizeof(Sha1Hash); hashes = hashes.subspan(sizeof(Sha1Hash)))
    for (const Certificate& certificate : chain)
      if (equal(certificate.spki_sha1(), hashes.first(sizeof(Sha1Hash)))) return true;
  return false;
}

std::string_view name(ChainFailure failure) {
  switch (failure) {
    case ChainFailure::kExpired:
      return "expired";
    case ChainFailure::kNotYetValid:
      return "not-yet-valid";
    case ChainFailure::kRevoked:
      return "revoked";
    case ChainFailure::kUntrustedIssuer:
      return "untrusted-issuer";
    case ChainFailure::kBadSignature:
      return "bad-signature";
    case ChainFailure::kCrlMissing:
      return "crl-missing";
    case ChainFailure::kCrlExpired:
      return "crl-expired";
    case ChainFailure::kWeak:
      return "weak";
    case ChainFailure::kConstraint:
      return "constraint";
    case ChainFailure::kMalformed:
      return "malformed";
  }
  return "unknown";
}

}  // namespace merlon::pki
