// Both ends may begin the same Child SA at once, of which RFC 7296 says nothing; the rule of 2.8.1 serves.
//
//   A                                          B
//     HDR, SK {SA, Ni, TSi, TSr}   -->    <--    HDR, SK {SA, Ni', TSi, TSr}
//     HDR, SK {SA, Nr', ...}       -->    <--    HDR, SK {SA, Nr, ...}
//   the exchange that has the lowest of the four nonces made the redundant one: who began it deletes it
//     HDR, SK {D(the redundant one)}     -->
//
// A request may be late (lost, and sent again), and what it is compared with have been rekeyed by then, also more than
// once, by either end. So what is compared are lines: a Child SA that a rekey made stands for the exchange that began its
// line. Both ends know the nonces of that and who began it, whatever each of them has seen of the rekeys so far; and when
// a line is redundant, so is each of its heirs, as soon as it is made.
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/create_child_sa.h"

namespace merlon::ikev2 {

namespace {

bool stands(const ChildSaRecord& record) {
  return record.live() && !record.replaced;
}

// Those that share the packets of a pair of networks are no twins (RFC 9611).
bool twins(const ChildSaRecord& a, const ChildSaRecord& b) {
  return !(a.sa->resource && b.sa->resource) && a.child_index == b.child_index &&
         a.line.initiated != b.line.initiated && policy::same_set(a.sa->local_ts, b.sa->local_ts) &&
         policy::same_set(a.sa->remote_ts, b.sa->remote_ts);
}

}  // namespace

void delete_redundant(Established& established, ChildSaRecord& record, std::string reason,
                      std::optional<Instant> not_before) {
  record.replaced = true;
  if (record.deleting) return;
  record.deleting = !not_before;
  const auto spi = record.sa->inbound_spi;
  std::erase_if(established.tasks, [&](const Task& task) {
    const auto* queued = std::get_if<DeleteChildTask>(&task.what);
    return queued && queued->inbound_spi == spi;
  });
  established.tasks.push_back({DeleteChildTask{spi, std::move(reason)}, not_before.value_or(Instant{})});
}

void settle_twins(Shard& shard, Established& established, std::size_t child_index) {
  auto& children = established.children;
  for (auto a = children.begin(); a != children.end(); ++a) {
    if (a->child_index != child_index) continue;
    for (auto b = std::next(a); b != children.end() && stands(*a); ++b) {
      if (!stands(*b) || !twins(*a, *b)) continue;
      auto& redundant = nonce_is_lower(a->line.lowest_nonce, b->line.lowest_nonce) ? *a : *b;
      shard.count(redundant.line.initiated ? ike::RarePath::kTwinDeleted : ike::RarePath::kTwinLeftToPeer);
      delete_redundant(established, redundant, "both ends made it at once",
                       redundant.line.initiated ? std::nullopt : std::optional(shard.time() + kTwinPatience));
    }
  }
}

}  // namespace merlon::ikev2
