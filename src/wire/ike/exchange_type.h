// "IKEv2 Exchange Types" (RFC 7296 3.1 and IANA), with IKEv1's (RFC 2408 3.1, RFC 2409) since one port
// carries both.
#pragma once

#include <cstdint>
#include <string>

namespace merlon::wire {

enum class ExchangeType : std::uint8_t {
  // IKEv1 (major version 1)
  kV1Base = 1,
  kV1IdentityProtection = 2,  // Main Mode
  kV1AuthenticationOnly = 3,
  kV1Aggressive = 4,
  kV1Informational = 5,
  kV1Transaction = 6,  // Mode Config, XAUTH
  kV1QuickMode = 32,
  kV1NewGroupMode = 33,
  // IKEv2
  kIkeSaInit = 34,
  kIkeAuth = 35,
  kCreateChildSa = 36,
  kInformational = 37,
  kIkeSessionResume = 38,  // RFC 5723
  kIkeIntermediate = 43,   // RFC 9242
  kIkeFollowupKe = 44,     // RFC 9370
};

// IANA's name ("IKE_SA_INIT"); "UNKNOWN(n)" for values without a name.
[[nodiscard]] std::string name(ExchangeType type);

}  // namespace merlon::wire
