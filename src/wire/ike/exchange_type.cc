#include "wire/ike/exchange_type.h"

#include <fmt/core.h>

namespace merlon::wire {

std::string name(ExchangeType type) {
  switch (type) {
    case ExchangeType::kV1Base:
      return "Base";
    case ExchangeType::kV1IdentityProtection:
      return "Identity Protection (Main Mode)";
    case ExchangeType::kV1AuthenticationOnly:
      return "Authentication Only";
    case ExchangeType::kV1Aggressive:
      return "Aggressive";
    case ExchangeType::kV1Informational:
      return "Informational (IKEv1)";
    case ExchangeType::kV1Transaction:
      return "Transaction (Mode Config)";
    case ExchangeType::kV1QuickMode:
      return "Quick Mode";
    case ExchangeType::kV1NewGroupMode:
      return "New Group Mode";
    case ExchangeType::kIkeSaInit:
      return "IKE_SA_INIT";
    case ExchangeType::kIkeAuth:
      return "IKE_AUTH";
    case ExchangeType::kCreateChildSa:
      return "CREATE_CHILD_SA";
    case ExchangeType::kInformational:
      return "INFORMATIONAL";
    case ExchangeType::kIkeSessionResume:
      return "IKE_SESSION_RESUME";
    case ExchangeType::kIkeIntermediate:
      return "IKE_INTERMEDIATE";
    case ExchangeType::kIkeFollowupKe:
      return "IKE_FOLLOWUP_KE";
  }
  return fmt::format("UNKNOWN({})", static_cast<unsigned>(type));
}

}  // namespace merlon::wire
