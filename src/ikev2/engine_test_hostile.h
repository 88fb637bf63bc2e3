// For tests: a peer that holds the keys and does not play by the rules.
#pragma once

#include <tuple>
#include <utility>

#include "ikev2/engine_test_network.h"
#include "ikev2/message_protection.h"
#include "wire/ike/notify_data.h"

namespace merlon::ikev2::test {

using wire::ExchangeType;
using wire::NotifyType;
using wire::Payload;

// An established pair, and the keys of one side in the hands of the test.
// The protection of both ends' messages, by the keys that `host` has traced: first the initiator's, then the responder's.
inline std::pair<MessageProtection, MessageProtection> protections_traced_by(const Host& host) {
  const auto& event = *host.events_of<ike::IkeKeysTraced>().front();
  IkeKeys keys;
  keys.sk_ei = event.sk_ei.clone();
  keys.sk_er = event.sk_er.clone();
  keys.sk_ai = event.sk_ai.clone();
  keys.sk_ar = event.sk_ar.clone();
  const crypto::MessageCipherSuite suite{event.encr, event.key_bits, event.integ};
  return {value(MessageProtection::create(suite, keys, true)),
          value(MessageProtection::create(suite, keys, false))};
}

struct Hostile : Pair {
  std::optional<MessageProtection> as_a, as_b;
  std::uint32_t next_id = 2;
  IkeSaId id;

  explicit Hostile(const std::function<void(Pair&)>& prepare = {}, EngineOptions b_options = {})
      : Pair({}, b_options) {
    if (prepare) prepare(*this);
    a.engine.trace("office", false, true);
    up();
    std::tie(as_a, as_b) = protections_traced_by(a);
    id = a.established().front().id;
  }

  wire::IkeHeader header(ExchangeType exchange, std::uint32_t message_id) const {
    wire::IkeHeader made;
    made.initiator_spi = id.initiator;
    made.responder_spi = id.responder;
    made.exchange_type = exchange;
    made.flags.initiator = true;
    made.message_id = MessageId{message_id};
    return made;
  }
  // Sends a request as if from a; what b answers, decrypted.
  std::optional<std::vector<Payload>> ask(ExchangeType exchange, std::vector<Payload> payloads) {
    return deliver(value(as_a->seal(header(exchange, next_id++), payloads, a.rng)));
  }
  std::optional<std::vector<Payload>> ask_encoded(ExchangeType exchange,
                                                  const wire::EncodedPayloads& payloads) {
    return deliver(value(as_a->seal_encoded(header(exchange, next_id++), payloads, a.rng)));
  }
  std::optional<std::vector<Payload>> deliver(const Bytes& datagram) {
    const auto before = network.sent.size();
    b.engine.receive(network.time(), {{b.ip, 500}, {a.ip, 500}, false, datagram});
    b.drain();
    for (auto i = before; i < network.sent.size(); ++i) {
      const auto& answer = network.sent[i];
      if (!answer.header().flags.response) continue;
      const auto message = wire::parse_message(answer.payload);
      auto opened = as_a->open(answer.payload, *message);
      if (opened) return std::move(opened->payloads);
    }
    return std::nullopt;
  }
  // What b answers to a's next CREATE_CHILD_SA request is replaced by this.
  void answer_instead(std::vector<Payload> payloads) {
    network.tamper = [this, payloads = std::move(payloads), done = false](Packet packet) mutable {
      const auto head = packet.header();
      if (!done && head.flags.response && head.exchange_type == ExchangeType::kCreateChildSa) {
        done = true;
        packet.payload = value(as_b->seal(head, payloads, b.rng));
      }
      return std::vector{packet};
    };
  }
  // The same for what a answers to b's.
  void a_answers_instead(std::vector<Payload> payloads) {
    network.tamper = [this, payloads = std::move(payloads)](Packet packet) {
      const auto head = packet.header();
      if (head.flags.response && head.flags.initiator && head.exchange_type == ExchangeType::kCreateChildSa)
        packet.payload = value(as_a->seal(head, payloads, a.rng));
      return std::vector{packet};
    };
  }
  Payload notify(NotifyType type) const { return wire::make_notify(type); }
};

inline bool says(const std::optional<std::vector<Payload>>& answer, NotifyType type) {
  return answer && wire::find_notify(*answer, type) != nullptr;
}

}  // namespace merlon::ikev2::test
