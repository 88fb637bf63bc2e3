// What peers make a shard keep of messages that are not whole yet: fragments (RFC 7383), and IKE_AUTH requests that came
// before the keys. One budget for all IKE SAs; those who have proved nothing have half of it in all, so that a flood of
// them leaves the other half to the peers that have.
#pragma once

#include <cstddef>
#include <utility>

namespace merlon::ikev2 {

class MemoryBudget {
 public:
  explicit MemoryBudget(std::size_t limit) : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  [[nodiscard]] std::size_t used() const { return proven_ + unproven_; }

 private:
  friend class MemoryShare;
  bool take(std::size_t bytes, bool proven) {
    if (bytes > limit_ - used()) return false;
    if (!proven && bytes + unproven_ > limit_ / 2) return false;
    (proven ? proven_ : unproven_) += bytes;
    return true;
  }

  std::size_t limit_, proven_ = 0, unproven_ = 0;
};

// What one holder has taken; given back when it goes. The budget must outlive it.
class MemoryShare {
 public:
  MemoryShare() = default;
  MemoryShare(MemoryShare&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)),
        proven_(std::exchange(other.proven_, 0)),
        unproven_(std::exchange(other.unproven_, 0)) {}
  MemoryShare& operator=(MemoryShare&& other) noexcept {
    if (this == &other) return *this;
    clear();
    budget_ = std::exchange(other.budget_, nullptr);
    proven_ = std::exchange(other.proven_, 0);
    unproven_ = std::exchange(other.unproven_, 0);
    return *this;
  }
  MemoryShare(const MemoryShare&) = delete;
  MemoryShare& operator=(const MemoryShare&) = delete;
  ~MemoryShare() { clear(); }

  // False: the budget is used up, and nothing was taken. Always from the same budget.
  [[nodiscard]] bool grow(MemoryBudget& budget, std::size_t bytes, bool proven) {
    if (!budget.take(bytes, proven)) return false;
    budget_ = &budget;
    (proven ? proven_ : unproven_) += bytes;
    return true;
  }
  void clear() {
    if (budget_ != nullptr) {
      budget_->proven_ -= proven_;
      budget_->unproven_ -= unproven_;
    }
    budget_ = nullptr;
    proven_ = unproven_ = 0;
  }

 private:
  MemoryBudget* budget_ = nullptr;
  std::size_t proven_ = 0, unproven_ = 0;
};

}  // namespace merlon::ikev2
