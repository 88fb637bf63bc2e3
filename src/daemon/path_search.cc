#include "daemon/path_search.h"

#include <algorithm>
#include <array>

namespace merlon::daemon {
namespace {

// Sizes at which paths end: links, and links less what tunnels and PPPoE take.
constexpr std::array kPlateaus = {576U,  1006U, 1280U, 1300U, 1320U, 1340U, 1360U, 1380U,
                                  1400U, 1420U, 1440U, 1452U, 1460U, 1472U, 1480U, 1492U,
                                  1496U, 1500U, 2002U, 4352U, 8166U, 9000U};

}  // namespace

PathSearch::PathSearch(IpFamily family, unsigned top) : family_(family), usable_(top) {}

bool PathSearch::is_due(Instant now) const {
  return now >= next_at_ && (asking_ == 0 || now - asked_at_ >= kAnswerPatience);
}

std::optional<unsigned> PathSearch::next(Instant now, bool active) {
  if (!is_due(now)) return std::nullopt;
  asking_ = 0;
  if (const auto more = larger(); confirmed_ && wanted_ != 0) {
    asking_ = wanted_;
  } else if (confirmed_ && more) {
    asking_ = *more;
  } else if (!confirmed_ || active) {
    asking_ = usable_;
  } else {
    postpone(now);
    return std::nullopt;
  }
  asked_at_ = now;
  return asking_;
}

void PathSearch::postpone(Instant now) {
  asking_ = 0;
  next_at_ = now + kPostponed;
}

void PathSearch::hold(Instant until) {
  asking_ = 0;
  next_at_ = std::max(next_at_, until);
}

void PathSearch::answer(Instant now, unsigned size, bool arrived) {
  if (size != asking_) return;  // of a probe that was forgotten
  asking_ = 0;
  if (arrived) {
    losses_ = 0;
    usable_ = size;
    confirmed_ = true;
    if (size >= wanted_) wanted_ = 0;
  } else if (++losses_ >= kMaxProbes) {
    losses_ = 0;
    lost(size);
  }
  if (confirmed_ && losses_ == 0 && wanted_ == 0 && !larger()) next_at_ = now + kConfirmation;
}

void PathSearch::look_again(Instant now, unsigned top) {
  usable_ = std::min(usable_, top);
  wanted_ = top > usable_ ? top : 0;
  too_big_ = asking_ = losses_ = 0;
  confirmed_ = false;
  next_at_ = now;
}

void PathSearch::lost(unsigned size) {
  too_big_ = size;
  wanted_ = 0;
  if (size > usable_) return;
  // What was in use does not pass: at once to what surely does.
  const unsigned least = family_ == IpFamily::kIpv4 ? kPlateaus.front() : kBase;
  const auto* const at = std::lower_bound(kPlateaus.begin(), kPlateaus.end(), size);
  const unsigned lower = at == kPlateaus.begin() ? least : *(at - 1);
  usable_ = size > kBase ? kBase : std::max(lower, least);
  // At the family's least nothing is left to try: the peer is gone, or takes no probes.
  confirmed_ = usable_ >= size;
}

// Halfway between what passes and what does not.
std::optional<unsigned> PathSearch::larger() const {
  if (too_big_ == 0) return std::nullopt;
  const auto* const first = std::upper_bound(kPlateaus.begin(), kPlateaus.end(), usable_);
  const auto* const last = std::lower_bound(kPlateaus.begin(), kPlateaus.end(), too_big_);
  if (first >= last) return std::nullopt;
  return *(first + (last - first) / 2);
}

}  // namespace merlon::daemon
