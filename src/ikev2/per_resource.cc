#include "ikev2/per_resource.h"

#include <algorithm>
#include <set>
#include <string>

#include "ikev2/established.h"
#include "ikev2/shard.h"
#include "wire/ike/notify_data.h"

namespace merlon::ikev2 {

using wire::NotifyType;

namespace {

// The number of the Child SA that we are about to make.
std::optional<unsigned> own_resource(const Established& established, std::size_t child_index) {
  const auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
  // A rekey has the number of what it replaces.
  const bool counts = own && (*own)->intent.child_index == child_index && !(*own)->rekeys;
  return counts ? (*own)->resource : std::nullopt;
}

// The numbers of those that stand, or are being answered.
std::set<unsigned> standing(const Established& established, std::size_t child_index) {
  std::set<unsigned> used;
  for (const auto& record : established.children)
    if (record.child_index == child_index && record.remove_at == kNever && record.sa->resource)
      used.insert(*record.sa->resource);
  if (const auto* peers = std::get_if<std::unique_ptr<AnsweringChild>>(&established.answering);
      peers && (*peers)->answer.child_index == child_index && (*peers)->resource)
    used.insert(*(*peers)->resource);
  return used;
}

}  // namespace

unsigned wanted_child_sas(const Shard& shard, const policy::ChildConfig& child) {
  return std::max(1U, child.parallel == 0 ? shard.options().data_workers : child.parallel);
}

std::optional<unsigned> free_resource(const Shard& shard, const IkeSa& sa, const Established& established,
                                      std::size_t child_index, For whose) {
  const unsigned wanted = wanted_child_sas(shard, sa.connection->children[child_index]);
  auto used = standing(established, child_index);
  const auto own = own_resource(established, child_index);
  if (own && whose == For::kOurs) used.insert(*own);
  if (wanted == 1 || used.size() >= wanted) return std::nullopt;
  if (own) used.insert(*own);
  unsigned lowest = 0;
  while (used.contains(lowest)) ++lowest;
  return lowest;
}

wire::NotifyPayload make_resource_info(unsigned resource) {
  return wire::make_notify(NotifyType::kSaResourceInfo, to_bytes(as_bytes(std::to_string(resource))));
}

bool has_resource_info(std::span<const wire::Payload> payloads) {
  return wire::find_notify(payloads, NotifyType::kSaResourceInfo) != nullptr;
}

void queue_another(const Shard& shard, const IkeSa& sa, Established& established, std::size_t child_index) {
  if (!free_resource(shard, sa, established, child_index, For::kOurs)) return;
  ChildIntent intent;
  intent.child_index = child_index;
  intent.additional = true;
  established.tasks.push_back({NewChildTask{std::move(intent), 0, KeMethod::kNone, false}, {}});
}

const policy::ChildSa* model_of(const Established& established, std::size_t child_index) {
  for (const auto& record : established.children)
    if (record.child_index == child_index && record.live() && record.sa->resource) return record.sa.get();
  return nullptr;
}

bool is_like(const ChildAccepted& accepted, const policy::ChildSa& model) {
  const auto& chosen = accepted.chosen;
  const auto& algorithms = model.algorithms;
  return chosen.encr == algorithms.encr && chosen.key_bits == algorithms.key_bits &&
         chosen.integ == algorithms.integ && chosen.esn == algorithms.esn &&
         policy::same_set(accepted.local_ts, model.local_ts) &&
         policy::same_set(accepted.remote_ts, model.remote_ts);
}

}  // namespace merlon::ikev2
