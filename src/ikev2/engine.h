// The IKEv2 engine of one control shard (RFC 7296): every IKE SA of it, its timers, its defence against floods.
// No I/O, no clock, no randomness of its own: see ike/actions.h. Not thread-safe: it belongs to one control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "ike/actions.h"
#include "ike/counters.h"
#include "ike/credentials.h"
#include "ike/status.h"
#include "policy/connection.h"

namespace merlon::ikev2 {

struct EngineOptions {
  std::uint16_t ike_port = 500, natt_port = 4500;  // ours
  // RFC 7296 2.6: from this many half-open IKE SAs on, a request without a valid cookie costs no state.
  std::size_t cookie_threshold = 64;
  std::size_t half_open_limit = 4096;           // beyond it new requests are dropped, cookie or not
  std::size_t half_open_limit_per_source = 16;  // IPv6 by /64; a cookie is asked for from half of it on, too
  std::chrono::seconds half_open_timeout{30};
  // Of IKE SAs, those aside that only repeat their last answer. A rekey by a peer is never refused for it: a peer has
  // one successor at a time.
  std::size_t ike_sa_limit = 200000;
  std::size_t lingering_limit = 8192;          // of those aside; beyond it the oldest go at once
  std::size_t memory_limit = 64U << 20U;       // bytes of unfinished messages, of all peers together
  std::uint32_t last_message_id = 0xFFFFFFFF;  // RFC 7296 2.2; at least 64. Smaller ones are for tests
  unsigned data_workers = 1;                   // what ChildConfig::parallel = 0 stands for (RFC 9611)
  std::uint64_t shard = 0, shard_count = 1;    // which of our SPIs are this engine's
  bool trace_all = false;
};

// What became of a command to negotiate.
enum class Begun {
  kUnderWay,     // events will tell how it goes
  kNothingToDo,  // what was asked for stands already: no event will follow
};

class Engine {
 public:
  // `spis` and `rng` must outlive the engine.
  Engine(EngineOptions options, Rng& rng, ike::SpiAllocator& spis);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Configuration, as a whole. IKE SAs of connections that are unchanged (the same pointer) are not touched; those of
  // connections that are gone or changed are deleted (with a notification), unless only fields changed that can be
  // taken over while running.
  void configure(Now now, std::vector<policy::ConnectionPtr> connections,
                 std::shared_ptr<const ike::Credentials> credentials);

  void receive(Now now, const ike::Datagram& datagram);
  void complete(Now now, ike::Answer answer);
  void report(Now now, const ike::DataPlaneReport& report);
  // Runs what is due. next_deadline() tells when to call again; kNever when nothing is timed.
  void advance(Now now);
  [[nodiscard]] Instant next_deadline() const;

  // Commands. Results arrive as events.
  // Begins an IKE SA with `remote` (its address is resolved by the caller) unless one is established or under way, and
  // the named children, or, with none named, every protect child of the connection that starts by itself.
  Result<Begun> initiate(Now now, const std::string& connection, const Endpoint& local,
                         const Endpoint& remote, std::span<const std::string> children);
  // One more child over an established IKE SA (or the whole thing when there is none). `packet` holds the selectors of
  // the packet that asked, when one did: they go first into TSi and TSr (RFC 7296 2.9).
  struct TriggeringPacket {
    policy::TrafficSelector local, remote;
  };
  Result<Begun> acquire(Now now, const std::string& connection, const std::string& child,
                        const Endpoint& local, const Endpoint& remote,
                        std::optional<TriggeringPacket> packet);
  // Deletes the IKE SAs of the connection (or only the named child's SAs) with a notification to the peer.
  Result<> terminate(Now now, const std::string& connection, const std::string& child);
  Result<> rekey_ike_sa(Now now, const std::string& connection);
  Result<> rekey_child_sa(Now now, const std::string& connection, const std::string& child);
  // A local address of ours is gone or a route changed: everything with that path asks its peer whether it is alive.
  void check_paths(Now now);
  // Asks the peer at this address, over any IKE SA whose peer takes fragments (RFC 7383), with a message of exactly this
  // many bytes in one IP packet (a few less where the cipher has blocks): RFC 8899's probes, in IKE. One at a time for
  // an address. The answer comes from drain_path_probes(); none comes when the IKE SA ends meanwhile. kNotFound: no such
  // IKE SA.
  Result<> probe_path(Now now, const IpAddress& remote, unsigned datagram_size);
  [[nodiscard]] std::vector<ike::PathProbed> drain_path_probes();
  // The packet engine got ESP by an SPI that it does not have. When an IKE SA with that peer stands, the peer is told
  // INVALID_SPI in it (RFC 7296 1.5); nothing is ever said in clear. Unauthenticated, so rate-limited here.
  void unknown_spi(Now now, const Endpoint& source, bool udp_encapsulated, Spi spi);
  // The packet engine dropped an authentic packet that does not fit the selectors of its Child SA: the peer is told
  // INVALID_SELECTORS (RFC 7296 3.10.1, RFC 4301 5.2). `packet_start`: of the inner packet, as much as is known.
  void selectors_violated(Now now, policy::ChildSaId child_sa, ByteView packet_start);
  // Begins a clean stop: deletes every IKE SA with a notification; idle() tells when nothing is left to wait for.
  void shut_down(Now now);
  [[nodiscard]] bool idle() const;

  void trace(const std::string& connection, bool messages, bool keys);

  // What is to be done since the last call, in order: new Child SAs first, since a peer that has our answer may use them.
  [[nodiscard]] std::vector<ike::Action> drain();

  [[nodiscard]] std::vector<ike::IkeSaStatus> status() const;
  [[nodiscard]] const ike::Counters& counters() const;
  [[nodiscard]] std::size_t ike_sa_count() const;
  [[nodiscard]] std::size_t half_open_count() const;
  [[nodiscard]] std::size_t lingering_count()
      const;  // of ike_sa_count(): those that only repeat their last answer
  [[nodiscard]] std::size_t memory_used() const;  // of EngineOptions::memory_limit

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace merlon::ikev2
