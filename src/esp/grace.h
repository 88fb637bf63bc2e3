// Publication without locks: the control side replaces immutable objects behind atomic pointers and frees the
// old ones after a grace period, when no worker can still look at them.
//
// A worker opens a Section around each burst, with the Reader that is its own. All operations that order the two sides are
// sequentially consistent: either the control side sees the worker inside, or the worker sees what was published before.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

namespace merlon::esp {

class Grace {
 public:
  explicit Grace(std::size_t readers = 1) : readers_(readers) {}

  // One worker's place: the generation that it entered with.
  struct alignas(64) Reader {
    std::atomic<std::uint64_t> inside{0};  // kOutside
  };
  [[nodiscard]] Reader& reader(std::size_t index) { return readers_[index]; }

  // --- worker
  class Section {
   public:
    explicit Section(Grace& grace) : Section(grace, grace.reader(0)) {}  // of an only worker
    Section(const Grace& grace, Reader& reader) : reader_(reader) {
      reader.inside.store(grace.generation_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
      generation_ = grace.generation_.load(std::memory_order_seq_cst);
    }
    ~Section() { reader_.inside.store(kOutside, std::memory_order_release); }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

    // Grows with every publication. A pointer remembered from an earlier section of the same generation is
    // still valid.
    [[nodiscard]] std::uint64_t generation() const { return generation_; }

   private:
    Reader& reader_;
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
    if (retired_.empty()) return 0;
    const std::uint64_t oldest = oldest_inside();
    while (!retired_.empty() && oldest > retired_.front().first) retired_.pop_front();
    return retired_.size();
  }

 private:
  static constexpr std::uint64_t kOutside = 0;
  [[nodiscard]] std::uint64_t oldest_inside() const {
    std::uint64_t oldest = UINT64_MAX;
    for (const Reader& reader : readers_)
      if (const std::uint64_t inside = reader.inside.load(std::memory_order_seq_cst); inside != kOutside)
        oldest = std::min(oldest, inside);
    return oldest;
  }

  std::atomic<std::uint64_t> generation_{1};
  std::vector<Reader> readers_;
  std::deque<std::pair<std::uint64_t, std::shared_ptr<const void>>> retired_;
};

}  // namespace merlon::esp
