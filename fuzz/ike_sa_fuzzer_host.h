// A gateway for ike_sa_fuzzer: an engine with its surroundings, which watch what it does. Every require() is
// a promise of the engine that no peer, whatever it sends, may make it break.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/rng.h"
#include "fuzz/input.h"
#include "ikev2/engine.h"
#include "ikev2/message_protection.h"
#include "policy/traffic_selector.h"

namespace merlon::fuzz {

using namespace std::chrono_literals;

class Spis final : public ike::SpiAllocator {
 public:
  explicit Spis(std::uint32_t first) : next_(first) {}
  Result<Spi> allocate() override {
    if (held_.size() >= 400) return fail(ErrorCode::kExhausted, "no SPI is left");
    held_.insert(++next_);
    return Spi{next_};
  }
  void release(Spi spi) override {
    require(held_.erase(spi.value) == 1, "an SPI is released once, by who holds it");
  }
  [[nodiscard]] bool holds(Spi spi) const { return held_.contains(spi.value); }
  [[nodiscard]] std::size_t held() const { return held_.size(); }

 private:
  std::uint32_t next_;
  std::set<std::uint32_t> held_;
};

// The keys of one IKE SA, and where its Message IDs stand.
struct KnownSa {
  IkeSaId id;
  bool host_is_initiator = false;
  ikev2::MessageProtection as_peer;  // seals what the peer would send, opens what the host sends
  ikev2::MessageProtection as_host;  // the other way round
  std::uint32_t next_request = 0;    // of the peer
  std::uint32_t outstanding = 0;     // the host's last request
};

class Host {
 public:
  using Send = std::function<void(ike::Transmit&&)>;

  Host(std::uint64_t seed, ikev2::EngineOptions options, Now& now, Send send)
      : rng(seed),
        spis(static_cast<std::uint32_t>(seed << 16U)),
        engine(options, rng, spis),
        now_(now),
        send_(std::move(send)) {}

  bool slow = false;             // key exchanges and signatures wait for carry_out()
  bool may_authenticate = true;  // false: the peer cannot know the pre-shared key
  policy::ConnectionPtr connection;
  SeededRng rng;
  Spis spis;
  ikev2::Engine engine;
  std::map<std::uint64_t, policy::ChildSaPtr> installed;
  std::vector<KnownSa> known;
  std::deque<ike::Action> waiting;
  std::optional<wire::IkeHeader> last_init;  // of our last request for a new IKE SA

  void drain() {
    for (unsigned rounds = 0;; ++rounds) {
      require(rounds < 64, "what an engine does ends");
      auto actions = engine.drain();
      if (actions.empty()) break;
      require(actions.size() < 2048, "one input has a bounded number of consequences");
      // The engine hands over Child SAs before everything else, so who is authenticated is looked at first.
      std::stable_partition(actions.begin(), actions.end(), [](const auto& action) {
        const auto* event = std::get_if<ike::Event>(&action);
        return event != nullptr && std::holds_alternative<ike::IkeSaEstablished>(*event);
      });
      for (auto& action : actions) std::visit([this](auto& one) { on(std::move(one)); }, action);
    }
    require(installed.size() <= 300 && spis.held() <= 400, "Child SAs are bounded");
    require(engine.ike_sa_count() <= 200, "IKE SAs are bounded");
  }

  void advance() {
    // What is due is done at once, not again and again.
    for (unsigned rounds = 0; engine.next_deadline() <= now_.monotonic; ++rounds) {
      require(rounds < 40, "timers come to rest");
      engine.advance(now_);
      drain();
    }
  }

  bool carry_out(std::size_t which) {
    if (waiting.empty()) return false;
    const auto at = waiting.begin() + static_cast<std::ptrdiff_t>(which % waiting.size());
    auto action = std::move(*at);
    waiting.erase(at);
    finish(action);
    drain();
    return true;
  }

  // RFC 7296 2.4: where liveness is asked for, a peer that says nothing any more is given up, and so is all that it left.
  void require_silence_ends_all() {
    slow = false;
    while (carry_out(0)) continue;
    const auto end = now_.monotonic + 1h;
    for (unsigned i = 0; i < 3000 && engine.next_deadline() <= end; ++i) {
      now_.monotonic = std::max(now_.monotonic, engine.next_deadline());
      advance();
    }
    require(engine.ike_sa_count() == 0, "nothing outlives a silent peer");
  }

  // Nothing may be left when everybody has gone.
  void require_clean() {
    slow = false;
    while (carry_out(0)) continue;
    engine.shut_down(now_);
    drain();
    for (unsigned i = 0; i < 600 && engine.next_deadline() != kNever; ++i) {
      now_.monotonic = std::max(now_.monotonic, engine.next_deadline());
      advance();
    }
    require(engine.idle() && engine.ike_sa_count() == 0, "a stopped engine comes to rest");
    require(engine.half_open_count() == 0, "half-open IKE SAs are counted right");
    require(installed.empty() && spis.held() == 0, "a stopped engine holds no SPI and no Child SA");
    require(engine.next_deadline() == kNever, "a stopped engine has no timer");
  }

 private:
  void on(ike::Transmit&& transmit) {
    const auto header = wire::IkeHeader::parse(transmit.payload);
    require(header.has_value() && header->length == transmit.payload.size(), "what is sent has a header");
    require(wire::parse_message(transmit.payload).has_value(), "what is sent can be parsed");
    if (header->exchange_type == wire::ExchangeType::kIkeSaInit && !header->flags.response)
      last_init = *header;
    require_new_iv(*header, transmit.payload);
    for (auto& sa : known) {
      if (sa.id != header->ike_sa_id()) continue;
      if (header->flags.response)
        sa.next_request = std::max(sa.next_request, header->message_id.value + 1);
      else
        sa.outstanding = header->message_id.value;
    }
    send_(std::move(transmit));
  }
  // RFC 5282 3.1: no IV twice under a key, which the SPIs name, but for the same bytes. An IKE_AUTH request goes to each of several answers
  // (RFC 7296 2.4), which may have one SPI and other keys.
  void require_new_iv(const wire::IkeHeader& header, ByteView message) {
    using enum wire::PayloadType;
    const std::size_t at = wire::kIkeHeaderSize + (header.next_payload == kSkf ? 8 : 4);
    if ((header.next_payload != kSk && header.next_payload != kSkf) || message.size() < at + 8 ||
        (header.exchange_type == wire::ExchangeType::kIkeAuth && !header.flags.response))
      return;
    const auto [known_iv, fresh] =
        ivs_.try_emplace({header.ike_sa_id(), to_bytes(message.subspan(at, 8))}, to_bytes(message));
    require(fresh || equal(known_iv->second, message), "no IV of an IKE message twice");
  }
  void on(ike::TransmitKeepalive&& /*keepalive*/) {}
  void on(ike::InstallChildSa&& install) {
    const auto& sa = *install.child_sa;
    require(established_ && may_authenticate, "no Child SA without an authenticated peer");
    require(spis.holds(sa.inbound_spi), "an inbound SPI was set aside");
    require(sa.outbound_spi.value > 255, "RFC 4303 2.1: no reserved SPI");
    for (const auto& [id, other] : installed)
      require(other->inbound_spi != sa.inbound_spi, "inbound SPIs differ");
    require(installed.emplace(sa.id.value, install.child_sa).second, "a Child SA is installed once");
    require(!sa.inbound.encryption.empty() && !sa.outbound.encryption.empty(), "no key is empty");
    for (const auto* key : {&sa.inbound.encryption, &sa.outbound.encryption})
      require(keys_.insert(to_bytes(key->bytes())).second, "no key is used twice");
    const auto& child = sa.child();
    require(policy::contains(child.local_ts, sa.local_ts) && policy::contains(child.remote_ts, sa.remote_ts),
            "selectors lie within the configuration's");
    require(!sa.local_ts.empty() && !sa.remote_ts.empty(), "selectors are not empty");
  }
  void on(ike::UpdateChildSa&& update) {
    require(installed.contains(update.id.value), "what is updated is installed");
  }
  void on(ike::RemoveChildSa&& removed) {
    const auto at = installed.find(removed.id.value);
    require(at != installed.end(), "what is removed is installed");
    spis.release(at->second->inbound_spi);
    installed.erase(at);
  }
  void on(ike::RunKeyExchange&& action) { later(std::move(action)); }
  void on(ike::SignRequest&& action) { later(std::move(action)); }
  void on(ike::Event&& event) {
    if (std::holds_alternative<ike::IkeSaEstablished>(event)) {
      require(may_authenticate, "nobody is authenticated without the pre-shared key");
      established_ = true;
    } else if (auto* traced = std::get_if<ike::IkeKeysTraced>(&event)) {
      learn(*traced);
    }
  }

  void later(ike::Action action) {
    if (slow && waiting.size() < 64)
      waiting.push_back(std::move(action));
    else
      finish(action);
  }
  void finish(const ike::Action& action) {
    if (const auto* exchange = std::get_if<ike::RunKeyExchange>(&action))
      engine.complete(now_, ike::run(*exchange, rng));
    else
      engine.complete(now_, ike::run(std::get<ike::SignRequest>(action)));
  }

  void learn(const ike::IkeKeysTraced& traced) {
    if (known.size() >= 32) known.erase(known.begin());
    ikev2::IkeKeys keys;
    keys.sk_ei = traced.sk_ei.clone();
    keys.sk_er = traced.sk_er.clone();
    keys.sk_ai = traced.sk_ai.clone();
    keys.sk_ar = traced.sk_ar.clone();
    const crypto::MessageCipherSuite suite{traced.encr, traced.key_bits, traced.integ};
    // Which side the host is on shows in which of the two SPIs its engine answers to; the fuzzer needs no
    // more than both.
    auto initiator = ikev2::MessageProtection::create(suite, keys, true);
    auto responder = ikev2::MessageProtection::create(suite, keys, false);
    require(initiator && responder, "the keys of an IKE SA fit its algorithms");
    const bool host_is_initiator = is_ours(traced.id);
    auto& as_host = host_is_initiator ? *initiator : *responder;
    auto& as_peer = host_is_initiator ? *responder : *initiator;
    known.push_back({traced.id, host_is_initiator, std::move(as_peer), std::move(as_host), 0, 0});
  }
  // An engine's own SPIs are those of its shard: the target's are even, everybody else's odd.
  [[nodiscard]] bool is_ours(const IkeSaId& id) const { return id.initiator.value % 2 == shard; }

 public:
  std::uint64_t shard = 0;

 private:
  Now& now_;
  Send send_;
  bool established_ = false;
  std::set<Bytes> keys_;
  std::map<std::pair<IkeSaId, Bytes>, Bytes> ivs_;  // messages by IKE SA and the first 8 bytes of the IV
};

}  // namespace merlon::fuzz
