// The floods, each bounded in packets a second and in seconds. What each is for stands in test_floods.py.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "wire.h"

namespace merlon::flood {

struct Target {
  IpAddress gateway;
  IpPrefix from;  // where the packets pretend to come from
  double rate = 20000, seconds = 5;
  std::uint64_t seed = 1;
};
using Report = std::map<std::string, double>;  // what came of it, beside the number of packets

// IKE_SA_INIT requests that an honest peer could have sent, each with an SPI, nonce and source of its own.
Report init(Wire& wire, const Target& target);
// Random bytes, and random bytes behind a sound IKE header, to both ports.
Report garbage(Wire& wire, const Target& target);
// The packets of a capture (pcap of Ethernet) whose destination is the gateway, again and again.
Report replay(Wire& wire, const Target& target, const std::string& file);
// IP fragments whose datagrams never become whole.
Report ip_fragments(Wire& wire, const Target& target);
// ESP whose SPIs nobody has, of protocol 50 and in UDP.
Report unknown_spis(Wire& wire, const Target& target);
// ESP by SPIs that exist, with sequence numbers that go on, sealed with no key.
Report bad_icvs(Wire& wire, const Target& target, const std::vector<std::uint32_t>& spis, bool udp);
// Cookies that the gateway gave to one: from other sources, with another nonce, and as they are, over and over.
Report cookies(Wire& wire, const Target& target);
// IKE_SA_INIT to its end, and then all fragments of IKE_AUTH but the last: authentic, and never whole (RFC 7383).
Report ike_fragments(Wire& wire, const Target& target);

}  // namespace merlon::flood
