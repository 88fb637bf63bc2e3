// How large a packet may be on one path whose routers may say nothing about it: RFC 8899's search. A pure state machine: the
// gateway asks (with IKE messages: ikev2::Engine::probe_path) and tells what came of it.
//
// It begins with what the first link carries, since most paths carry that. Where two probes of that size are lost, it falls
// back to 1,280 bytes at once and looks for more from there.
#pragma once

#include <optional>

#include "base/clock.h"
#include "base/ip_address.h"

namespace merlon::daemon {

class PathSearch {
 public:
  // `top`: bytes of the largest IP packet that is worth a probe.
  PathSearch(IpFamily family, unsigned top);

  // The size to ask about now, if any. `active`: packets travel on this path, so it is worth asking now and then whether
  // it still carries them. A probe that gets no answer() within kAnswerPatience is forgotten.
  [[nodiscard]] std::optional<unsigned> next(Instant now, bool active);
  [[nodiscard]] bool is_due(Instant now) const;
  // next()'s probe could not be sent.
  void postpone(Instant now);
  void answer(Instant now, unsigned size, bool arrived);
  // What carries the probes changes: one that is on its way is forgotten, whatever becomes of it, and none begins before
  // `until`.
  void hold(Instant until);
  // The path may have changed: is usable() still right, and does it carry `top` (RFC 8899 5.3, PMTU_RAISE_TIMER)?
  void look_again(Instant now, unsigned top);

  // Bytes of the largest packet that the path is believed to carry.
  [[nodiscard]] unsigned usable() const { return usable_; }

  static constexpr unsigned kBase = 1280;    // RFC 8899 5.1.2, BASE_PLPMTU; what IPv6 promises
  static constexpr unsigned kMaxProbes = 2;  // losses of one size before it counts as too big
  static constexpr Duration kAnswerPatience = std::chrono::seconds(60);
  static constexpr Duration kPostponed = std::chrono::seconds(5);
  static constexpr Duration kAfterRekey = std::chrono::seconds(1);
  static constexpr Duration kConfirmation = std::chrono::seconds(60);

 private:
  void lost(unsigned size);
  [[nodiscard]] std::optional<unsigned> larger() const;

  IpFamily family_;
  unsigned usable_;
  unsigned wanted_ = 0;   // not 0: what look_again() asked for
  unsigned too_big_ = 0;  // the least size that is known not to pass; 0: none
  unsigned asking_ = 0, losses_ = 0;
  bool confirmed_ = false;
  Instant next_at_{}, asked_at_{};
};

}  // namespace merlon::daemon
