#include "sim/key_store.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "base/check.h"
#include "pki/builder.h"
#include "pki/identity_text.h"
#include "sim/event_queue.h"
#include "sim/openssl_rng.h"
#include "sim/scenario_draw.h"
#include "sim/stream.h"

namespace merlon::sim {
namespace {

std::string_view kind_name(KeyPlan plan) {
  switch (plan) {
    case KeyPlan::kEcdsaP256:
      return "ecdsa-p256";
    case KeyPlan::kRsa2048:
      return "rsa-2048";
    case KeyPlan::kEd25519:
      break;
  }
  return "ed25519";
}

pki::CertificateSpec spec_for(const std::string& dns) {
  pki::CertificateSpec spec;
  spec.subject_dn = need(pki::dn_from_text("CN=" + dns));
  spec.names.dns = {dns};
  spec.not_before = kFirstDay - std::chrono::days{30};
  spec.not_after = kFirstDay + std::chrono::days{3650};
  return spec;
}

struct Authority {
  SeededRng rng{stream_seed(0, "authority")};
  crypto::PrivateKey key;
  pki::Certificate certificate;

  Authority() : Authority(make_key()) {}
  explicit Authority(crypto::PrivateKey made)
      : key(std::move(made)), certificate(make_certificate(rng, key)) {}

  static crypto::PrivateKey make_key() {
    SeededRng rng(stream_seed(0, "authority key"));
    const OpensslRngScope scope(rng);
    return need(pki::generate_key("ecdsa-p256"));
  }
  static pki::Certificate make_certificate(Rng& rng, const crypto::PrivateKey& key) {
    const OpensslRngScope scope(rng);
    return need(pki::make_root(key, spec_for("ca.example.com"), rng));
  }
};
Authority& authority() {
  static Authority made;
  return made;
}

struct Made {
  Secret der;
  pki::Certificate certificate, short_lived;
};
Made make(KeyPlan plan, std::size_t host) {
  SeededRng rng(stream_seed(0, kind_name(plan), host));
  const OpensslRngScope scope(rng);
  const crypto::PrivateKey key = need(pki::generate_key(kind_name(plan)));
  pki::CertificateSpec short_lived = spec_for(host_identity(host));
  short_lived.not_before = kFirstDay - std::chrono::hours{1};
  short_lived.not_after = kFirstDay + std::chrono::hours{3};
  const auto certify = [&](const pki::CertificateSpec& spec) {
    return need(pki::make_certificate(authority().certificate, authority().key, key.public_key(), spec, rng));
  };
  return {key.to_pkcs8_der(), certify(spec_for(host_identity(host))), certify(short_lived)};
}

}  // namespace

std::string host_identity(std::size_t host) {
  return fmt::format("gw{}.example.com", host);
}

HostKey host_key(KeyPlan plan, std::size_t host, bool short_lived) {
  static std::map<std::pair<KeyPlan, std::size_t>, Made> made;
  const std::pair<KeyPlan, std::size_t> wanted{plan, host};
  auto at = made.find(wanted);
  if (at == made.end()) at = made.emplace(wanted, make(plan, host)).first;
  return {
      std::make_shared<const crypto::PrivateKey>(need(crypto::PrivateKey::from_der(at->second.der.bytes()))),
      short_lived ? at->second.short_lived : at->second.certificate};
}

std::shared_ptr<const pki::TrustStore> trust() {
  static const auto store = [] {
    pki::TrustStore made;
    MERLON_ASSERT(made.add_anchor(authority().certificate).has_value());
    return std::make_shared<const pki::TrustStore>(std::move(made));
  }();
  return store;
}

}  // namespace merlon::sim
