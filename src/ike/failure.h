// Why a negotiation failed, for a person: one sentence that says what is wrong, on which side, and what to
// change.
#pragma once

#include <cstdint>
#include <string>

namespace merlon::ike {

enum class FailureKind {
  kNoProposalChosen,
  kAuthentication,  // the peer failed to prove itself, or we did
  kIdentity,        // no connection accepts this identity
  kCertificate,     // expired, revoked, untrusted ...
  kTrafficSelectors,
  kTimeout,      // nobody answered
  kUnreachable,  // no route, no address, a name that does not resolve
  kRefused,      // another error notification from the peer
  kProtocol,     // the peer broke the protocol
  kInternal,     // ours: a resource, a key that cannot be read
  kDeletedByPeer,
  kDeletedByUs,
  kLiveness,  // the peer stopped answering
};
enum class FailureSide { kLocal, kPeer, kBoth, kPath };

struct Failure {
  FailureKind kind = FailureKind::kProtocol;
  FailureSide side = FailureSide::kLocal;
  std::uint16_t notify_type = 0;  // the notification sent or received, 0 = none
  std::string sentence;           // never holds a secret; what a peer sent is escaped
  bool permanent =
      false;  // trying again without a change of configuration cannot help (it is tried all the same)
};

[[nodiscard]] const char* name(FailureKind kind);
[[nodiscard]] const char* name(FailureSide side);

}  // namespace merlon::ike
