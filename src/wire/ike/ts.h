// Traffic Selector payloads, TSi and TSr (RFC 7296 3.13).
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/iana.h"
#include "base/ip_address.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

// "IKEv2 Traffic Selector Types"
enum class TsType : std::uint8_t {
  kIpv4AddrRange = 7,
  kIpv6AddrRange = 8,
  kFcAddrRange = 9,  // RFC 4595
  kSecLabel = 10,    // RFC 9478
};

// One TS_IPV4_ADDR_RANGE or TS_IPV6_ADDR_RANGE; the type follows from the addresses' family.
struct TrafficSelector {
  std::uint8_t protocol = 0;  // IpProtocol; 0 = any
  // Ports: 0 to 65535 = any. For ICMP type * 256 + code, for the mobility header type * 256 (RFC
  // 7296 3.13.1). start 65535 and end 0 = OPAQUE: matches only packets whose ports cannot be seen (RFC
  // 4301 4.4.1.1).
  std::uint16_t start_port = 0;
  std::uint16_t end_port = 65535;
  IpAddress start_address;  // both of one family, start <= end
  IpAddress end_address;

  [[nodiscard]] bool is_opaque_port() const { return start_port == 65535 && end_port == 0; }
  [[nodiscard]] bool is_any_port() const { return start_port == 0 && end_port == 65535; }
  // "10.1.0.0-10.1.255.255", "192.0.2.1 UDP/53", "2001:db8::-2001:db8::ff TCP/1024-2047".
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const TrafficSelector&, const TrafficSelector&) = default;
};

struct UnknownTrafficSelector {
  TsType type = TsType::kFcAddrRange;
  Bytes body;  // all after the selector's length field, the byte between type and length aside
  friend bool operator==(const UnknownTrafficSelector&, const UnknownTrafficSelector&) = default;
};

template <PayloadType type>
struct TsPayload {
  static constexpr PayloadType kType = type;
  std::vector<TrafficSelector> selectors;  // in the sender's order
  // Types we do not know. They are written behind `selectors`, whatever their place was.
  std::vector<UnknownTrafficSelector> unknown;
  bool critical = false;

  // Malformed: no selector at all, a count that contradicts the length, a selector of the wrong length, a
  // start (address or port) above its end.
  [[nodiscard]] static Result<TsPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const TsPayload&, const TsPayload&) = default;
};

using TsiPayload = TsPayload<PayloadType::kTsi>;
using TsrPayload = TsPayload<PayloadType::kTsr>;
extern template struct TsPayload<PayloadType::kTsi>;
extern template struct TsPayload<PayloadType::kTsr>;

}  // namespace merlon::wire
