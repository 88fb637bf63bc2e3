// Publication without locks: the control side replaces immutable objects behind atomic pointers and frees the
// old ones after a grace period, when no worker can still look at them.
//
// A worker opens a Section around each burst. All operations that order the two sides are sequentially
// consistent: either the control side sees the worker inside, or the worker sees what was published before.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

namespace merlon::esp {

class Grace {
 public:
  // --- worker. One worker so far; with more, each has its own `inside_`.
  class Section {
   public:
    explicit Section(Grace& grace) : grace_(grace) {
      grace.inside_.store(grace.generation_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
      generation_ = grace.generation_.load(std::memory_order_seq_cst);
    }
    ~Section() { grace_.inside_.store(kOutside, std::memory_order_release); }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

    // Grows with every publication. A pointer remembered from an earlier section of the same generation is
    // still valid.
    [[nodiscard]] std::uint64_t generation() const { return generation_; }

   private:
    Grace& grace_;
    std::uint64_t generation_ = 0;
  };

  // --- control side, one thread at a time.
  // Called after a publication; `old` is what it replaced (null: nothing).
  void published(std::shared_ptr<const void> old = nullptr) {
    const std::uint64_t before = generation_.fetch_add(1, std::memory_order_seq_cst);
    if (old) retired_.emplace_back(before, std::move(old));
  }
  // Frees what nobody sees any more; how many objects still wait.
  std::size_t reclaim() {
    const std::uint64_t inside = inside_.load(std::memory_order_seq_cst);
    while (!retired_.empty() && (inside == kOutside || inside > retired_.front().first)) retired_.pop_front();
    return retired_.size();
  }

 private:
  static constexpr std::uint64_t kOutside = 0;
  std::atomic<std::uint64_t> generation_{1};
  alignas(64) std::atomic<std::uint64_t> inside_{kOutside};  // the generation that the worker entered with
  std::deque<std::pair<std::uint64_t, std::shared_ptr<const void>>> retired_;
};

}  // namespace merlon::esp
