// Keys and certificates of the simulated gateways. Dear to make, so they are made once a process; always the same ones, since their
// randomness is seeded by what they are for.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "crypto/keys.h"
#include "pki/certificate.h"
#include "pki/trust_store.h"

namespace merlon::sim {

enum class KeyPlan : std::uint8_t { kEd25519, kEcdsaP256, kRsa2048 };

struct HostKey {
  std::shared_ptr<const crypto::PrivateKey> key;
  pki::Certificate certificate;  // for host_identity(host), from the authority below
};
// A fresh key object each time: some keep what they drew for blinding, and a run must not depend on those before it.
// A short-lived certificate is valid from one hour before the first moment of a run to three hours after it.
[[nodiscard]] HostKey host_key(KeyPlan plan, std::size_t host, bool short_lived = false);
[[nodiscard]] std::shared_ptr<const pki::TrustStore> trust();
// "gw3.example.com"
[[nodiscard]] std::string host_identity(std::size_t host);

}  // namespace merlon::sim
