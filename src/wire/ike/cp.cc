#include "wire/ike/cp.h"

#include <fmt/core.h>

#include "base/reader.h"

namespace merlon::wire {
namespace {

struct NamedAttribute {
  CfgAttributeType type;
  const char* text;
};

constexpr NamedAttribute kAttributes[] = {
    {CfgAttributeType::kInternalIp4Address, "INTERNAL_IP4_ADDRESS"},
    {CfgAttributeType::kInternalIp4Netmask, "INTERNAL_IP4_NETMASK"},
    {CfgAttributeType::kInternalIp4Dns, "INTERNAL_IP4_DNS"},
    {CfgAttributeType::kInternalIp4Nbns, "INTERNAL_IP4_NBNS"},
    {CfgAttributeType::kInternalIp4Dhcp, "INTERNAL_IP4_DHCP"},
    {CfgAttributeType::kApplicationVersion, "APPLICATION_VERSION"},
    {CfgAttributeType::kInternalIp6Address, "INTERNAL_IP6_ADDRESS"},
    {CfgAttributeType::kInternalIp6Dns, "INTERNAL_IP6_DNS"},
    {CfgAttributeType::kInternalIp6Dhcp, "INTERNAL_IP6_DHCP"},
    {CfgAttributeType::kInternalIp4Subnet, "INTERNAL_IP4_SUBNET"},
    {CfgAttributeType::kSupportedAttributes, "SUPPORTED_ATTRIBUTES"},
    {CfgAttributeType::kInternalIp6Subnet, "INTERNAL_IP6_SUBNET"},
    {CfgAttributeType::kMip6HomePrefix, "MIP6_HOME_PREFIX"},
    {CfgAttributeType::kInternalIp6Link, "INTERNAL_IP6_LINK"},
    {CfgAttributeType::kInternalIp6Prefix, "INTERNAL_IP6_PREFIX"},
    {CfgAttributeType::kHomeAgentAddress, "HOME_AGENT_ADDRESS"},
    {CfgAttributeType::kPCscfIp4Address, "P_CSCF_IP4_ADDRESS"},
    {CfgAttributeType::kPCscfIp6Address, "P_CSCF_IP6_ADDRESS"},
    {CfgAttributeType::kInternalDnsDomain, "INTERNAL_DNS_DOMAIN"},
    {CfgAttributeType::kInternalDnssecTa, "INTERNAL_DNSSEC_TA"},
};
constexpr std::uint16_t kAttributeTypeMask = 0x7fff;  // RFC 7296 3.15.1: the first bit is reserved

}  // namespace

std::string name(CfgType type) {
  switch (type) {
    case CfgType::kRequest:
      return "CFG_REQUEST";
    case CfgType::kReply:
      return "CFG_REPLY";
    case CfgType::kSet:
      return "CFG_SET";
    case CfgType::kAck:
      return "CFG_ACK";
  }
  return fmt::format("UNKNOWN({})", static_cast<unsigned>(type));
}

std::string name(CfgAttributeType type) {
  for (const auto& named : kAttributes)
    if (named.type == type) return named.text;
  return fmt::format("UNKNOWN({})", static_cast<unsigned>(type));
}

Result<CpPayload> CpPayload::parse(ByteView body) {
  ByteReader reader(body);
  const auto cfg_type = reader.u8();
  if (!cfg_type || !reader.skip(3)) return truncated("the Configuration payload");
  CpPayload payload{.cfg_type = static_cast<CfgType>(*cfg_type), .attributes = {}};
  while (!reader.empty()) {
    const auto type = reader.u16();
    const auto length = reader.u16();
    if (!type || !length) return truncated("a configuration attribute");
    const auto value = reader.take(*length);
    if (!value) return truncated("a configuration attribute");
    payload.attributes.push_back(
        {.type = static_cast<CfgAttributeType>(*type & kAttributeTypeMask), .value = to_bytes(*value)});
  }
  return payload;
}

void CpPayload::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(cfg_type));
  out.zeros(3);
  for (const auto& attribute : attributes) {
    out.u16(static_cast<std::uint16_t>(static_cast<unsigned>(attribute.type) & kAttributeTypeMask));
    out.u16(static_cast<std::uint16_t>(attribute.value.size()));
    out.bytes(attribute.value);
  }
}

}  // namespace merlon::wire
