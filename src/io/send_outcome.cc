#include "io/send_outcome.h"

#include <cerrno>

namespace merlon::io {

SendOutcome classify_send_errno(int error_number) {
  switch (error_number) {
    case 0:
      return SendOutcome::kSent;
    case EAGAIN:
      return SendOutcome::kWouldBlock;
    case ENOBUFS:
    case ENOMEM:
      return SendOutcome::kNoBuffers;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return SendOutcome::kUnreachable;
    case EPERM:
    case EACCES:
      return SendOutcome::kRefusedByPolicy;
    case EMSGSIZE:
      return SendOutcome::kTooBig;
    case ECONNREFUSED:
    case ENOPROTOOPT:
    case EPROTO:
      return SendOutcome::kPeerRefused;
    case EADDRNOTAVAIL:
      return SendOutcome::kNoSourceAddress;
    case ENETDOWN:
    case ENODEV:
    case ENXIO:
    case EIO:
    case EBADFD:
      return SendOutcome::kDeviceDown;
    default:
      return SendOutcome::kFailed;
  }
}

bool is_transient(SendOutcome outcome) {
  return outcome == SendOutcome::kWouldBlock || outcome == SendOutcome::kNoBuffers ||
         outcome == SendOutcome::kUnreachable || outcome == SendOutcome::kPeerRefused;
}

std::string_view name(SendOutcome outcome) {
  switch (outcome) {
    case SendOutcome::kSent:
      return "sent";
    case SendOutcome::kWouldBlock:
      return "would block";
    case SendOutcome::kNoBuffers:
      return "no buffers";
    case SendOutcome::kUnreachable:
      return "unreachable";
    case SendOutcome::kRefusedByPolicy:
      return "refused by policy";
    case SendOutcome::kTooBig:
      return "too big";
    case SendOutcome::kPeerRefused:
      return "refused by the peer's host";
    case SendOutcome::kNoSourceAddress:
      return "no such source address";
    case SendOutcome::kDeviceDown:
      return "device down";
    case SendOutcome::kFailed:
      break;
  }
  return "failed";
}

}  // namespace merlon::io
