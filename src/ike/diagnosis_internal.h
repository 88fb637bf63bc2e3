// What the files behind diagnosis.h share. Nothing else includes it.
#pragma once

#include <string>

#include "ike/diagnosis.h"

namespace merlon::ike::diagnosis {

[[nodiscard]] Failure make(FailureKind kind, FailureSide side, std::string sentence, bool permanent,
                           std::uint16_t notify = 0);
// "192.0.2.1:500", or "the peer" while nobody is known.
[[nodiscard]] std::string peer(const Subject& subject);
[[nodiscard]] std::string quoted(const Identity& identity);

// What an error notification of the peer means.
struct Refusal {
  FailureKind kind = FailureKind::kRefused;
  FailureSide side = FailureSide::kPeer;
  bool permanent = false;
  std::string words;
};
[[nodiscard]] Refusal refusal_of(const Subject& subject, Exchange exchange, wire::NotifyType type);

}  // namespace merlon::ike::diagnosis
