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
  if (generation != generation_) taken_ = 0;
  generation_ = generation;
  place({key, generation, decision}, hash);
  if (taken_ > lines_.size() / 2 && lines_.size() < kMaxSize) grow();
}

void FlowCache::place(const Line& line, std::uint64_t hash) {
  const std::size_t at = hash & mask_;
  Line& first = lines_[at];
  Line& second = lines_[at ^ 1U];
  if (first.generation != generation_) {
    first = line;
    ++taken_;
    return;
  }
  if (second.generation != generation_) ++taken_;
  second = first;
  first = line;
}

void FlowCache::grow() {
  std::vector<Line> before(lines_.size() * 4);
  before.swap(lines_);
  mask_ = lines_.size() - 1;
  taken_ = 0;
  for (const Line& line : before)
    if (line.generation == generation_) place(line, line.key.hash());
}

}  // namespace merlon::esp
