#include "daemon/algorithm_check.h"

#include <algorithm>

#include "crypto/integrity.h"
#include "crypto/key_exchange.h"
#include "crypto/message_cipher.h"
#include "crypto/packet_cipher.h"
#include "crypto/prf.h"

namespace merlon::daemon {
namespace {

using policy::Proposal;
using policy::Transform;

// An integrity algorithm of the proposal, to try a cipher with that needs one.
IntegId integrity_of(const Proposal& proposal) {
  const auto at = std::ranges::find(proposal.transforms, TransformType::kInteg, &Transform::type);
  return at == proposal.transforms.end() ? IntegId::kNone : static_cast<IntegId>(at->id);
}

bool supports_cipher(const Proposal& proposal, const Transform& transform) {
  const auto encr = static_cast<EncrId>(transform.id);
  const IntegId integ = is_aead(encr) ? IntegId::kNone : integrity_of(proposal);
  if (proposal.protocol == SecurityProtocol::kIke)
    return crypto::is_supported(crypto::MessageCipherSuite{encr, transform.key_length.value_or(0), integ});
  return crypto::is_supported(crypto::EspTransform{encr, transform.key_length.value_or(0), integ});
}

bool supports(const Proposal& proposal, const Transform& transform) {
  switch (transform.type) {
    case TransformType::kEncr:
      return supports_cipher(proposal, transform);
    case TransformType::kPrf:
      return crypto::is_supported(static_cast<PrfId>(transform.id));
    case TransformType::kInteg: {
      const auto integ = static_cast<IntegId>(transform.id);
      return integ == IntegId::kNone || crypto::is_supported(integ);
    }
    case TransformType::kKe: {
      const auto method = static_cast<KeMethod>(transform.id);
      return method == KeMethod::kNone || crypto::is_supported(method);
    }
    default:
      return transform.type == TransformType::kSn;
  }
}

Result<> check(const char* key, const policy::Proposals& proposals) {
  for (const Proposal& proposal : proposals)
    for (const Transform& transform : proposal.transforms)
      if (!supports(proposal, transform))
        return fail(ErrorCode::kUnsupported, "{}: {} is known, but not available in this version (in \"{}\")",
                    key, policy::to_text(transform), policy::to_text(proposal));
  return {};
}

}  // namespace

Result<> check_supported(const policy::Connection& connection) {
  MERLON_TRY_VOID(check("ike_proposals", connection.ike_proposals));
  for (const policy::ChildConfig& child : connection.children)
    MERLON_TRY_VOID(check("esp_proposals", child.proposals));
  return {};
}

}  // namespace merlon::daemon
