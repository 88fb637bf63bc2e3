// A bounded ring of pointers between two threads, made for bursts: what is pushed together is published together, and each
// side looks at the other's index only where what it knows of it is not enough.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <span>

namespace merlon::esp {

template <class T>
class Lane {
 public:
  // `capacity` is rounded up to a power of two.
  explicit Lane(std::size_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), items_(std::make_unique<T*[]>(mask_ + 1)) {}

  // By the one producer: takes from the front as many as there is room for, and says how many. Sequentially consistent, so
  // that a consumer which goes to sleep either finds them or is seen asleep.
  [[nodiscard]] std::size_t push(std::span<T* const> items) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail + items.size() - head_seen_ > mask_ + 1) head_seen_ = head_.load(std::memory_order_acquire);
    const std::size_t count = std::min(items.size(), mask_ + 1 - (tail - head_seen_));
    if (count == 0) return 0;
    for (std::size_t i = 0; i < count; ++i) items_[(tail + i) & mask_] = items[i];
    tail_.store(tail + count, std::memory_order_seq_cst);
    return count;
  }

  // By the one consumer: the oldest, as many as there are and as fit; how many.
  [[nodiscard]] std::size_t pop(std::span<T*> items) {
    return pop(items, SIZE_MAX, [](const T&) { return std::size_t{0}; });
  }
  // The same, and none behind the one with which the sum of `weight` reaches `enough`.
  template <class Weight>
  [[nodiscard]] std::size_t pop(std::span<T*> items, std::size_t enough, Weight weight) {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (tail_seen_ - head < items.size()) tail_seen_ = tail_.load(std::memory_order_acquire);
    const std::size_t most = std::min(items.size(), tail_seen_ - head);
    std::size_t count = 0;
    for (std::size_t sum = 0; count < most && sum < enough; ++count) {
      items[count] = items_[(head + count) & mask_];
      sum += weight(*items[count]);
    }
    if (count != 0) head_.store(head + count, std::memory_order_release);
    return count;
  }
  // By the consumer.
  [[nodiscard]] bool empty() const {
    return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_seq_cst);
  }
  [[nodiscard]] std::size_t capacity() const { return mask_ + 1; }

 private:
  const std::size_t mask_;
  const std::unique_ptr<T*[]> items_;
  // Each index stands with what its writer knows of the other one.
  alignas(64) std::atomic<std::size_t> tail_{0};
  std::size_t head_seen_ = 0;
  alignas(64) std::atomic<std::size_t> head_{0};
  std::size_t tail_seen_ = 0;
};

}  // namespace merlon::esp
