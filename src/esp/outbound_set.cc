#include "esp/outbound_set.h"

#include <array>

#include "base/check.h"
#include "esp/outbound_index.h"

namespace merlon::esp {
namespace {

constexpr std::size_t kFirstBuckets = 32;

bool is_like(const OutboundSa& a, const OutboundSa& b) {
  return a.rules().remote_ts.size() == b.rules().remote_ts.size() &&
         std::equal(a.rules().remote_ts.begin(), a.rules().remote_ts.end(), b.rules().remote_ts.begin()) &&
         a.remote.get().address == b.remote.get().address;
}

}  // namespace

OutboundSet::~OutboundSet() {
  const Root root = root_.load(std::memory_order_relaxed);
  if (root.is_index()) delete root.index();
}

void OutboundSet::Choice::look_at(const OutboundSa& sa, std::uint64_t order) {
  if (!sa.use_outbound) return;
  const Rank rank = !sa.is_bound ? kForAll : sa.owner == self_ ? kOwn : kOthers;
  if (rank < rank_ || (rank == rank_ && order < order_)) return;
  const SaRules& rules = sa.rules();
  if (!policy::matches(rules.local_ts, rules.remote_ts, packet_, policy::Direction::kOutbound)) return;
  rank_ = rank;
  sa_ = &sa;
  order_ = order;
}

const OutboundSa* OutboundSet::select(const policy::PacketSelectors& packet, WorkerIndex self) const {
  const Root root = root_.load(std::memory_order_seq_cst);
  if (!root.has_any()) return nullptr;
  Choice choice(packet, self, has_bound_.load(std::memory_order_relaxed));
  if (root.is_index()) {
    root.index()->search(packet, choice);
    return choice.chosen();
  }
  std::uint64_t order = UINT64_MAX;
  for (const OutboundSa* sa = root.newest(); sa != nullptr && !choice.is_made(order);
       sa = sa->older.load(std::memory_order_seq_cst))
    choice.look_at(*sa, order--);
  return choice.chosen();
}

void OutboundSet::insert(const OutboundSa& sa, Grace& grace) {
  if (sa.is_bound) has_bound_.store(true, std::memory_order_relaxed);
  Root root = root_.load(std::memory_order_relaxed);
  if (!root.is_index()) {
    std::size_t count = 0;
    for (const OutboundSa* at = root.newest(); at != nullptr; at = at->older.load(std::memory_order_relaxed))
      ++count;
    if (count < kMostInList) {
      sa.older.store(root.newest(), std::memory_order_relaxed);
      root_.store(Root(&sa), std::memory_order_seq_cst);
      return grace.published();
    }
    become_index(grace);
    root = root_.load(std::memory_order_relaxed);
  }
  OutboundIndex* const index = root.index();
  if (index->is_full()) {
    auto larger = index->larger();
    larger->insert(sa);
    publish(larger.release(), grace);
  } else {
    index->insert(sa);
    grace.published();
  }
}

// A worker that walks the list may go on with it: its links stay as they are until the SAs are freed.
void OutboundSet::become_index(Grace& grace) {
  std::array<const OutboundSa*, kMostInList> newest_first{};
  std::size_t count = 0;
  for (const OutboundSa* at = root_.load(std::memory_order_relaxed).newest(); at != nullptr;
       at = at->older.load(std::memory_order_relaxed))
    newest_first[count++] = at;
  auto index = std::make_unique<OutboundIndex>(kFirstBuckets);
  while (count != 0) index->insert(*newest_first[--count]);
  publish(index.release(), grace);
}

void OutboundSet::publish(OutboundIndex* index, Grace& grace) {
  const Root before = root_.load(std::memory_order_relaxed);
  root_.store(Root(index), std::memory_order_seq_cst);
  grace.published(before.is_index() ? std::shared_ptr<const OutboundIndex>(before.index()) : nullptr);
}

const OutboundSa* OutboundSet::newer_than(const OutboundSa& sa) const {
  const OutboundSa* newer = nullptr;
  for (const OutboundSa* at = root_.load(std::memory_order_relaxed).newest(); at != &sa;
       at = at->older.load(std::memory_order_relaxed)) {
    MERLON_ASSERT(at != nullptr);
    newer = at;
  }
  return newer;
}

void OutboundSet::point(const OutboundSa* newer, const OutboundSa* to) {
  if (newer == nullptr) {
    root_.store(to == nullptr ? Root() : Root(to), std::memory_order_seq_cst);
  } else {
    newer->older.store(to, std::memory_order_seq_cst);
  }
}

const OutboundSa& OutboundSet::find(const SaMaterial& material) const {
  const Root root = root_.load(std::memory_order_relaxed);
  if (root.is_index()) return *material.outbound_state.node->sa.load(std::memory_order_relaxed);
  const OutboundSa* at = root.newest();
  while (at != nullptr && at->material != &material) at = at->older.load(std::memory_order_relaxed);
  MERLON_ASSERT(at != nullptr);
  return *at;
}

void OutboundSet::replace(const OutboundSa& before, const OutboundSa& after, Grace& grace) {
  if (root_.load(std::memory_order_relaxed).is_index()) {
    before.state().node->sa.store(&after, std::memory_order_seq_cst);
  } else {
    after.older.store(before.older.load(std::memory_order_relaxed), std::memory_order_relaxed);
    point(newer_than(before), &after);
  }
  grace.published();
}

void OutboundSet::erase(const OutboundSa& sa, Grace& grace) {
  const Root root = root_.load(std::memory_order_relaxed);
  if (!root.is_index()) {
    point(newer_than(sa), sa.older.load(std::memory_order_relaxed));
    return grace.published();
  }
  std::shared_ptr<const OutboundNode> node = root.index()->erase(sa);
  if (root.index()->size() == 0) {
    root_.store(Root(), std::memory_order_seq_cst);
    grace.published(std::shared_ptr<const OutboundIndex>(root.index()));
  }
  grace.published(std::move(node));
}

const OutboundSa* OutboundSet::predecessor(const OutboundSa& sa) const {
  const Root root = root_.load(std::memory_order_relaxed);
  if (!root.is_index()) {
    for (const OutboundSa* at = root.newest(); at != nullptr; at = at->older.load(std::memory_order_relaxed))
      if (is_like(*at, sa)) return at;
    return nullptr;
  }
  const OutboundNode* node = root.index()->first_like(sa);
  for (std::size_t i = 0; node != nullptr && i < kMostInList;
       ++i, node = node->next.load(std::memory_order_relaxed)) {
    const OutboundSa* at = node->sa.load(std::memory_order_relaxed);
    if (is_like(*at, sa)) return at;
  }
  return nullptr;
}

}  // namespace merlon::esp
