// Several Child SAs for one pair of networks, one a data worker, so that one tunnel uses several cores (RFC 9611).
//
// The first is negotiated like any other, with SA_RESOURCE_INFO beside it; where the answer has it too, the others
// follow, each by a CREATE_CHILD_SA of its own. Both ends number theirs as they like: the number says which worker
// owns the SA's inbound half, and carries nothing to the peer but a hint for its log (RFC 9611 3).
#pragma once

#include <optional>
#include <span>

#include "ikev2/child_sa.h"
#include "wire/ike/message.h"

namespace merlon::ikev2 {

class Shard;

// How many are wanted of this child; 1: it takes no part in any of this.
[[nodiscard]] unsigned wanted_child_sas(const Shard& shard, const policy::ChildConfig& child);
// The lowest number that none has, neither one that stands nor one that is being made. nullopt: there are as many as are
// wanted, or one is wanted at all. For a request of the peer, ours that crosses it does not count: where each refused the
// other's, one would be missing. So there may be one more than is wanted.
enum class For { kOurs, kPeers };
[[nodiscard]] std::optional<unsigned> free_resource(const Shard& shard, const IkeSa& sa,
                                                    const Established& established, std::size_t child_index,
                                                    For whose);
// N(SA_RESOURCE_INFO) with the number as text (RFC 9611 5.1).
[[nodiscard]] wire::NotifyPayload make_resource_info(unsigned resource);
[[nodiscard]] bool has_resource_info(std::span<const wire::Payload> payloads);

// Called when an exchange of ours made one that the peer numbers too: the next one is queued, if one is missing.
void queue_another(const Shard& shard, const IkeSa& sa, Established& established, std::size_t child_index);
// RFC 9611 3: all of them have the same selectors and algorithms. What one more is to be like; nullptr where none stands.
[[nodiscard]] const policy::ChildSa* model_of(const Established& established, std::size_t child_index);
[[nodiscard]] bool is_like(const ChildAccepted& accepted, const policy::ChildSa& model);

}  // namespace merlon::ikev2
