#include "ikev2/source_limits.h"

#include "base/check.h"

namespace merlon::ikev2 {

Admission SourceLimits::admit(const IpAddress& source) {
  if (total_ >= total_limit_) return Admission::kTotal;
  const IpAddress key = source_key(source);
  const auto at = by_source_.find(key);
  if ((at == by_source_.end() ? 0 : at->second) >= per_source_limit_) return Admission::kPerSource;
  ++by_source_[key];
  ++total_;
  return Admission::kAdmitted;
}

void SourceLimits::release(const IpAddress& source) {
  const auto at = by_source_.find(source_key(source));
  MERLON_ASSERT(at != by_source_.end() && at->second > 0 && total_ > 0);
  --total_;
  if (--at->second == 0) by_source_.erase(at);
}

std::size_t SourceLimits::of(const IpAddress& source) const {
  const auto at = by_source_.find(source_key(source));
  return at == by_source_.end() ? 0 : at->second;
}

}  // namespace merlon::ikev2
