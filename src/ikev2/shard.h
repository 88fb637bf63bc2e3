// One control shard: the table of IKE SAs and everything an exchange may ask of its surroundings. Behind
// Engine; nothing outside this room includes it.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ike/counters.h"
#include "ike/timer_wheel.h"
#include "ikev2/answer_limits.h"
#include "ikev2/cookie.h"
#include "ikev2/engine.h"
#include "ikev2/ike_sa.h"
#include "ikev2/memory_budget.h"
#include "ikev2/source_limits.h"
#include "ikev2/token_bucket.h"

namespace merlon::ikev2 {

// Answers in clear whose number is limited, each kind by itself: what strays in cannot use up what is for those that
// try to begin an IKE SA. COOKIE and INVALID_KE_PAYLOAD need no limit: they are smaller than what asks for them, cost
// next to nothing, and without them an honest initiator never gets on.
enum class ClearAnswer {
  kRefusal,  // of an IKE_SA_INIT request
  kStray,    // INVALID_MAJOR_VERSION (RFC 7296 1.5, 2.5)
  kUnknownSpi,  // INVALID_IKE_SPI (RFC 7296 1.5, 2.21.4): what matters least; half of what kStray has is not for it
};
// What stands between one connection of ours and one address before we begin no further IKE SA in place of another.
inline constexpr std::size_t kMaxIkeSasOfAPeer = 8;

class Shard {
 public:
  Shard(EngineOptions options, Rng& rng, ike::SpiAllocator& spis);

  // ---- what exchanges use
  [[nodiscard]] Instant time() const { return now_.monotonic; }
  [[nodiscard]] UnixTime wall() const { return now_.wall; }
  [[nodiscard]] Rng& rng() const { return rng_; }
  [[nodiscard]] ike::SpiAllocator& spis() const { return spis_; }
  [[nodiscard]] const EngineOptions& options() const { return options_; }
  [[nodiscard]] std::span<const policy::ConnectionPtr> connections() const { return connections_; }
  // Never null: a connection without credentials gets empty ones.
  [[nodiscard]] const ike::ConnectionCredentials& credentials(const std::string& connection) const;
  [[nodiscard]] policy::ConnectionPtr connection(std::string_view name) const;

  void count(ike::Counter counter, std::uint64_t number = 1) { counters_.add(counter, number); }
  void count(ike::RarePath path) { counters_.add(path); }
  [[nodiscard]] ike::Counters& counters() { return counters_; }
  void emit(ike::Action action) { actions_.push_back(std::move(action)); }
  void transmit(const Path& path, Bytes payload, bool dont_fragment = false);
  void path_probed(ike::PathProbed result) { path_probes_.push_back(std::move(result)); }
  // Registers a slow action: its answer comes back to this IKE SA.
  [[nodiscard]] ike::RequestId register_request(const IkeSa& sa);
  [[nodiscard]] ike::RequestId generate_key_pair(const IkeSa& sa, KeMethod method);
  [[nodiscard]] ike::RequestId derive_secret(const IkeSa& sa,
                                             std::shared_ptr<const crypto::KeyExchange> exchange,
                                             ByteView peer_public_value);
  [[nodiscard]] policy::ChildSaId next_child_id() { return {++last_child_id_}; }
  // Random, never 0, unused, and of this shard.
  [[nodiscard]] IkeSpi new_ike_spi();

  // Takes a new IKE SA (a rekeyed one) into the table.
  IkeSa& adopt(std::unique_ptr<IkeSa> sa);
  [[nodiscard]] IkeSa* find(IkeSpi own_spi);
  // Remembers that the IKE SA changed: its timer is set anew, or it is removed when closed, once the handlers
  // are done.
  void touch(const IkeSa& sa) { touched_.insert(sa.own_spi().value); }
  // RFC 7296 2.4: other established IKE SAs with the same two identities, when one more is established.
  void resolve_uniqueness(IkeSa& newest, const Established& established, bool initial_contact);
  // For the two lookups above and below; called when an IKE SA is established.
  void know_identity(IkeSa& sa, const Established& established);
  [[nodiscard]] bool has_established(const IkeSa& except, const policy::Connection& connection);
  // Another IKE SA of the same connection on which children may be made; null: none.
  [[nodiscard]] IkeSa* standing_beside(const IkeSa& one);
  // Whether "unique = keep" forbids one more for these identities.
  [[nodiscard]] bool refuses_duplicate(const IkeSa& newest, const PeerAuthenticated& peer,
                                       const Identity& local_id);
  [[nodiscard]] CookieJar& cookies() { return cookies_; }
  [[nodiscard]] SourceLimits& half_open() { return half_open_; }
  void end_half_open(const IkeSa& sa);
  [[nodiscard]] MemoryBudget& memory() { return memory_; }
  // Whether one more IKE SA of this connection may be begun with this address: one at a time, and few beside each
  // other, however often a peer refuses what is asked of the ones that stand (NO_ADDITIONAL_SAS) and whatever "unique"
  // says. For one that is usable already nobody asks.
  [[nodiscard]] bool may_begin(const policy::ConnectionPtr& connection, const IpAddress& remote);
  // RFC 7296 1.5: a limit of IKE SAs counts none that only repeat their last answer.
  [[nodiscard]] bool is_full() const { return sas_.size() - lingering_.size() >= options_.ike_sa_limit; }

  [[nodiscard]] bool traced(const IkeSa& sa) const;
  [[nodiscard]] bool keys_traced(const IkeSa& sa) const;
  // Every message once, sent or taken: its notifications are counted, and it is traced where somebody wants that.
  void note_message(const IkeSa& sa, const wire::IkeHeader& header, std::span<const wire::Payload> payloads,
                    const Path& path, bool sent);
  void count_notifies(std::span<const wire::Payload> payloads, bool sent);
  void trace_retransmission(const IkeSa& sa, const Path& path);
  // Whether one more answer of this kind may be sent now. To be asked before anything is made for it.
  [[nodiscard]] bool may_answer(ClearAnswer kind, const IpAddress& source);
  // A small answer in clear (RFC 7296 1.5, 2.6, 2.21.1).
  void answer_in_clear(const ike::Datagram& datagram, const wire::IkeHeader& header,
                       std::vector<wire::Payload> payloads);

  // ---- what Engine forwards
  void configure(Now now, std::vector<policy::ConnectionPtr> connections,
                 std::shared_ptr<const ike::Credentials> credentials);
  void receive(Now now, const ike::Datagram& datagram);
  void complete(Now now, ike::Answer answer);
  void report(Now now, const ike::DataPlaneReport& report);
  void advance(Now now);
  [[nodiscard]] Instant next_deadline() const { return timers_.next(); }
  Result<Begun> initiate(Now now, const std::string& connection, const Endpoint& local,
                         const Endpoint& remote, std::span<const std::string> children);
  Result<Begun> acquire(Now now, const std::string& connection, const std::string& child,
                        const Endpoint& local, const Endpoint& remote, std::optional<TriggeredBy> packet);
  Result<> terminate(Now now, const std::string& connection, const std::string& child);
  Result<> rekey_ike_sa(Now now, const std::string& connection);
  Result<> rekey_child_sa(Now now, const std::string& connection, const std::string& child);
  void check_paths(Now now);
  Result<> probe_path(Now now, const IpAddress& remote, unsigned datagram_size);
  [[nodiscard]] std::vector<ike::PathProbed> drain_path_probes() { return std::exchange(path_probes_, {}); }
  void unknown_spi(Now now, const Endpoint& source, bool udp_encapsulated, Spi spi);
  void selectors_violated(Now now, policy::ChildSaId child_sa, ByteView packet_start);
  void shut_down(Now now);
  [[nodiscard]] bool idle() const;
  void trace(const std::string& connection, bool messages, bool keys);
  [[nodiscard]] std::vector<ike::Action> drain();
  [[nodiscard]] std::vector<ike::IkeSaStatus> status() const;
  [[nodiscard]] std::size_t ike_sa_count() const { return sas_.size(); }  // with those that only linger
  [[nodiscard]] std::size_t half_open_count() const { return half_open_.total(); }
  [[nodiscard]] std::size_t lingering_count() const { return lingering_.size(); }
  [[nodiscard]] std::size_t memory_used() const { return memory_.used(); }

 private:
  void begin(Now now) { now_ = now; }
  void settle();
  void remove(IkeSa& sa);
  void note_lingering(const IkeSa& sa);
  void heed_invalid_spi_in_clear(const ike::Datagram& datagram);
  void index(IkeSa& sa);
  [[nodiscard]] std::vector<IkeSa*> same_peers(const IkeSa& newest, const Identity& local,
                                               const Identity& remote);
  void receive_init_request(const ike::Datagram& datagram, const wire::IkeHeader& header);
  void receive_unknown(const ike::Datagram& datagram, const wire::IkeHeader& header);
  Result<Begun> negotiate(const policy::ConnectionPtr& connection, const Endpoint& local,
                          const Endpoint& remote, std::vector<ChildIntent> intents);
  void take_over(IkeSa& sa, const policy::ConnectionPtr& connection);
  [[nodiscard]] std::vector<IkeSa*> of_connection(const std::string& connection);
  [[nodiscard]] std::vector<IkeSa*> sorted();
  void close_now(IkeSa& sa, const ike::Failure& reason);
  void close_for_configuration(IkeSa& sa, std::string_view why);

  EngineOptions options_;
  Rng& rng_;
  ike::SpiAllocator& spis_;
  Now now_{};
  std::vector<policy::ConnectionPtr> connections_;
  std::shared_ptr<const ike::Credentials> credentials_;
  ike::ConnectionCredentials no_credentials_;
  ike::Counters counters_;
  std::vector<ike::Action> actions_;
  std::vector<ike::PathProbed> path_probes_;
  MemoryBudget memory_;  // outlives the IKE SAs, which hold shares of it
  std::unordered_map<std::uint64_t, std::unique_ptr<IkeSa>> sas_;
  std::unordered_set<std::uint64_t> lingering_;
  std::deque<std::uint64_t> lingering_order_;                  // the oldest first; some are gone already
  std::unordered_map<std::uint64_t, IkeSpi> by_init_request_;  // hash of source and request: RFC 7296 2.1
  std::unordered_map<std::uint64_t, std::uint64_t> init_request_of_;
  std::unordered_map<std::uint64_t, IpAddress> half_open_source_;
  std::unordered_map<ike::RequestId, IkeSpi> requests_;
  std::unordered_map<std::uint64_t, IkeSpi> child_owner_;  // by ChildSaId
  std::unordered_multimap<std::string, std::uint64_t> by_connection_;
  std::unordered_multimap<std::uint64_t, std::uint64_t> by_identity_;
  std::set<std::uint64_t> touched_;
  ike::TimerWheel timers_;
  CookieJar cookies_;
  SourceLimits half_open_;
  std::set<std::string> trace_messages_, trace_keys_;
  ike::RequestId last_request_ = 0;
  std::uint64_t last_child_id_ = 0;
  AnswerLimit refusals_{{50, 100}, {2, 8}}, strays_{{10, 20}, {2, 4}};
  TokenBucket lost_spis_{1, 4}, hints_{1, 4};
  bool shutting_down_ = false;

 public:
  // Which IKE SA a Child SA belongs to, for reports of the packet engine.
  void child_belongs(policy::ChildSaId id, const IkeSa& sa) { child_owner_[id.value] = sa.own_spi(); }
  void child_gone(policy::ChildSaId id) { child_owner_.erase(id.value); }
};

}  // namespace merlon::ikev2
