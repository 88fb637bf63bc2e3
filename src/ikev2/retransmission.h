// When a request is sent again (RFC 7296 2.1, 2.4): exponential, capped, a fixed number of times.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/clock.h"
#include "policy/connection.h"

namespace merlon::ikev2 {

struct RetransmissionSchedule {
  Duration initial{std::chrono::milliseconds(1000)};
  double factor = 1.8;
  Duration max{std::chrono::milliseconds(30000)};
  unsigned tries = 7;  // sends, the first included; at least 1

  [[nodiscard]] static RetransmissionSchedule of(const policy::Connection& connection) {
    return {connection.retransmit_initial, connection.retransmit_factor, connection.retransmit_max,
            std::max(1U, connection.retransmit_tries)};
  }

  // How long to wait for an answer after the request was sent `sends` times (1 = only once so far). What
  // comes then is another send while may_send_again(sends), else the end.
  [[nodiscard]] Duration wait_after(unsigned sends) const {
    const double exponent = sends > 0 ? static_cast<double>(sends - 1) : 0.0;
    const double ns = static_cast<double>(initial.count()) * std::pow(std::max(1.0, factor), exponent);
    const double cap = static_cast<double>(std::max(initial, max).count());
    return Duration(static_cast<Duration::rep>(std::min(ns, cap)));
  }
  [[nodiscard]] bool may_send_again(unsigned sends) const { return sends < std::max(1U, tries); }

  // From the first send until the request is given up.
  [[nodiscard]] Duration total() const {
    Duration sum{0};
    for (unsigned sends = 1; sends <= std::max(1U, tries); ++sends) sum += wait_after(sends);
    return sum;
  }
};

}  // namespace merlon::ikev2
