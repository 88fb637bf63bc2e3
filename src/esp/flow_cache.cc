// A flow has two places, one beside the other: where its hash points to, and the neighbour. A new flow takes the
// first and pushes what stood there to the second.
#include "esp/flow_cache.h"

#include <algorithm>

namespace merlon::esp {

void FlowCache::put(const FlowKey& key, std::uint64_t hash, std::uint64_t generation,
                    const OutboundDecision& decision) {
  if (lines_.empty()) {
    lines_.resize(kLeastSize);
    mask_ = kLeastSize - 1;
  }
  if (!place({key, generation, decision}, hash, generation)) return;
  if (++pushed_out_ > lines_.size() / 4 && lines_.size() < kMaxSize) grow(generation);
}

// Whether that pushed a flow of this generation out.
bool FlowCache::place(const Line& line, std::uint64_t hash, std::uint64_t generation) {
  const std::size_t at = hash & mask_;
  Line& first = lines_[at];
  Line& second = lines_[at ^ 1U];
  if (first.generation == generation && second.generation == generation) {
    second = first;
    first = line;
    return true;
  }
  (first.generation == generation ? second : first) = line;
  return false;
}

void FlowCache::grow(std::uint64_t generation) {
  std::vector<Line> before(lines_.size() * 4);
  before.swap(lines_);
  mask_ = lines_.size() - 1;
  pushed_out_ = 0;
  for (const Line& line : before)
    if (line.generation == generation) place(line, line.key.hash(), generation);
}

}  // namespace merlon::esp
