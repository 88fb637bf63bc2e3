#include "esp/drop_reason.h"

namespace merlon::esp {

std::string_view name(DropReason reason) {
  switch (reason) {
    case DropReason::kMalformedInner:
      return "malformed_inner";
    case DropReason::kPolicyDiscard:
      return "policy_discard";
    case DropReason::kPolicyBypass:
      return "policy_bypass";
    case DropReason::kNoPolicy:
      return "no_policy";
    case DropReason::kLinkLocal:
      return "link_local";
    case DropReason::kNoSa:
      return "no_sa";
    case DropReason::kHoldFull:
      return "hold_full";
    case DropReason::kHoldTimeout:
      return "hold_timeout";
    case DropReason::kTooBig:
      return "too_big";
    case DropReason::kSequenceExhausted:
      return "sequence_exhausted";
    case DropReason::kSaExpired:
      return "sa_expired";
    case DropReason::kNoBuffer:
      return "no_buffer";
    case DropReason::kUnsupportedSegments:
      return "unsupported_segments";
    case DropReason::kRunt:
      return "runt";
    case DropReason::kUnknownSpi:
      return "unknown_spi";
    case DropReason::kReplayed:
      return "replayed";
    case DropReason::kTooOld:
      return "too_old";
    case DropReason::kInvalidSequence:
      return "invalid_sequence";
    case DropReason::kIntegrity:
      return "integrity";
    case DropReason::kPadding:
      return "padding";
    case DropReason::kNextHeader:
      return "next_header";
    case DropReason::kDummy:
      return "dummy";
    case DropReason::kMalformedDecrypted:
      return "malformed_decrypted";
    case DropReason::kSelectorMismatch:
      return "selector_mismatch";
    case DropReason::kEcnInvalid:
      return "ecn_invalid";
    case DropReason::kCrossingFull:
      return "crossing_full";
    case DropReason::kCount:
      break;
  }
  return "unknown";
}

bool is_auditable(DropReason reason) {
  switch (reason) {
    case DropReason::kNoPolicy:           // RFC 4301 5.1
    case DropReason::kSequenceExhausted:  // RFC 4303 3.3.3
    case DropReason::kUnknownSpi:         // RFC 4303 3.4.2
    case DropReason::kReplayed:           // RFC 4303 3.4.3
    case DropReason::kTooOld:             // RFC 4303 3.4.3
    case DropReason::kInvalidSequence:    // RFC 4303 3.4.3
    case DropReason::kIntegrity:          // RFC 4303 3.4.4
    case DropReason::kSelectorMismatch:   // RFC 4301 5.2
    case DropReason::kEcnInvalid:         // RFC 6040 4.2 wants it looked at
      return true;
    default:
      return false;
  }
}

}  // namespace merlon::esp
