// The phases of an IKE SA (RFC 7296 1.2, 2.4). Each owns just the data that exists in it; exchanges/ has the
// handlers that take a phase and return the next. The IKE SA itself is {phase, own request in flight, peer's
// request window, Child SAs}.
//
//   initiator:  InitSent -> AuthSent -> Established -> Closing -> Closed
//   responder:  HalfOpen -> Proving  -> Established -> Closing -> Closed
//                      \-> Lingering <-/  (only answers retransmissions, for a moment) -> Closed
#pragma once

#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "crypto/key_exchange.h"
#include "ike/failure.h"
#include "ikev2/authentication.h"
#include "ikev2/channel.h"
#include "ikev2/child_sa.h"
#include "ikev2/keys.h"
#include "ikev2/nat_detection.h"
#include "ikev2/own_exchange.h"
#include "policy/proposal_select.h"

namespace merlon::ikev2 {

// What the peer's IKE_SA_INIT message said beside SA, KE and nonce.
struct PeerCapabilities {
  std::optional<std::vector<HashId>> hashes;  // SIGNATURE_HASH_ALGORITHMS (RFC 7427 4)
  std::vector<wire::CertreqPayload> certreqs;
  NatDetection nat;
  bool fragmentation = false;
};

// The initiator's side of IKE_SA_INIT.
struct InitMaterial {
  policy::Proposals offer;
  KeMethod method = KeMethod::kNone;
  std::shared_ptr<const crypto::KeyExchange> exchange;
  ike::RequestId pending = 0;  // the key pair is being made; the request goes out after it
  Bytes nonce, cookie;
  std::vector<Bytes> old_cookies;  // a copy of the answer that gave one says nothing new
  Bytes request;                   // RealMessage1 of RFC 7296 2.15: the last one sent
  unsigned cookies = 0, ke_retries = 0, sends = 0;
  Instant began, next_send = kNever;
  Instant give_up = kNever;          // set by an unprotected error (RFC 7296 2.21.1)
  std::optional<ike::Failure> hint;  // what that error said
  bool heard = false;                // anything at all came from there
};
struct InitSent {
  std::vector<ChildIntent> intents;  // the first goes along with IKE_AUTH
  InitMaterial init;
};

// One answer to IKE_SA_INIT. It may be forged: several are kept until one leads to a valid IKE_AUTH (RFC
// 7296 2.4).
struct Candidate {
  IkeSpi responder_spi;
  Bytes response;  // RealMessage2
  Bytes nonce_r, public_value;
  IkeAlgorithms algorithms;
  PeerCapabilities peer;
  Path path;
  ike::RequestId pending = 0;  // the shared secret, then the signature
  IkeKeys keys;
  LocalAuthPlan plan;
  std::optional<Channel> channel;
};
inline constexpr std::size_t kMaxCandidates = 4;

struct AuthSent {
  std::vector<ChildIntent> intents;
  InitMaterial init;
  Identity local_id;
  Spi inbound_spi;  // of the Child SA that goes along
  ChildProposed proposed;
  std::vector<Candidate> candidates;
  std::optional<ike::Failure> last_failure;  // of a candidate that led nowhere
};

// The responder's side, between IKE_SA_INIT and IKE_AUTH. The shared secret is computed when IKE_AUTH comes,
// not before: a flood of IKE_SA_INIT costs half the work.
struct HalfOpen {
  Bytes request,
      response;  // RealMessage1, RealMessage2; the response also answers retransmissions (RFC 7296 2.1)
  Bytes nonce_i, nonce_r, public_value;
  IkeAlgorithms algorithms;
  policy::ChosenIke chosen;
  policy::Proposal answer;
  std::vector<wire::CertreqPayload> certreqs;  // ours, until the response is sent
  std::shared_ptr<const crypto::KeyExchange> exchange;
  PeerCapabilities peer;
  bool hide_local = false;  // the configuration wants UDP encapsulation (RFC 7296 2.23)
  ike::RequestId pending = 0;
  bool deriving = false;
  IkeKeys keys;
  std::optional<Channel> channel;
  struct Waiting {
    Path path;
    Bytes datagram;
  };
  std::vector<Waiting> waiting;  // came before the keys were there
  std::size_t waiting_bytes = 0;
  MemoryShare waiting_share;
  unsigned repeats = 0;  // of the response
  Instant expires;
};
inline constexpr unsigned kMaxInitRepeats = 8;

// The responder has verified the initiator's AUTH and waits for its own signature.
struct Proving {
  HalfOpen init;
  PeerAuthenticated peer;
  LocalAuthPlan plan;
  Identity local_id;
  std::vector<wire::Payload> request;  // of IKE_AUTH
  ike::RequestId pending = 0;
};

// Over: refused in IKE_AUTH, deleted by the peer, or broken by a malformed request. Our last response is
// still repeated when its request is (RFC 7296 2.1), so that the peer learns of it.
struct Lingering {
  Channel channel;
  Instant until;
};

struct Established {
  Channel channel;
  IkeAlgorithms algorithms;
  Secret sk_d;
  PeerAuthenticated peer;
  Identity local_id;
  std::string local_auth;  // for people
  Instant established, soft = kNever, hard = kNever;
  Instant last_inbound;  // of anything authentic, packets included
  Instant last_sent;     // for keepalives
  std::vector<ChildSaRecord> children;
  std::vector<Task> tasks;
  OwnInFlight own;
  PeerInFlight answering;
  // RFC 7296 2.8.2: an IKE SA that replaced this one (it will be deleted by the peer), or that this one
  // replaced while it is not yet clear which of two wins.
  std::optional<IkeSpi> successor, predecessor;
  std::optional<IkeSpi> redundant{};  // what the peer's crossing rekey of this one made, and it is to delete
  std::optional<IkeSpi> replaces;   // the one whose rekey made this one, for good: perhaps it is still there
  Instant replaced_until = kNever;  // then a peer that never deletes it has had its time
  std::optional<Instant> temporary_failures_since;  // RFC 7296 2.25
  bool soft_expired = false;                        // its rekey was begun
  RekeyBackoff rekey_backoff;                       // of the IKE SA itself
  bool delete_waits =
      false;            // the peer's Delete of this IKE SA is answered when our own rekey of it is derived
  bool broken = false;  // INVALID_SYNTAX was answered: it is over (RFC 7296 2.21.3)
  std::uint32_t peer_window = 1;  // SET_WINDOW_SIZE of the peer (RFC 7296 2.3); we never need more than one
  Instant next_notice{}, next_heard{};  // no error notification is sent, or told to people, before
  Instant next_path_doubt{};            // doubt_path() does nothing before
  // Children of which the peer wants less than we do (RFC 7296 2.9): packets outside of what it takes ask for none before.
  struct NarrowedAway {
    std::size_t child_index = 0;
    Instant until;
  };
  std::vector<NarrowedAway> narrowed_away{};
  // See peer_validity.h.
  Instant validity_check = kNever;
  bool recheck_trust = false;
  bool reauthenticate = false;  // before the peer's certificate ends
};

// Our Delete (or AUTHENTICATION_FAILED) is on its way; whatever the answer, this IKE SA is over.
struct Closing {
  Channel channel;
  std::optional<IkeSpi> redundant{};  // see Established
};
struct Closed {};

using Phase = std::variant<InitSent, AuthSent, HalfOpen, Proving, Lingering, Established, Closing, Closed>;

}  // namespace merlon::ikev2
