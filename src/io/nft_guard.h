// The nftables half of "Nothing in clear": what a policy protects neither enters nor leaves this host
// unprotected, also while no daemon runs. The table stays in the kernel after a crash, and the next start's
// apply() replaces it in one transaction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/iana.h"
#include "base/ip_address.h"

namespace merlon::io {

struct AddressRange {  // inclusive, of one family
  IpAddress first = {};
  IpAddress last = {};
  [[nodiscard]] static AddressRange of(const IpPrefix& prefix);
  friend auto operator<=>(const AddressRange&, const AddressRange&) = default;
};

// Inclusive. For ICMP and ICMPv6: type in the high, code in the low eight bits (RFC 4301 4.4.1.1).
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  [[nodiscard]] bool is_any() const { return first == 0 && last == 65535; }
  friend auto operator<=>(const PortRange&, const PortRange&) = default;
};

// One entry of the SPD as the guard sees it, in both directions: outbound packets go from local to remote,
// inbound ones from remote to local. For ICMP, type and code must lie in both ranges of ports, as
// policy::matches has it; say OPAQUE (RFC 4301 4.4.1.2) as any.
struct GuardEntry {
  enum class Action {
    kProtect,  // only through a TUN device (so: decrypted by us, or about to be encrypted)
    kBypass,   // may pass in clear
    kDiscard,  // may not pass at all in clear; same effect here as kProtect
  };
  Action action = Action::kProtect;
  AddressRange local = {};
  AddressRange remote = {};
  // nullopt: any. Ports need TCP, UDP, UDP-Lite, DCCP, SCTP, ICMP or ICMPv6.
  std::optional<std::uint8_t> protocol = {};
  PortRange local_ports = {};
  PortRange remote_ports = {};
};

struct GuardSpec {
  // In the SPD's order: the first entry that matches a packet decides; a packet that none matches passes.
  // Mind entries whose local and remote ranges overlap (local 10.1.0.0/16, remote 0.0.0.0/0): they match
  // traffic inside the local network too. Put a bypass local-to-local before them, or name the inside
  // devices. Do not list any-to-any selectors of route-based tunnels without inside devices: they would cut
  // the host off.
  std::vector<GuardEntry> entries = {};
  // Ours: exempt. At least one where entries protect. A name may end in '*'.
  std::vector<std::string> tun_devices = {};
  std::vector<std::string> inside_devices = {};  // trusted side: what arrives from there, or leaves to there,
                                                 // is not "outside". May be empty
  // Outgoing packets with (mark & mask) == mark are the outer packets: exempt. mark 0: no such exemption.
  std::uint32_t mark = 0;
  std::uint32_t mask = 0xffffffff;
  // Inbound to this host itself ESP, AH, UDP to these ports, and ICMP errors about them are exempt: they are
  // the outer packets.
  std::vector<std::uint16_t> ike_ports = {500, 4500};
};

// Packets dropped since the table was first made; they survive apply().
struct GuardCounters {
  std::uint64_t inbound_packets = 0;
  std::uint64_t inbound_bytes = 0;
  std::uint64_t outbound_packets = 0;
  std::uint64_t outbound_bytes = 0;
};

// Works in the network namespace of the calling thread, through libnftables. Needs CAP_NET_ADMIN. Keeps
// nothing in the process.
class NftGuard {
 public:
  static constexpr const char* kTable = "merlon_guard";  // of family inet

  // Replaces the whole table atomically: no moment without a guard.
  [[nodiscard]] static Result<> apply(const GuardSpec& spec);
  // Fine when there is none.
  [[nodiscard]] static Result<> remove();
  [[nodiscard]] static Result<bool> is_present();
  // kNotFound when there is no guard.
  [[nodiscard]] static Result<GuardCounters> counters();

  // The commands that apply() gives to libnftables, for tests and for `merlon` to show. kInvalidArgument for
  // a range of two families or first > last, ports without a protocol that has them, and names that are no
  // device names.
  [[nodiscard]] static Result<std::string> ruleset(const GuardSpec& spec, const GuardCounters& start = {});
};

}  // namespace merlon::io
