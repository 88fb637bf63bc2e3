// Destinations whose device does not take several UDP datagrams in one send: remembered while the socket lives,
// so that each is tried once.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "base/ip_address.h"

namespace merlon::io {

class SegmentRefusals {
 public:
  struct Refusal {
    Endpoint destination;
    int error_number = 0;  // EIO, EINVAL or EMSGSIZE
  };

  [[nodiscard]] bool contains(const Endpoint& destination) const {
    for (std::size_t i = 0; i < count_; ++i)
      if (known_[i] == destination) return true;
    return false;
  }

  // The oldest is forgotten where there is no room: it will be tried again.
  void add(const Refusal& refusal) {
    if (contains(refusal.destination)) return;
    known_[next_] = refusal.destination;
    next_ = (next_ + 1) % known_.size();
    if (count_ < known_.size()) ++count_;
    if (new_.size() < known_.size()) new_.push_back(refusal);
  }

  // One that was not taken yet.
  [[nodiscard]] std::optional<Refusal> take_new() {
    if (new_.empty()) return std::nullopt;
    const Refusal refusal = new_.back();
    new_.pop_back();
    return refusal;
  }

 private:
  std::array<Endpoint, 64> known_{};
  std::size_t count_ = 0, next_ = 0;
  std::vector<Refusal> new_;
};

}  // namespace merlon::io
