// Configuration payload (RFC 7296 3.15).
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

// "IKEv2 Configuration Payload CFG Types"
enum class CfgType : std::uint8_t { kRequest = 1, kReply = 2, kSet = 3, kAck = 4 };

// "IKEv2 Configuration Payload Attribute Types"
enum class CfgAttributeType : std::uint16_t {
  kInternalIp4Address = 1,
  kInternalIp4Netmask = 2,
  kInternalIp4Dns = 3,
  kInternalIp4Nbns = 4,
  kInternalIp4Dhcp = 6,
  kApplicationVersion = 7,
  kInternalIp6Address = 8,
  kInternalIp6Dns = 10,
  kInternalIp6Dhcp = 12,
  kInternalIp4Subnet = 13,
  kSupportedAttributes = 14,
  kInternalIp6Subnet = 15,
  kMip6HomePrefix = 16,
  kInternalIp6Link = 17,
  kInternalIp6Prefix = 18,
  kHomeAgentAddress = 19,
  kPCscfIp4Address = 20,
  kPCscfIp6Address = 21,
  kInternalDnsDomain = 25,  // RFC 8598
  kInternalDnssecTa = 26,   // RFC 8598
};
[[nodiscard]] std::string name(CfgType type);
[[nodiscard]] std::string name(CfgAttributeType type);

struct CfgAttribute {
  CfgAttributeType type = CfgAttributeType::kInternalIp4Address;  // may lie outside the enumerators; 15 bits
  Bytes value;                                                    // empty in a request: "give me one"
  friend bool operator==(const CfgAttribute&, const CfgAttribute&) = default;
};

struct CpPayload {
  static constexpr PayloadType kType = PayloadType::kCp;
  CfgType cfg_type = CfgType::kRequest;  // may lie outside the enumerators
  std::vector<CfgAttribute> attributes;
  bool critical = false;

  [[nodiscard]] static Result<CpPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const CpPayload&, const CpPayload&) = default;
};

}  // namespace merlon::wire
