// A connection as configured: the Peer Authorization Database's entry for one peer (RFC 4301 4.4.3) and the
// children whose selectors make up its part of the SPD. A plain value: control/ fills it from TOML, the
// engines and the daemon read it. It can hold what a swanctl.conf connection can say; a field whose feature
// has not come yet says so, and control/ refuses it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/identity.h"
#include "base/ip_address.h"
#include "base/secret.h"
#include "policy/proposal.h"
#include "policy/traffic_selector.h"

namespace merlon::policy {

enum class StartMode {
  kWait,       // only answer
  kOnTraffic,  // negotiate when a packet wants protection
  kAlways,     // negotiate at start and after every failure, for ever
};

enum class AuthKind {
  kPsk,
  kCertificate,
  kRawPublicKey,  // RFC 7670
  kEap,           // not yet
  kNull,          // RFC 7619, not yet
};

// One authentication round (RFC 4739 allows several; so far exactly one a side).
struct LocalAuth {
  AuthKind kind = AuthKind::kRawPublicKey;
  std::string id_text;           // as configured; empty: derived from the certificate or the local address
  Identity id;                   // resolved
  std::string certificate_file;  // PEM, the leaf first, intermediates after it
  std::string private_key_file;  // PEM
  std::string psk_file;          // or psk, which stands only in a file that nobody else may read
  SharedSecret psk;
  std::string eap_method;
  friend bool operator==(const LocalAuth&, const LocalAuth&) = default;
};

struct RemoteAuth {
  AuthKind kind = AuthKind::kRawPublicKey;
  std::string id_text;         // as configured; empty or "%any": any identity that the credentials prove
  std::optional<Identity> id;  // resolved; nullopt = any
  std::string id_pattern;      // a DN with "*" values, when the identity is a pattern
  std::vector<std::string> ca_files;     // empty: every CA of the daemon
  std::vector<std::string> public_keys;  // raw public keys: base64 SubjectPublicKeyInfo, any of them
  std::string psk_file;
  SharedSecret psk;
  std::string eap_method;
  enum class Revocation { kIfPresent, kRequired, kIgnore } revocation = Revocation::kIfPresent;
  friend bool operator==(const RemoteAuth&, const RemoteAuth&) = default;
};

// Limits of one SA. Zero means without limit. Soft limits start a rekey, hard limits remove the SA.
struct SaLifetime {
  std::chrono::seconds soft{0}, hard{0};
  std::chrono::seconds jitter{0};  // the soft limit is drawn from [soft - jitter, soft]
  std::uint64_t soft_bytes = 0, hard_bytes = 0;
  std::uint64_t soft_packets = 0, hard_packets = 0;
  friend bool operator==(const SaLifetime&, const SaLifetime&) = default;
};

enum class ChildMode { kTunnel, kTransport, kBeet };  // only kTunnel so far
enum class ChildAction { kProtect, kBypass, kDiscard };
enum class DfBit { kCopy, kSet, kClear };
enum class PathProtocol { kAuto, kUdp, kNative };  // ESP in UDP only behind a NAT, always, or never

inline constexpr unsigned kMaxParallel = 64;

struct ChildConfig {
  std::string name;  // unique in the connection; "CONNECTION.CHILD" names it for people
  ChildAction action = ChildAction::kProtect;
  ChildMode mode = ChildMode::kTunnel;
  TrafficSelectors local_ts, remote_ts;
  std::vector<Proposal> proposals;  // SecurityProtocol::kEsp, strongest first
  SaLifetime lifetime;
  StartMode start = StartMode::kAlways;
  unsigned replay_window = 1024;  // packets, 64 to 4096
  bool copy_dscp = true;          // RFC 4301 5.1.2
  DfBit df = DfBit::kCopy;
  bool tcp_mss_clamp = true;
  unsigned tunnel_mtu = 0;  // 0 = from the path
  // Child SAs with the same selectors, each for a data worker of its own (RFC 9611); 0: as many as there are workers.
  unsigned parallel = 1;       // at most kMaxParallel
  std::uint32_t priority = 0;  // position in the SPD among all connections; smaller is asked first
  std::uint32_t mark_in = 0, mark_out = 0;  // not yet
  friend bool operator==(const ChildConfig&, const ChildConfig&) = default;
};

struct Connection {
  std::string name;
  unsigned ike_version = 2;

  std::vector<std::string> local_addresses;   // addresses; empty = any
  std::vector<std::string> remote_addresses;  // addresses, host names, prefixes; empty = any (answer only)
  std::uint16_t local_port = 500, remote_port = 500;

  std::vector<Proposal> ike_proposals;
  std::vector<LocalAuth> local_auth;    // exactly one so far
  std::vector<RemoteAuth> remote_auth;  // exactly one so far
  std::vector<ChildConfig> children;
  std::vector<std::string> pools, virtual_ips;  // not yet

  SaLifetime ike_lifetime;  // only the times count
  StartMode start = StartMode::kAlways;

  std::chrono::milliseconds retransmit_initial{1000};  // RFC 7296 2.1 and 2.4
  double retransmit_factor = 1.8;
  unsigned retransmit_tries = 7;  // sends of one request, the first included
  std::chrono::milliseconds retransmit_max{30000};
  std::chrono::seconds liveness_interval{
      30};  // silence after which the peer is asked (RFC 7296 2.4); 0 = never
  std::chrono::seconds keepalive_interval{20};               // RFC 3948 4, only behind a NAT
  std::chrono::seconds backoff_initial{1}, backoff_max{60};  // between attempts of an "always" connection

  PathProtocol encapsulation = PathProtocol::kAuto;
  bool fragmentation = true;      // RFC 7383
  unsigned fragment_size = 1280;  // bytes of the whole IP datagram
  bool mobike = false;            // not yet
  bool initial_contact = true;    // RFC 7296 2.4
  enum class Uniqueness { kReplace, kKeep, kNever } unique = Uniqueness::kReplace;
  enum class SendCert { kAlways, kIfAsked, kNever } send_cert = SendCert::kIfAsked;
  bool send_certreq = true;

  std::string source;  // "merlon.toml:12", for error sentences

  // A reload leaves alone what is equal.
  friend bool operator==(const Connection&, const Connection&) = default;
};

using ConnectionPtr = std::shared_ptr<const Connection>;

}  // namespace merlon::policy
