#include "esp/outbound_index.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace merlon::esp {

OutboundIndex::OutboundIndex(std::size_t buckets) : buckets_(buckets + 1) {}

OutboundIndex::~OutboundIndex() {
  for (const auto& bucket : buckets_) {
    for (OutboundNode* node = bucket.load(std::memory_order_relaxed); node != nullptr;)
      delete std::exchange(node, node->next.load(std::memory_order_relaxed));
  }
}

// --- keys

std::optional<OutboundIndex::Prefix> OutboundIndex::prefix_of(const OutboundSa& sa) {
  const policy::SelectorView remote = sa.rules().remote_ts;
  if (remote.size() != 1 || remote[0].start_address.family() != remote[0].end_address.family())
    return std::nullopt;
  const auto first = remote[0].start_address.words(), last = remote[0].end_address.words();
  unsigned length = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto same = static_cast<unsigned>(std::countl_zero(first[i] ^ last[i]));
    length += same;
    if (same != 64) break;
  }
  const IpFamily family = remote[0].start_address.family();
  length = std::min(length, remote[0].start_address.bit_width());
  if (remote[0].start_address != remote[0].start_address.masked(length) ||
      remote[0].end_address != remote[0].start_address.filled(length))
    return std::nullopt;
  return Prefix{family, length, first};
}

std::array<std::uint64_t, 2> OutboundIndex::masked(std::array<std::uint64_t, 2> words, unsigned length) {
  const auto leading = [](unsigned count) {
    return count == 0 ? 0 : count >= 64 ? ~std::uint64_t{0} : ~std::uint64_t{0} << (64U - count);
  };
  return {words[0] & leading(length), words[1] & leading(length > 64 ? length - 64 : 0)};
}

std::size_t OutboundIndex::bucket_of(const Prefix& prefix) const {
  std::uint64_t hash = static_cast<std::uint64_t>(prefix.family) << 8U | prefix.length;
  for (const std::uint64_t word : prefix.words) {
    hash = (hash ^ word) * 0xff51afd7ed558ccdU;
    hash ^= hash >> 32U;
  }
  return hash & (buckets_.size() - 2);
}

std::size_t OutboundIndex::bucket_of(const OutboundSa& sa) const {
  const auto prefix = prefix_of(sa);
  return prefix ? bucket_of(*prefix) : buckets_.size() - 1;
}

// --- worker

void OutboundIndex::look_through(const std::atomic<OutboundNode*>& first, OutboundSet::Choice& choice) {
  for (const OutboundNode* node = first.load(std::memory_order_seq_cst);
       node != nullptr && !choice.is_made(node->order); node = node->next.load(std::memory_order_seq_cst))
    choice.look_at(*node->sa.load(std::memory_order_seq_cst), node->order);
}

void OutboundIndex::search(const policy::PacketSelectors& packet, OutboundSet::Choice& choice) const {
  const IpFamily family = packet.destination.family();
  const auto words = packet.destination.words();
  const auto look_at = [&](const auto& lengths) {
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      for (std::uint64_t bits = lengths[i].load(std::memory_order_seq_cst); bits != 0; bits &= bits - 1) {
        const auto length = static_cast<unsigned>(i * 64) + static_cast<unsigned>(std::countr_zero(bits));
        look_through(buckets_[bucket_of({family, length, masked(words, length)})], choice);
      }
    }
  };
  if (family == IpFamily::kIpv4) {
    look_at(lengths_v4_);
  } else {
    look_at(lengths_v6_);
  }
  look_through(buckets_.back(), choice);
}

// --- control side

void OutboundIndex::insert(const OutboundSa& sa) {
  auto* const node = new OutboundNode;
  node->bucket = bucket_of(sa);
  node->order = ++last_order_;
  node->sa.store(&sa, std::memory_order_relaxed);
  std::atomic<OutboundNode*>& first = buckets_[node->bucket];
  OutboundNode* const older = first.load(std::memory_order_relaxed);
  node->next.store(older, std::memory_order_relaxed);
  if (older != nullptr) older->previous = node;
  sa.state().node = node;
  first.store(node, std::memory_order_seq_cst);
  ++size_;
  if (const auto prefix = prefix_of(sa)) {
    auto& lengths = prefix->family == IpFamily::kIpv4 ? lengths_v4_[0] : lengths_v6_[prefix->length / 64];
    lengths.fetch_or(std::uint64_t{1} << prefix->length % 64, std::memory_order_seq_cst);
  }
}

std::unique_ptr<OutboundNode> OutboundIndex::erase(const OutboundSa& sa) {
  std::unique_ptr<OutboundNode> node(std::exchange(sa.state().node, nullptr));
  MERLON_ASSERT(node != nullptr);
  OutboundNode* const older = node->next.load(std::memory_order_relaxed);
  (node->previous == nullptr ? buckets_[node->bucket] : node->previous->next)
      .store(older, std::memory_order_seq_cst);
  if (older != nullptr) older->previous = node->previous;
  --size_;
  return node;
}

const OutboundNode* OutboundIndex::first_like(const OutboundSa& sa) const {
  return buckets_[bucket_of(sa)].load(std::memory_order_relaxed);
}

std::unique_ptr<OutboundIndex> OutboundIndex::larger() const {
  std::vector<const OutboundNode*> nodes;
  nodes.reserve(size_);
  for (const auto& bucket : buckets_) {
    for (const OutboundNode* node = bucket.load(std::memory_order_relaxed); node != nullptr;
         node = node->next.load(std::memory_order_relaxed))
      nodes.push_back(node);
  }
  std::ranges::sort(nodes, {}, &OutboundNode::order);
  auto made = std::make_unique<OutboundIndex>((buckets_.size() - 1) * 2);
  for (const OutboundNode* node : nodes) made->insert(*node->sa.load(std::memory_order_relaxed));
  return made;
}

}  // namespace merlon::esp
