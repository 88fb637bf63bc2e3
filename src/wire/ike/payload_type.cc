#include "wire/ike/payload_type.h"

#include <fmt/core.h>

namespace merlon::wire {

std::string name(PayloadType type) {
  switch (type) {
    case PayloadType::kNone:
      return "NONE";
    case PayloadType::kSa:
      return "SA";
    case PayloadType::kKe:
      return "KE";
    case PayloadType::kIdi:
      return "IDi";
    case PayloadType::kIdr:
      return "IDr";
    case PayloadType::kCert:
      return "CERT";
    case PayloadType::kCertreq:
      return "CERTREQ";
    case PayloadType::kAuth:
      return "AUTH";
    case PayloadType::kNonce:
      return "Nonce";
    case PayloadType::kNotify:
      return "N";
    case PayloadType::kDelete:
      return "D";
    case PayloadType::kVendorId:
      return "V";
    case PayloadType::kTsi:
      return "TSi";
    case PayloadType::kTsr:
      return "TSr";
    case PayloadType::kSk:
      return "SK";
    case PayloadType::kCp:
      return "CP";
    case PayloadType::kEap:
      return "EAP";
    case PayloadType::kGspm:
      return "GSPM";
    case PayloadType::kIdg:
      return "IDg";
    case PayloadType::kGsa:
      return "GSA";
    case PayloadType::kKd:
      return "KD";
    case PayloadType::kSkf:
      return "SKF";
    case PayloadType::kPs:
      return "PS";
  }
  return fmt::format("UNKNOWN({})", static_cast<unsigned>(type));
}

}  // namespace merlon::wire
