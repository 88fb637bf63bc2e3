// What an engine reports: for the log, `merlon monitor`, `merlon trace` and the metrics. Nobody's answer is
// awaited.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/secret.h"
#include "ike/failure.h"
#include "policy/sad.h"

namespace merlon::ike {

struct IkeSaEstablished {
  std::string connection;
  IkeSaId id;
  bool initiator = false;
  bool rekeyed = false;
  Endpoint local, remote;
  bool natt = false;
  std::string local_id, remote_id;      // for people
  std::string algorithms;               // "AES_GCM_16-256/HMAC_SHA2_384/CURVE25519"
  std::string local_auth, remote_auth;  // "Digital Signature (Ed25519), certificate CN=..." ; the remote one
                                        // says who proved to be whom
};
struct IkeSaClosed {
  std::string connection;
  IkeSaId id;
  Failure reason;
};
struct ChildSaEstablished {
  std::string connection, child;
  IkeSaId ike_sa;
  policy::ChildSaId id;
  Spi inbound_spi, outbound_spi;
  bool rekeyed = false;
  bool udp_encapsulation = false;
  std::string algorithms, local_ts, remote_ts;  // for people
};
struct ChildSaClosed {
  std::string connection, child;
  policy::ChildSaId id;
  Spi inbound_spi, outbound_spi;
  bool replaced = false;  // by a rekey
  std::string reason;
};
struct NegotiationFailed {
  std::string connection;  // empty when no connection could be told
  std::string child;       // empty when the IKE SA itself failed
  Endpoint remote;
  Failure failure;
  // The peer, or somebody who says so, asked, and we refused: no attempt of ours has failed. `connection` is
  // then the one that the request came nearest to; nobody has proved anything.
  bool unproved_request = false;
};
struct PeerMoved {
  std::string connection;
  IkeSaId id;
  Endpoint from, to;
};

// An error notification outside of any negotiation, inside an IKE SA that goes on (RFC 7296 1.5, 2.3, 3.10.1):
// INVALID_MESSAGE_ID, INVALID_SPI, INVALID_SELECTORS and whatever else a peer may say. Rate-limited.
struct ErrorNotified {
  std::string connection;
  IkeSaId id;
  bool sent = false;  // by us; else by the peer
  Failure failure;    // its notify_type is the notification
};

// One message in words, only while `merlon trace` (or the configuration) asks for the connection.
struct MessageTraced {
  std::string connection;  // empty while unknown
  IkeSaId id;
  bool sent = false;
  bool retransmission = false;
  Endpoint local, remote;
  std::vector<std::string> lines;  // a headline and one line a payload
};

// Only while `merlon trace --keys` asks, which only root can. What Wireshark's ikev2_decryption_table and
// esp_sa want.
struct IkeKeysTraced {
  IkeSaId id;
  EncrId encr = EncrId::kAesGcm16;
  unsigned key_bits = 0;
  IntegId integ = IntegId::kNone;
  Secret sk_ei, sk_er, sk_ai, sk_ar;
  Secret sk_d, sk_pi, sk_pr;  // no key file holds these: for tests of what stays in memory
};
struct ChildKeysTraced {
  policy::ChildSaPtr child_sa;
};

using Event =
    std::variant<IkeSaEstablished, IkeSaClosed, ChildSaEstablished, ChildSaClosed, NegotiationFailed,
                 PeerMoved, ErrorNotified, MessageTraced, IkeKeysTraced, ChildKeysTraced>;

}  // namespace merlon::ike
