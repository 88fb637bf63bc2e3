// The seam between an IKE engine and the world. An engine opens no socket and reads no clock: what should
// happen comes out as these values, and what slow things answer comes back as the Answer of the same name.
// One loop mutates the engine once and then drains its actions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "base/secret.h"
#include "crypto/key_exchange.h"
#include "crypto/signature.h"
#include "ike/events.h"
#include "policy/sad.h"

namespace merlon::ike {

// An IKE message as it arrived, without UDP header and without the non-ESP marker (RFC 3948 2.2).
struct Datagram {
  Endpoint local, remote;
  bool natt = false;  // it came with the marker: on the port for NAT traversal
  ByteView payload;
};

// Sends an IKE message. The outside puts the non-ESP marker before it when `natt` is set.
struct Transmit {
  Endpoint local,
      remote;  // local.address may be unspecified in an initiator's first message: the route decides
  bool natt = false;
  Bytes payload;
  bool dont_fragment = false;  // a probe of the path's MTU: rather lost than in IP fragments
};

// RFC 3948 2.3: one byte 0xFF on the port for NAT traversal.
struct TransmitKeepalive {
  Endpoint local, remote;
};

// Hands a Child SA to the packet engine (RFC 4301 4.4.2). With use_outbound false only the inbound half is
// used so far.
struct InstallChildSa {
  policy::ChildSaPtr child_sa;
};
// The same SA pair with a new path, or with its outbound half now in use. Keys and SPIs are those installed
// before.
struct UpdateChildSa {
  policy::ChildSaId id;
  policy::OuterPath path;
  bool use_outbound = true;
};
struct RemoveChildSa {
  policy::ChildSaId id;
};

using RequestId = std::uint64_t;  // pairs an action with its answer; never used twice

// Generates a key pair (exchange null), or derives the shared secret with the peer's public value.
struct RunKeyExchange {
  RequestId request = 0;
  KeMethod method = KeMethod::kNone;
  std::shared_ptr<const crypto::KeyExchange> exchange;
  Bytes peer_public_value;
};
struct KeyExchangeDone {
  RequestId request = 0;
  std::shared_ptr<const crypto::KeyExchange> exchange;  // set when a key pair was asked for
  Result<Secret> shared_secret;                         // meaningful when a derivation was asked for
};

// Signs with the private key of `connection`'s local authentication round (RFC 7296 2.15, RFC 7427).
struct SignRequest {
  RequestId request = 0;
  std::string connection;
  std::shared_ptr<const crypto::PrivateKey> key;
  crypto::SignatureScheme scheme;
  Bytes octets;
};
struct SignDone {
  RequestId request = 0;
  Result<Bytes> signature;
};

// What Engine::probe_path() found: whether a datagram of this size reached the peer.
struct PathProbed {
  IpAddress remote;
  unsigned datagram_size = 0;  // bytes of the whole IP packet
  bool arrived = false;
};

using Action = std::variant<Transmit, TransmitKeepalive, InstallChildSa, UpdateChildSa, RemoveChildSa,
                            RunKeyExchange, SignRequest, Event>;
using Answer = std::variant<KeyExchangeDone, SignDone>;

// Carries out the two slow actions at once, on the calling thread, with the engine's own randomness source.
[[nodiscard]] KeyExchangeDone run(const RunKeyExchange& action, Rng& rng);
[[nodiscard]] SignDone run(const SignRequest& action);

// What the data plane tells an engine.
struct ChildSaSoftExpired {
  policy::ChildSaId id;
};
struct ChildSaHardExpired {
  policy::ChildSaId id;
};
struct ChildSaPeerMoved {  // an authenticated, newer packet came from another address (RFC 7296 2.23)
  policy::ChildSaId id;
  Endpoint remote;
};
struct ChildSaInbound {  // the last authenticated packet; proves liveness (RFC 7296 2.4), and that the peer
                         // uses this SA
  policy::ChildSaId id;
  Instant at;
};
using DataPlaneReport =
    std::variant<ChildSaSoftExpired, ChildSaHardExpired, ChildSaPeerMoved, ChildSaInbound>;

// Inbound SPIs carry the packet engine's table index, so the packet engine makes them.
class SpiAllocator {
 public:
  SpiAllocator() = default;
  SpiAllocator(const SpiAllocator&) = delete;
  SpiAllocator& operator=(const SpiAllocator&) = delete;
  virtual ~SpiAllocator() = default;
  [[nodiscard]] virtual Result<Spi> allocate() = 0;
  // For one of several Child SAs with the same selectors (RFC 9611): the packet engine may want each in another place.
  [[nodiscard]] virtual Result<Spi> allocate_for(unsigned resource) {
    static_cast<void>(resource);
    return allocate();
  }
  // For an SA that replaces the one with this SPI of ours: the packet engine may want to have both in one place.
  [[nodiscard]] virtual Result<Spi> allocate_like(Spi replaced) {
    static_cast<void>(replaced);
    return allocate();
  }
  // For an SPI that never came to be installed; RemoveChildSa releases the others.
  virtual void release(Spi spi) = 0;
};

}  // namespace merlon::ike
