// What floods, strangers and peers that fail may cost.
#include <gmock/gmock.h>

#include <algorithm>

#include "ikev2/engine_test_network.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;
using wire::ExchangeType;

Bytes stray() {
  wire::IkeHeader header;
  header.initiator_spi = IkeSpi{1};
  header.responder_spi = IkeSpi{2};
  header.flags.initiator = true;
  header.exchange_type = ExchangeType::kInformational;
  return value(wire::encode_message({header, {}}));
}

TEST(Limits, StrayMessagesDoNotStarveInvalidKePayload) {
  Pair pair;
  pair.at_a().ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-x25519-ecp256"))};
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-ecp256"))};
  pair.network.tamper = [&](Packet packet) {
    if (packet.destination.address == pair.b.ip)
      for (int i = 0; i < 100; ++i)
        pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, stray()});
    return std::vector{packet};
  };
  pair.up();
}

// RFC 7296 2.6: without a cookie anybody could take the places of a source by forging its address.
TEST(Limits, RequestsInThePeersNameDoNotKeepItOut) {
  Pair pair;
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  const auto request = pair.a.engine.drain();
  ASSERT_EQ(pair.network.sent.size(), 1U);
  auto forged =
      value(wire::parse_message(pair.network.sent.front().payload).map_error([](auto e) { return e.error; }));
  for (std::uint64_t i = 1; i <= 100; ++i) {
    forged.header.initiator_spi = IkeSpi{i};
    pair.b.engine.receive(pair.network.time(),
                          {{pair.b.ip, 500}, {pair.a.ip, 500}, false, value(wire::encode_message(forged))});
    for (bool busy = true; busy;) {  // key pairs are made, and what was answered is lost
      busy = false;
      for (auto& action : pair.b.engine.drain())
        if (const auto* exchange = std::get_if<ike::RunKeyExchange>(&action)) {
          busy = true;
          pair.b.engine.complete(pair.network.time(), ike::run(*exchange, pair.b.rng));
        }
    }
  }
  EXPECT_EQ(pair.b.engine.half_open_count(), 8U) << "half of the 16 places";
  pair.network.run_for(5s);
  EXPECT_EQ(pair.a.count<ike::IkeSaEstablished>(), 1U);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kCookiesVerified), 1U);
}

TEST(Limits, StrayMessagesDoNotStarveRefusals) {
  Pair pair;
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes128-sha256-x25519"))};
  pair.configure();
  for (int i = 0; i < 100; ++i)
    pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, stray()});
  (void)pair.b.engine.drain();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(1s);
  EXPECT_EQ(pair.b.count<ike::NegotiationFailed>(), 1U);
}

TEST(Limits, RefusalsAreExplainedOnlyAsOftenAsTheyAreSent) {
  Pair pair;
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes128-sha256-x25519"))};
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(1s);
  const auto request = pair.network.sent.front().payload;
  for (int i = 0; i < 100; ++i)
    pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, request});
  pair.b.drain();
  EXPECT_LE(pair.b.count<ike::NegotiationFailed>(), 21U);
}

TEST(Limits, AnAbsurdOfferIsLookedAtOnlyInPart) {
  Pair pair;
  auto& first = pair.at_a().ike_proposals.front();
  auto huge = first;
  std::erase_if(huge.transforms,
                [](const auto& transform) { return transform.type == TransformType::kEncr; });
  for (std::uint16_t i = 0; i < 240; ++i) huge.transforms.push_back(wire::encr_transform(EncrId{900}, i));
  pair.at_a().ike_proposals = {huge, huge, huge, first};
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(1s);
  EXPECT_EQ(pair.b.count<ike::NegotiationFailed>(), 1U);
}

TEST(Limits, AResponseIsNotRepeatedForEver) {
  Pair pair;
  pair.configure();
  pair.network.drop = [&](const Packet& packet) { return packet.source.address == pair.b.ip; };
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(20ms);
  const auto request = pair.network.sent.front().payload;
  for (int i = 0; i < 100; ++i)
    pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, request});
  pair.b.drain();
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kDuplicatesAnswered), 8U);
}

// Whoever sees a request can have it arrive from any address: RFC 7296 2.11 sends the answer there, which may be many times as
// large. From where the request came first nothing is held back, or its sender could be kept out by copies.
TEST(Limits, AnAnswerIsRepeatedElsewhereOnlySoOften) {
  Pair pair;
  pair.up();
  const auto last =
      std::find_if(pair.network.sent.rbegin(), pair.network.sent.rend(), [&](const Packet& packet) {
        return packet.source.address == pair.a.ip && !packet.header().flags.response;
      });
  ASSERT_NE(last, pair.network.sent.rend());
  const Packet request = *last;
  const auto answers = [&](const Endpoint& source, int copies) {
    const auto before = pair.network.sent.size();
    for (int i = 0; i < copies; ++i)
      pair.b.engine.receive(pair.network.time(),
                            {request.destination, source, request.natt, request.payload});
    pair.b.drain();
    return pair.network.sent.size() - before;
  };
  EXPECT_EQ(answers({address("198.51.100.66"), 4500}, 100), 4U);
  EXPECT_EQ(answers({address("198.51.100.67"), 4500}, 100), 0U) << "whatever the address";
  EXPECT_EQ(answers(request.source, 100), 100U);
  EXPECT_EQ(pair.b.engine.counters().value(ike::RarePath::kNotAnsweredAgainElsewhere), 196U);
  pair.network.run_for(2s);
  EXPECT_EQ(answers({address("198.51.100.66"), 4500}, 100), 2U) << "a NAT that forgot would be answered";
}

// The whole request is kept until IKE_AUTH, for as many as there are places.
TEST(Limits, AHugeIkeSaInitIsNotKept) {
  Pair pair;
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  (void)pair.a.engine.drain();
  auto huge =
      value(wire::parse_message(pair.network.sent.front().payload).map_error([](auto e) { return e.error; }));
  wire::VendorIdPayload filler;
  filler.data.assign(60'000, 0);
  huge.payloads.emplace_back(filler);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    huge.header.initiator_spi = IkeSpi{i};
    pair.b.engine.receive(pair.network.time(),
                          {{pair.b.ip, 500}, {pair.a.ip, 500}, false, value(wire::encode_message(huge))});
    pair.b.drain();
  }
  EXPECT_EQ(pair.b.engine.half_open_count(), 0U);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kDropMemoryLimit), 5U);
  EXPECT_THAT(pair.b.events_of<ike::NegotiationFailed>().front()->failure.sentence,
              testing::HasSubstr("larger than 16 KiB"));
}

TEST(Limits, AFailedAuthenticationKeepsItsPlace) {
  EngineOptions options;
  options.half_open_limit_per_source = 2;
  Pair pair({}, options);
  pair.office_b.psk = "another secret of good length";
  pair.configure();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(pair.a.initiate("office", pair.b));
    pair.network.run_for(500ms);
  }
  EXPECT_EQ(pair.b.engine.half_open_count(), 2U);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kAuthenticationFailures), 2U);
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", ""));
  pair.a.drain();
  pair.network.run_for(16s);
  EXPECT_EQ(pair.b.engine.half_open_count(), 0U);
}

// An established peer that never deletes what it has rekeyed has one IKE SA too many, not any number.
TEST(Limits, OneRekeyAfterTheOther) {
  Pair pair;
  pair.up();
  pair.network.drop = [&](const Packet& packet) {
    const auto head = packet.header();
    return packet.source.address == pair.a.ip && !head.flags.response &&
           head.exchange_type == ExchangeType::kInformational;
  };
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
    pair.a.drain();
    pair.network.run_for(300ms);
  }
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kIkeSasRekeyed), 1U);
  EXPECT_EQ(pair.b.engine.ike_sa_count(), 2U);
  pair.network.drop = nullptr;
  pair.network.run_for(100s);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kIkeSasRekeyed), 2U);
  EXPECT_EQ(pair.b.engine.ike_sa_count(), 1U);
  expect_in_step(pair.a, pair.b, "net");
}

// RFC 7296 2.4: whichever SPI is larger, and however soon it comes back.
TEST(Limits, ARestartedPeerAlwaysReplacesItsOldIkeSa) {
  for (int i = 0; i < 8; ++i) {
    SCOPED_TRACE(i);
    Pair pair;
    pair.configure();
    // b began, so that the two point in different directions.
    ASSERT_TRUE(pair.b.initiate("office", pair.a));
    pair.network.run_for(2s);
    pair.a.alive = false;
    Host again(pair.network, "a again " + std::to_string(i), "192.0.2.1");
    again.configure({pair.office_a.connection}, credentials_of({pair.office_a}));
    ASSERT_TRUE(again.initiate("office", pair.b));
    pair.network.run_for(3s);
    EXPECT_EQ(pair.b.established().size(), 1U);
    EXPECT_EQ(again.established().size(), 1U);
    expect_in_step(again, pair.b, "net");
  }
}

// RFC 7296 2.8.1: our rekey is asked for while the peer's of the same Child SA waits for its key pair.
TEST(Limits, RekeysOfOneChildMeetDuringASlowKeyExchange) {
  for (const auto delay : {5ms, 15ms, 30ms, 60ms, 90ms, 120ms}) {
    SCOPED_TRACE(delay.count());
    Pair pair;
    for (auto* connection : {&pair.at_a(), &pair.at_b()})
      connection->children.front().proposals = {
          value(policy::parse_esp_proposal("aes256gcm16-x25519-noesn"))};
    pair.up();
    pair.network.slow_actions = 40ms;
    ASSERT_TRUE(pair.b.engine.rekey_child_sa(pair.network.time(), "office", "net"));
    pair.b.drain();
    pair.network.run_for(delay);
    ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
    pair.a.drain();
    pair.network.run_for(60s);
    EXPECT_EQ(pair.a.installed.size(), 1U);
    EXPECT_EQ(pair.b.installed.size(), 1U);
    expect_in_step(pair.a, pair.b, "net");
  }
}

}  // namespace
}  // namespace merlon::ikev2::test
