// How many half-open IKE SAs there are, in all and by source: so that one host (IPv4 address, IPv6 /64)
// cannot fill the table. Memory is bounded by the number of half-open IKE SAs: a source without one is not
// stored.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "base/ip_address.h"

namespace merlon::ikev2 {

enum class Admission { kAdmitted, kTotal, kPerSource };

class SourceLimits {
 public:
  SourceLimits(std::size_t total, std::size_t per_source)
      : total_limit_(total), per_source_limit_(per_source) {}

  // Counts one more for `source` unless a limit says no. Each kAdmitted is ended by one release().
  [[nodiscard]] Admission admit(const IpAddress& source);
  void release(const IpAddress& source);

  [[nodiscard]] std::size_t total() const { return total_; }
  [[nodiscard]] std::size_t of(const IpAddress& source) const;
  [[nodiscard]] std::size_t sources() const { return by_source_.size(); }

  // What one source is: an IPv4 address itself, an IPv6 address cut to its /64.
  [[nodiscard]] static IpAddress source_key(const IpAddress& source) {
    return source.is_v4() ? source : source.masked(64);
  }

 private:
  std::size_t total_limit_, per_source_limit_, total_ = 0;
  std::unordered_map<IpAddress, std::size_t> by_source_;
};

}  // namespace merlon::ikev2
