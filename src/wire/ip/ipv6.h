// The IPv6 header (RFC 8200 3) and its extension headers (RFC 8200 4).
#pragma once

#include <optional>

#include "base/iana.h"
#include "base/ip_address.h"
#include "wire/ip/packet_error.h"

namespace merlon::wire {

inline constexpr std::size_t kIpv6HeaderSize = 40;
inline constexpr std::size_t kIpv6FragmentHeaderSize = 8;
inline constexpr std::size_t kIpv6MinimumMtu = 1280;  // RFC 8200 5

struct Ipv6Header {
  std::uint8_t traffic_class = 0;                // DSCP in the upper six bits, ECN in the lower two
  std::uint32_t flow_label = 0;                  // 20 bits
  std::uint16_t payload_length = 0;              // bytes after this header, extension headers included
  IpProtocol next_header = IpProtocol::kNoNext;  // may lie outside the enumerators
  std::uint8_t hop_limit = 64;
  IpAddress source;
  IpAddress destination;

  [[nodiscard]] std::uint8_t dscp() const { return static_cast<std::uint8_t>(traffic_class >> 2U); }
  [[nodiscard]] std::uint8_t ecn() const { return traffic_class & 3U; }
  [[nodiscard]] std::size_t total_length() const { return kIpv6HeaderSize + payload_length; }

  friend bool operator==(const Ipv6Header&, const Ipv6Header&) = default;
};

struct Ipv6FragmentHeader {  // RFC 8200 4.5
  IpProtocol next_header = IpProtocol::kNoNext;
  std::uint16_t fragment_offset = 0;  // bytes, a multiple of 8
  bool more_fragments = false;
  std::uint32_t identification = 0;
  friend bool operator==(const Ipv6FragmentHeader&, const Ipv6FragmentHeader&) = default;
};

// Where the extension headers lead. Skipped are those that RFC 4301 4.4.1.1 says: hop-by-hop options,
// routing, fragment, destination options. ESP and AH are upper-layer protocols here.
struct Ipv6Upper {
  IpProtocol protocol = IpProtocol::kNoNext;
  std::size_t offset =
      0;  // of the upper-layer header (behind a non-first fragment's header: of the fragment's data)
  std::optional<Ipv6FragmentHeader> fragment;
  std::size_t fragment_header_offset = 0;  // where `fragment` stands; 0 without one
  std::size_t unfragmentable_length = 0;  // base header and the extension headers that every fragment repeats
  std::size_t unfragmentable_next_header_offset = 6;  // where the last of these names what follows it
  // A non-first fragment whose data begins with an extension header: the upper protocol is not visible in it.
  bool is_protocol_opaque = false;
};

// Checks version and payload length against `packet` (which may be longer: TFC padding). Jumbograms are not
// taken.
[[nodiscard]] PacketResult<Ipv6Header> parse_ipv6(ByteView packet);
// As parse_ipv6, for the start of a packet that an ICMP error quotes.
[[nodiscard]] PacketResult<Ipv6Header> parse_quoted_ipv6(ByteView packet_start);

// Walks the extension headers of a packet that parse_ipv6 (or parse_quoted_ipv6) accepted.
[[nodiscard]] PacketResult<Ipv6Upper> find_ipv6_upper(ByteView packet, const Ipv6Header& header);

// Writes 40 bytes. `out` has at least 40 bytes; both addresses are IPv6.
void write_ipv6(MutableByteView out, const Ipv6Header& header);
// Writes 8 bytes. `out` has at least 8 bytes.
void write_ipv6_fragment_header(MutableByteView out, const Ipv6FragmentHeader& header);

// Changes in place. `packet` was accepted by parse_ipv6.
void set_ipv6_traffic_class(MutableByteView packet, std::uint8_t traffic_class);

}  // namespace merlon::wire
