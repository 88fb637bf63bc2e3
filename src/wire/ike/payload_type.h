// "IKEv2 Payload Types" (RFC 7296 3.2 and IANA). A value from the wire may lie outside the enumerators.
#pragma once

#include <cstdint>
#include <string>

namespace merlon::wire {

enum class PayloadType : std::uint8_t {
  kNone = 0,  // "No Next Payload"
  kSa = 33,
  kKe = 34,
  kIdi = 35,
  kIdr = 36,
  kCert = 37,
  kCertreq = 38,
  kAuth = 39,
  kNonce = 40,
  kNotify = 41,
  kDelete = 42,
  kVendorId = 43,
  kTsi = 44,
  kTsr = 45,
  kSk = 46,
  kCp = 47,
  kEap = 48,
  kGspm = 49,  // RFC 6467
  kIdg = 50,
  kGsa = 51,
  kKd = 52,
  kSkf = 53,  // RFC 7383
  kPs = 54,   // RFC 8019
};

// IANA's notation ("SA", "TSi"); "UNKNOWN(n)" for values without a name.
[[nodiscard]] std::string name(PayloadType type);

}  // namespace merlon::wire
