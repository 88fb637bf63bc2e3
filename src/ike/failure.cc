#include "ike/failure.h"

namespace merlon::ike {

const char* name(FailureKind kind) {
  switch (kind) {
    case FailureKind::kNoProposalChosen:
      return "no-proposal-chosen";
    case FailureKind::kAuthentication:
      return "authentication";
    case FailureKind::kIdentity:
      return "identity";
    case FailureKind::kCertificate:
      return "certificate";
    case FailureKind::kTrafficSelectors:
      return "traffic-selectors";
    case FailureKind::kTimeout:
      return "timeout";
    case FailureKind::kUnreachable:
      return "unreachable";
    case FailureKind::kRefused:
      return "refused";
    case FailureKind::kProtocol:
      return "protocol";
    case FailureKind::kInternal:
      return "internal";
    case FailureKind::kDeletedByPeer:
      return "deleted-by-peer";
    case FailureKind::kDeletedByUs:
      return "deleted-by-us";
    case FailureKind::kLiveness:
      return "liveness";
  }
  return "unknown";
}

const char* name(FailureSide side) {
  switch (side) {
    case FailureSide::kLocal:
      return "local";
    case FailureSide::kPeer:
      return "peer";
    case FailureSide::kBoth:
      return "both";
    case FailureSide::kPath:
      return "path";
  }
  return "unknown";
}

}  // namespace merlon::ike
