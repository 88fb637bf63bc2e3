#include "sim/event_queue.h"

#include <algorithm>

namespace merlon::sim {

Now EventQueue::now() const {
  return {now_, kFirstDay + std::chrono::duration_cast<std::chrono::seconds>(elapsed())};
}

void EventQueue::at(Instant when, Callback what) {
  heap_.push_back({std::max(when, now_), ++last_number_, std::move(what)});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

bool EventQueue::run_next(Instant end) {
  if (heap_.empty() || heap_.front().when > end) {
    if (end > now_) at_this_instant_ = 0;
    now_ = std::max(now_, end);
    return false;
  }
  std::pop_heap(heap_.begin(), heap_.end(), later);
  const Entry entry = std::move(heap_.back());
  heap_.pop_back();
  if (entry.when > now_) at_this_instant_ = 0;
  now_ = entry.when;
  ++executed_;
  ++at_this_instant_;
  entry.what();
  return true;
}

}  // namespace merlon::sim
