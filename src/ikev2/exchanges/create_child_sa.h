// CREATE_CHILD_SA (RFC 7296 1.3, 2.8, 2.17, 2.18, 2.25): a new Child SA, the rekey of one, the rekey of the
// IKE SA. Figures in the .cc files.
#pragma once

#include "ikev2/ike_sa.h"
#include "ikev2/next.h"

namespace merlon::ikev2 {

// ---- ours
// Each takes a task that is due while nothing of ours is in flight. A task that is moot leaves nothing in
// flight.
void begin_new_child(Shard& shard, IkeSa& sa, Established& established, NewChildTask task);
void begin_rekey_child(Shard& shard, IkeSa& sa, Established& established, const RekeyChildTask& task);
void begin_rekey_ike(Shard& shard, IkeSa& sa, Established& established, const RekeyIkeTask& task);
Next<Established, Lingering> on_own_key_exchange(Shard& shard, IkeSa& sa, Established&& phase,
                                                 ike::KeyExchangeDone&& done);
Next<Established> on_create_child_response(Shard& shard, IkeSa& sa, Established&& phase, Incoming&& incoming);

// ---- the peer's
Next<Established, Lingering> on_create_child_request(Shard& shard, IkeSa& sa, Established&& phase,
                                                     Incoming&& incoming);
Next<Established, Lingering> on_peer_key_exchange(Shard& shard, IkeSa& sa, Established&& phase,
                                                  ike::KeyExchangeDone&& done);

// ---- shared by the files of this exchange
inline constexpr unsigned kMaxAttempts = 3;  // INVALID_KE_PAYLOAD, SINGLE_PAIR_REQUIRED
[[nodiscard]] OwnExchange own_exchange(const Established& established);
[[nodiscard]] ChildSaRecord* find_child(Established& established, policy::ChildSaId id);
[[nodiscard]] ChildSaRecord* find_child_by_outbound(Established& established, Spi outbound_spi);
[[nodiscard]] NamedChild named_child(const Established& established, const ChildSaRecord* record);
// A refusal of our request: what the table says is done. `retry` is what to try again later.
void on_own_error(Shard& shard, IkeSa& sa, Established& established, OwnExchange own, wire::NotifyType type,
                  bool target_gone, Task retry, std::optional<policy::ChildSaId> target, ike::Failure failure,
                  std::optional<std::size_t> child_index);

// A rekey of ours led nowhere; the SA lives on until its hard lifetime (RFC 7296 1.3, 2.8), and until then the rekey is
// tried again, with a backoff. People are told once for each reason.
void rekey_child_failed(Shard& shard, IkeSa& sa, Established& established, policy::ChildSaId target,
                        ike::Failure failure);
void rekey_ike_failed(Shard& shard, IkeSa& sa, Established& established, ike::Failure failure);

// Another Child SA does what this one did. With a time: the peer is to delete it; where it does not, we do then.
void delete_redundant(Established& established, ChildSaRecord& record, std::string reason,
                      std::optional<Instant> not_before = std::nullopt);
// Called whenever an exchange has made a Child SA; see create_child_sa_twins.cc.
void settle_twins(Shard& shard, Established& established, std::size_t child_index);
// A peer that does not know the rule does not delete what it should: then we do, after this long.
inline constexpr Duration kTwinPatience = std::chrono::seconds(30);
void finish_own_child(Shard& shard, IkeSa& sa, Established& established, const Secret* shared_secret);
void on_child_response(Shard& shard, IkeSa& sa, Established& established, Incoming&& incoming);
void on_rekey_ike_response(Shard& shard, IkeSa& sa, Established& established, Incoming&& incoming);
[[nodiscard]] std::unique_ptr<RekeyingIke> take_own_rekey_ike(Established& established);
void fail_own_rekey_ike(Shard& shard, IkeSa& sa, Established& established, const RekeyingIke& own,
                        const Error& why);
void finish_own_rekey_ike(Shard& shard, IkeSa& sa, Established& established, const Secret& shared_secret);
void send_child_request(Shard& shard, IkeSa& sa, Established& established);
void send_rekey_ike_request(Shard& shard, IkeSa& sa, Established& established);

void answer_child_request(Shard& shard, IkeSa& sa, Established& established, const Incoming& incoming);
void finish_peer_child(Shard& shard, IkeSa& sa, Established& established, const Secret* shared_secret);
void answer_rekey_ike_request(Shard& shard, IkeSa& sa, Established& established, const Incoming& incoming);
void finish_peer_rekey_ike(Shard& shard, IkeSa& sa, Established& established, const Secret& shared_secret);
void respond_error(Shard& shard, IkeSa& sa, Established& established, wire::NotifyPayload notify);

// The peer's rekey that crossed ours is being answered: ours waits (HeldBack), and goes on with this.
[[nodiscard]] bool is_answering_a_crossing_rekey(const Established& established);
void finish_held_back(Shard& shard, IkeSa& sa, Established& established);

// Our rekey of the IKE SA led nowhere, or lost: what the peer's crossing rekey made, if any, takes over.
void settle_for_peers_rekey(Shard& shard, IkeSa& sa, Established& established,
                            const std::optional<Crossed>& crossed);
// Children and what is intended with them go over to the IKE SA that replaces this one (RFC 7296 2.8).
void inherit(Shard& shard, IkeSa& from, Established& established, IkeSa& to);
// A replaced IKE SA is deleted by the side that began the rekey; the other gives it this long.
inline constexpr Duration kReplacedPatience = std::chrono::seconds(120);
inline constexpr Duration kLoserPatience = std::chrono::seconds(30);
inline constexpr Duration kHurriedPatience = std::chrono::seconds(5);  // once the old one is deleted

}  // namespace merlon::ikev2
