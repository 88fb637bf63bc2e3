// Many SAs of one child, by the prefix behind the peer: a hash table whose buckets are lists, the newest first. Where an
// SA's remote selectors are not one prefix, it stands in a list that every packet goes through. For outbound_set.cc.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "esp/outbound_set.h"

namespace merlon::esp {

struct OutboundNode {
  std::atomic<const OutboundSa*> sa{nullptr};
  std::atomic<OutboundNode*> next{nullptr};  // older
  OutboundNode* previous = nullptr;          // the control side's, as all that follows but `order`
  std::size_t bucket = 0;
  std::uint64_t order = 0;  // grows with each SA
};

class OutboundIndex {
 public:
  explicit OutboundIndex(std::size_t buckets);  // a power of two
  OutboundIndex(const OutboundIndex&) = delete;
  OutboundIndex& operator=(const OutboundIndex&) = delete;
  ~OutboundIndex();

  // --- worker
  void search(const policy::PacketSelectors& packet, OutboundSet::Choice& choice) const;

  // --- control side
  // Newer than all that stand here. The SA's state points to its node.
  void insert(const OutboundSa& sa);
  // Takes the node out; to be freed a grace period later.
  [[nodiscard]] std::unique_ptr<OutboundNode> erase(const OutboundSa& sa);
  // The SAs in the same bucket, newest first.
  [[nodiscard]] const OutboundNode* first_like(const OutboundSa& sa) const;
  [[nodiscard]] bool is_full() const { return size_ > buckets_.size() - 1; }
  [[nodiscard]] std::size_t size() const { return size_; }
  // The same SAs in twice as many buckets.
  [[nodiscard]] std::unique_ptr<OutboundIndex> larger() const;

 private:
  struct Prefix {
    IpFamily family = IpFamily::kIpv4;
    unsigned length = 0;
    std::array<std::uint64_t, 2> words{};  // IpAddress::words()
  };
  [[nodiscard]] static std::optional<Prefix> prefix_of(const OutboundSa& sa);
  [[nodiscard]] static std::array<std::uint64_t, 2> masked(std::array<std::uint64_t, 2> words,
                                                           unsigned length);
  [[nodiscard]] std::size_t bucket_of(const Prefix& prefix) const;
  [[nodiscard]] std::size_t bucket_of(const OutboundSa& sa) const;
  static void look_through(const std::atomic<OutboundNode*>& first, OutboundSet::Choice& choice);

  // The last one holds those that have no prefix.
  std::vector<std::atomic<OutboundNode*>> buckets_;
  // Which lengths stand here, a bit each; bits are not taken back.
  std::array<std::atomic<std::uint64_t>, 1> lengths_v4_{};
  std::array<std::atomic<std::uint64_t>, 3> lengths_v6_{};
  std::size_t size_ = 0;
  std::uint64_t last_order_ = 0;
};

}  // namespace merlon::esp
