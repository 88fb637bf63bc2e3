// What an established IKE SA intends to do, is doing, and is answering. RFC 7296 2.3: one request of ours at
// a time, so intentions wait in a list; what is in flight keeps its own data apart from the phase.
#pragma once

#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "crypto/key_exchange.h"
#include "ike/actions.h"
#include "ike/failure.h"
#include "ikev2/child_sa.h"
#include "ikev2/collision.h"
#include "wire/ike/notify.h"

namespace merlon::ikev2 {

// ---- intentions
struct NewChildTask {
  ChildIntent intent;
  unsigned attempts = 0;
  KeMethod method = KeMethod::kNone;  // kNone: our first choice
  bool only_packet = false;           // after SINGLE_PAIR_REQUIRED
};
struct RekeyChildTask {
  policy::ChildSaId id;
  unsigned attempts = 0;
  KeMethod method = KeMethod::kNone;
};
struct RekeyIkeTask {
  unsigned attempts = 0;
  KeMethod method = KeMethod::kNone;
};
struct DeleteChildTask {
  Spi inbound_spi;
  std::string reason;
};
struct DeleteIkeTask {
  explicit DeleteIkeTask(ike::Failure why) : reason(std::make_shared<const ike::Failure>(std::move(why))) {}
  std::shared_ptr<const ike::Failure> reason;
};
struct ProbeTask {             // liveness (RFC 7296 2.4)
  unsigned datagram_size = 0;  // not 0: padded to this, to learn whether the path carries it (RFC 8899)
};

struct NoticeTask {  // an error notification in a request of its own (RFC 7296 1.5, 2.3, 3.10.1)
  wire::NotifyPayload notify;
  std::string about;              // what is in its data, for people
  std::optional<IkeSpi> only_on;  // our SPI of the IKE SA that it is about: no heir sends it
};

struct Task {
  std::variant<NewChildTask, RekeyChildTask, RekeyIkeTask, DeleteChildTask, DeleteIkeTask, ProbeTask,
               NoticeTask>
      what;
  Instant not_before{};
};

// ---- in flight, ours
// The exchange of the peer that crossed ours and rekeyed the same SA (RFC 7296 2.8.1, 2.8.2).
struct Crossed {
  Bytes nonce_i, nonce_r;
  policy::ChildSaId child;  // what it made
  IkeSpi ike_sa;            // our SPI of what it made
};

// The peer has answered our rekey, but we have not yet answered the one of the peer that crossed it: ours is finished
// after that, since only then both are known.
struct HeldBack {
  std::optional<Secret> shared_secret;
};

struct CreatingChild {  // also a rekey
  ChildIntent intent;
  std::optional<policy::ChildSaId> rekeys;
  // Of what it rekeys, which may be gone when the answer comes. RFC 9611 3: a rekey stays with its resource.
  ChildLine line;
  std::optional<unsigned> resource;
  unsigned attempts = 0;
  bool only_packet = false;
  Spi inbound_spi;
  Bytes nonce;
  ChildProposed proposed;
  KeMethod method = KeMethod::kNone;
  std::shared_ptr<const crypto::KeyExchange> exchange;
  ike::RequestId pending = 0;  // the key pair, then the shared secret
  bool sent = false;
  std::optional<ChildAccepted> accepted;  // the answer, while the shared secret is computed
  Bytes nonce_r;
  std::optional<Crossed> crossed;
  std::optional<HeldBack> held_back;
  bool target_gone = false;  // Followup::kOwnTargetGone
  std::vector<Spi>
      deleted_early;  // SPIs that the peer deleted and that we never knew: perhaps the one that this makes
};
inline constexpr std::size_t kMaxDeletedEarly = 16;
struct RekeyingIke {
  unsigned attempts = 0;
  IkeSpi spi;
  Bytes nonce;
  policy::Proposals offer;
  KeMethod method = KeMethod::kNone;
  std::shared_ptr<const crypto::KeyExchange> exchange;
  ike::RequestId pending = 0;
  bool sent = false;
  std::optional<policy::ChosenIke> chosen;
  IkeSpi peer_spi;
  Bytes nonce_r;
  std::optional<Crossed> crossed;
  std::optional<HeldBack> held_back;
};
struct DeletingChild {
  std::vector<Spi> inbound_spis;
};
struct Probing {
  unsigned datagram_size = 0;
};
struct Notifying {};
using OwnInFlight = std::variant<std::monostate, std::unique_ptr<CreatingChild>, std::unique_ptr<RekeyingIke>,
                                 DeletingChild, Probing, Notifying>;

// ---- in flight, the peer's
struct AnsweringChild {
  ChildAnswer answer;
  std::optional<policy::ChildSaId> rekeys;
  ChildLine line;  // of what it rekeys
  std::optional<unsigned> resource;
  Followup followup = Followup::kNone;
  Spi inbound_spi;
  Bytes nonce_i, nonce_r, public_value;
  std::shared_ptr<const crypto::KeyExchange> exchange;
  ike::RequestId pending = 0;
};
struct AnsweringRekeyIke {
  policy::IkeSelection selection;
  Followup followup = Followup::kNone;
  IkeSpi spi, peer_spi;
  Bytes nonce_i, nonce_r, public_value;
  std::shared_ptr<const crypto::KeyExchange> exchange;
  ike::RequestId pending = 0;
};
using PeerInFlight =
    std::variant<std::monostate, std::unique_ptr<AnsweringChild>, std::unique_ptr<AnsweringRekeyIke>>;

}  // namespace merlon::ikev2
