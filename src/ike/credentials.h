// What an engine needs to prove who it is and to check who the peer is: loaded from files by the daemon (or
// made by a simulator), immutable, replaced as a whole at a reload.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/identity.h"
#include "base/secret.h"
#include "crypto/signature.h"
#include "pki/certificate.h"
#include "pki/trust_store.h"

namespace merlon::ike {

// Of one connection; local and remote authentication rounds are one each so far (see policy::Connection).
struct ConnectionCredentials {
  // Local: a PSK, or a key with a certificate chain, or a key alone (RFC 7670).
  Secret local_psk;
  std::shared_ptr<const crypto::PrivateKey> private_key;
  std::vector<pki::Certificate> certificates;  // the leaf first

  // Remote.
  Secret remote_psk;
  std::shared_ptr<const pki::TrustStore> trust;  // anchors and CRLs for this peer
  std::vector<crypto::PublicKey> public_keys;    // raw public keys that are accepted
};

struct Credentials {
  std::map<std::string, ConnectionCredentials> by_connection;

  [[nodiscard]] const ConnectionCredentials* find(const std::string& connection) const {
    const auto at = by_connection.find(connection);
    return at == by_connection.end() ? nullptr : &at->second;
  }
};

}  // namespace merlon::ike
