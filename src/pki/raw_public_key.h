// Raw public keys (RFC 7670): a CERT payload of encoding 15 whose data is a DER SubjectPublicKeyInfo; trust
// comes from the configuration, which names the key itself.
#pragma once

#include <string>
#include <string_view>

#include "crypto/keys.h"

namespace merlon::pki {

// The CERT payload's data -> key. Refuses trailing bytes and key kinds that IKE does not sign with.
[[nodiscard]] Result<crypto::PublicKey> raw_public_key_from_der(ByteView spki_der);

// One line for a configuration or to paste: base64 of the SubjectPublicKeyInfo. from_text ignores white space
// around it, and takes a PEM "PUBLIC KEY" block as well.
[[nodiscard]] std::string raw_public_key_to_text(const crypto::PublicKey& key);
[[nodiscard]] Result<crypto::PublicKey> raw_public_key_from_text(std::string_view text);

// For people to compare by eye or voice: the first 80 bits of SHA-256 over the SubjectPublicKeyInfo,
// "5e1f-09ab-77c0-1d2e-4b3a".
[[nodiscard]] std::string short_fingerprint(const crypto::PublicKey& key);
[[nodiscard]] std::string short_fingerprint(ByteView spki_der);

}  // namespace merlon::pki
