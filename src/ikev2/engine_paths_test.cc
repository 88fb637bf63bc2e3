// Where messages go when copies of them arrive from, or at, other addresses than the peers': whoever sees a message can send it
// again. RFC 7296 2.11 (an answer goes to where its request came from), 2.23 (who follows whom, and when).
#include <gmock/gmock.h>

#include <algorithm>

#include "ikev2/engine_test_network.h"
#include "wire/ike/notify_data.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;
using wire::ExchangeType;

bool is_request(const Packet& packet, ExchangeType exchange) {
  const auto head = packet.header();
  return !head.flags.response && head.exchange_type == exchange;
}

// Whatever is a request of `exchange` arrives once more, changed, and before it does itself.
template <class Change>
void copy_first(Pair& pair, ExchangeType exchange, Change change) {
  pair.network.tamper = [&pair, exchange, change](Packet packet) {
    if (packet.source.address != pair.a.ip || !is_request(packet, exchange)) return std::vector{packet};
    Packet copy = packet;
    change(copy);
    return std::vector{copy, packet};
  };
}

std::size_t sent_to(const Pair& pair, const IpAddress& whom) {
  return static_cast<std::size_t>(std::ranges::count_if(
      pair.network.sent, [&](const Packet& packet) { return packet.destination.address == whom; }));
}

// Without a NAT between them nobody's address changes, so what the first message came by is what stays.
TEST(Paths, ACopyOfIkeAuthFromAnotherPortMovesNothing) {
  Pair pair;
  copy_first(pair, ExchangeType::kIkeAuth, [](Packet& copy) { copy.source.port = 30048; });
  pair.up();
  EXPECT_EQ(pair.b.established().front().remote, endpoint("192.0.2.1", 500));
  EXPECT_EQ(pair.b.outbound("net")->path.remote.address, pair.a.ip);
  ASSERT_TRUE(pair.b.engine.rekey_ike_sa(pair.network.time(), pair.at_b().name));
  pair.b.drain();
  pair.network.run_for(1s);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kRetransmissionsSent), 0U);
  expect_in_step(pair.a, pair.b, "net");
}

TEST(Paths, ACopyOfIkeAuthAtAnotherAddressMovesNothing) {
  Pair pair;
  const auto second = address("198.51.100.9");
  pair.network.hosts[second] = &pair.b;
  copy_first(pair, ExchangeType::kIkeAuth, [&](Packet& copy) { copy.destination.address = second; });
  pair.up();
  EXPECT_EQ(pair.b.established().front().local, endpoint("198.51.100.1", 500));
  EXPECT_EQ(pair.b.outbound("net")->path.local.address, pair.b.ip);
}

// Behind a NAT the peer is followed, also back: to where it is spoken to from, and to where it speaks to.
TEST(Paths, BehindANatTheNextMessageMovesItBack) {
  Pair pair;
  pair.network.nat = Network::Nat{address("192.0.2.1"), address("203.0.113.9"), 10000};
  pair.at_b().remote_addresses.clear();
  pair.at_a().liveness_interval = 10s;
  const auto second = address("198.51.100.9");
  pair.network.hosts[second] = &pair.b;
  pair.network.tamper = [&](Packet packet) {
    if (packet.destination.address != pair.b.ip || !is_request(packet, ExchangeType::kIkeAuth))
      return std::vector{packet};
    Packet copy = packet;
    copy.destination.address = second;
    return std::vector{copy, packet};
  };
  pair.up();
  pair.network.run_for(30s);
  EXPECT_EQ(pair.b.established().front().local, endpoint("198.51.100.1", 4500));
  EXPECT_EQ(pair.b.outbound("net")->path.local.address, pair.b.ip);
}

// A message is answered where it came from only when the whole of it came from there.
TEST(Paths, FragmentsFromTwoPlacesAreAnsweredWhereTheyAreSentAgain) {
  Pair pair;
  for (auto* connection : {&pair.at_a(), &pair.at_b()}) connection->fragment_size = 256;
  const auto stranger = address("203.0.113.66");
  copy_first(pair, ExchangeType::kIkeAuth, [&](Packet& copy) {
    const auto message = value(wire::parse_message(copy.payload).map_error([](auto e) { return e.error; }));
    const auto* part = std::get_if<wire::SkfPayload>(&message.payloads.back());
    ASSERT_NE(part, nullptr);
    if (part->fragment_number > 1) copy.source.address = stranger;
  });
  pair.up();
  EXPECT_GT(pair.b.engine.counters().value(Counter::kFragmentsReassembled), 0U);
  EXPECT_EQ(sent_to(pair, stranger), 0U);
  EXPECT_EQ(pair.b.established().front().remote.address, pair.a.ip);
}

// A copy of a first fragment draws all of the answer again: elsewhere only for as many bytes as came from there.
TEST(Paths, CopiesOfFragmentsDrawNoLargerAnswerElsewhere) {
  Pair pair;
  for (auto* connection : {&pair.at_a(), &pair.at_b()}) connection->fragment_size = 256;
  pair.up();
  const auto stranger = address("203.0.113.66");
  const auto sent = pair.network.sent;
  std::size_t in = 0;
  const auto copy_all = [&](bool first_only) {
    for (const auto& packet : sent) {
      if (packet.source.address != pair.a.ip || !is_request(packet, ExchangeType::kIkeAuth)) continue;
      const auto message =
          value(wire::parse_message(packet.payload).map_error([](auto e) { return e.error; }));
      if (first_only && std::get<wire::SkfPayload>(message.payloads.back()).fragment_number != 1) continue;
      in += packet.payload.size();
      pair.b.engine.receive(pair.network.time(),
                            {packet.destination, {stranger, 500}, packet.natt, packet.payload});
      pair.b.drain();
    }
  };
  const auto out = [&] {
    std::size_t bytes = 0;
    for (const auto& packet : pair.network.sent)
      if (packet.destination.address == stranger) bytes += packet.payload.size();
    return bytes;
  };
  for (int i = 0; i < 20; ++i) {
    copy_all(true);
    EXPECT_LE(2 * out(), 3 * in);
    pair.network.run_for(2s);
  }
  EXPECT_GT(out(), 0U) << "a NAT may have forgotten";
  for (int i = 0; i < 20; ++i) {
    copy_all(false);
    EXPECT_LE(2 * out(), 3 * in);
    pair.network.run_for(2s);
  }
}

// An answer that asked for a cookie arrives once more, when another cookie was asked for since: what was sent often enough is not
// begun anew.
TEST(Paths, ACopyOfAnOldCookieChangesNothing) {
  Pair pair;
  pair.network.drop = [](const Packet&) { return true; };
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  const auto asks_for = [&](std::uint8_t cookie) {
    wire::Message answer;
    answer.header = pair.network.sent.front().header();
    answer.header.flags.initiator = false;
    answer.header.flags.response = true;
    answer.payloads.emplace_back(wire::make_cookie(Bytes(16, cookie)));
    pair.a.engine.receive(pair.network.time(),
                          {{pair.a.ip, 500}, {pair.b.ip, 500}, false, value(wire::encode_message(answer))});
    pair.a.drain();
  };
  asks_for(1);
  asks_for(2);
  ASSERT_EQ(pair.network.sent.size(), 3U);
  asks_for(1);
  asks_for(2);
  EXPECT_EQ(pair.network.sent.size(), 3U);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kCookiesReturned), 2U);
}

// Where it answers what arrives there; `hears`: also what arrives at its address of before.
void b_speaks_from_elsewhere(Pair& pair, bool hears) {
  const auto elsewhere = address("198.51.100.9");
  pair.network.hosts[elsewhere] = &pair.b;
  pair.network.tamper = [&pair, elsewhere, hears](Packet packet) {
    if (packet.source.address == pair.b.ip) packet.source.address = elsewhere;
    return packet.destination.address == pair.b.ip && !hears ? std::vector<Packet>{} : std::vector{packet};
  };
}

// A peer whose address changed, and which we do not follow: what we send it is lost, although it is heard.
TEST(Paths, APeerThatSpeaksFromElsewhereHasOurPathChecked) {
  Pair pair;
  pair.at_a().liveness_interval = 30s;
  pair.at_b().liveness_interval = 5s;
  pair.up();
  b_speaks_from_elsewhere(pair, false);
  pair.network.run_for(150s);
  EXPECT_GE(pair.a.count<ike::IkeSaClosed>(), 1U);
  EXPECT_EQ(pair.a.installed.size(), 0U) << "packets would go nowhere";
}

// It is no reason to ask all the time.
TEST(Paths, AndIsAskedOnlySoOften) {
  Pair pair;
  pair.at_b().liveness_interval = 1s;
  pair.up();
  b_speaks_from_elsewhere(pair, true);
  const auto requests = [&] {
    return std::ranges::count_if(pair.network.sent, [&](const Packet& packet) {
      return packet.source.address == pair.a.ip && is_request(packet, ExchangeType::kInformational);
    });
  };
  const auto before = requests();
  pair.network.run_for(60s);
  EXPECT_GE(requests() - before, 3);
  EXPECT_LE(requests() - before, 7);
  EXPECT_EQ(pair.a.established().size(), 1U);
}

}  // namespace
}  // namespace merlon::ikev2::test
