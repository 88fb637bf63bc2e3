// Handshakes in which something is wrong: what IKE_SA_INIT and IKE_AUTH say is changed on the way, by nobody in particular
// or by one who has the keys; private keys, SPIs and places run out.
#include <gmock/gmock.h>

#include "ikev2/engine_test_certificates.h"
#include "ikev2/engine_test_hostile.h"
#include "ikev2/phases.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;
using ike::RarePath;
using testing::HasSubstr;

std::uint64_t counted(const Host& host, Counter counter) {
  return host.engine.counters().value(counter);
}
std::uint64_t counted(const Host& host, RarePath path) {
  return host.engine.counters().value(path);
}

// A point that is not on the curve.
Bytes no_point() {
  return Bytes(64, 0x11);
}

template <class T>
void leave_out(std::vector<Payload>& payloads) {
  std::erase_if(payloads, [](const Payload& payload) { return std::holds_alternative<T>(payload); });
}

// What a test does to the messages of a handshake.
struct Handshake : Pair {
  using Change = std::function<void(wire::IkeHeader&, std::vector<Payload>&)>;
  Change init_request, init_response;  // of the first message of its kind only
  Change auth_request, auth_response;  // of all

  explicit Handshake(EngineOptions a_options = {}, EngineOptions b_options = {})
      : Pair(a_options, b_options) {
    a.engine.trace("office", false, true);
    network.tamper = [this](Packet packet) {
      const auto head = packet.header();
      if (head.exchange_type == ExchangeType::kIkeSaInit)
        change_init(packet, head.flags.response ? init_response : init_request);
      else if (head.exchange_type == ExchangeType::kIkeAuth)
        change_auth(packet, head.flags.response);
      return std::vector{packet};
    };
  }
  void ecp256() {
    for (auto* at : {&at_a(), &at_b()})
      at->ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-ecp256"))};
  }
  void go(Duration time = 20s) {
    configure();
    ASSERT_TRUE(a.initiate("office", b));
    network.run_for(time);
  }
  void expect_up() {
    ASSERT_EQ(a.established().size(), 1U);
    ASSERT_EQ(b.established().size(), 1U);
    expect_in_step(a, b, "net");
  }
  void expect_refused(const Host& by, std::string_view why) {
    EXPECT_TRUE(a.established().empty());
    EXPECT_TRUE(b.established().empty());
    ASSERT_GE(by.count<ike::NegotiationFailed>(), 1U);
    EXPECT_THAT(by.events_of<ike::NegotiationFailed>().front()->failure.sentence,
                HasSubstr(std::string(why)));
    network.run_for(60s);
    expect_clean();
  }

 private:
  static void change_init(Packet& packet, Change& change) {
    if (!change) return;
    auto message = *wire::parse_message(packet.payload);
    std::exchange(change, nullptr)(message.header, message.payloads);
    packet.payload = value(wire::encode_message(message));
  }
  void change_auth(Packet& packet, bool response) {
    auto& change = response ? auth_response : auth_request;
    if (!change) return;
    auto [as_a, as_b] = protections_traced_by(a);
    auto message = *wire::parse_message(packet.payload);
    auto opened = (response ? as_a : as_b).open(packet.payload, message);
    ASSERT_TRUE(opened);
    change(message.header, opened->payloads);
    packet.payload = value((response ? as_b : as_a).seal(message.header, opened->payloads, a.rng));
  }
};

// ---- IKE_SA_INIT: whatever anybody sends in clear, the true answer comes through (RFC 7296 2.4, 2.21.1)

TEST(ForgedInitAnswer, WithoutANonceItIsNone) {
  Handshake pair;
  pair.init_response = [](auto&, auto& payloads) { leave_out<wire::NoncePayload>(payloads); };
  pair.go();
  pair.expect_up();
  EXPECT_GE(counted(pair.a, Counter::kDropMalformed), 1U);
}

TEST(ForgedInitAnswer, AnotherMethodThanOursIsNone) {
  Handshake pair;
  for (auto* at : {&pair.at_a(), &pair.at_b()})
    at->ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-x25519-ecp256"))};
  pair.init_response = [](auto&, auto& payloads) {
    for (auto& payload : payloads) {
      if (auto* ke = std::get_if<wire::KePayload>(&payload)) *ke = {KeMethod::kEcp256, no_point(), false};
      if (auto* sa = std::get_if<wire::SaPayload>(&payload))
        for (auto& transform : sa->proposals.front().transforms)
          if (transform.type == TransformType::kKe)
            transform.id = static_cast<std::uint16_t>(KeMethod::kEcp256);
    }
  };
  pair.go();
  pair.expect_up();
  EXPECT_GE(counted(pair.a, Counter::kDropMalformed), 1U);
}

// The candidate comes to nothing, and is not the last word.
TEST(ForgedInitAnswer, APublicValueOffTheCurve) {
  Handshake pair;
  pair.ecp256();
  pair.init_response = [](auto&, auto& payloads) {
    for (auto& payload : payloads)
      if (auto* ke = std::get_if<wire::KePayload>(&payload)) ke->data = no_point();
  };
  pair.go();
  pair.expect_up();
  EXPECT_EQ(counted(pair.a, RarePath::kNoCandidateLeft), 1U);
}

TEST(ForgedInitAnswer, OnlySoManyAreFollowed) {
  Handshake pair;
  pair.a.slow_actions = 50ms;
  pair.network.tamper = [](Packet packet) {
    const auto head = packet.header();
    std::vector<Packet> made{packet};
    if (head.exchange_type == ExchangeType::kIkeSaInit && head.flags.response)
      for (std::uint8_t i = 1; i <= 8; ++i) {
        made.push_back(packet);
        made.back().payload[15] ^= i;  // of the responder's SPI
      }
    return made;
  };
  pair.go();
  pair.expect_up();
  EXPECT_EQ(counted(pair.a, Counter::kCandidatesKept), kMaxCandidates);
  EXPECT_GE(counted(pair.a, Counter::kCandidatesDiscarded), 5U);
}

// RFC 7296 2.6: a cookie that is not the one that was given counts for nothing; the right one is asked for again.
TEST(ForgedInitRequest, AWrongCookieIsRejected) {
  EngineOptions options;
  options.cookie_threshold = 0;
  Handshake pair({}, options);
  bool done = false;
  pair.network.tamper = [&](Packet packet) {
    const auto head = packet.header();
    if (head.exchange_type != ExchangeType::kIkeSaInit || head.flags.response || done)
      return std::vector{packet};
    auto message = *wire::parse_message(packet.payload);
    for (auto& payload : message.payloads)
      if (auto* notify = std::get_if<wire::NotifyPayload>(&payload);
          notify && notify->type == NotifyType::kCookie) {
        notify->data.back() ^= 1U;
        done = true;
      }
    packet.payload = value(wire::encode_message(message));
    return std::vector{packet};
  };
  pair.go();
  EXPECT_TRUE(done);
  EXPECT_GE(counted(pair.b, Counter::kCookiesRejected), 1U);
  pair.expect_up();
}

// RFC 7296 2.5: refused by name also where nothing is protected.
TEST(ForgedInitRequest, AnUnknownCriticalPayload) {
  Handshake pair;
  pair.init_request = [](auto&, auto& payloads) {
    payloads.push_back(wire::UnknownPayload{static_cast<wire::PayloadType>(200), {1, 2}, true});
  };
  std::optional<wire::NotifyPayload> refusal;
  pair.init_response = [&](auto&, auto& payloads) {
    if (const auto* found = wire::find_notify(payloads, NotifyType::kUnsupportedCriticalPayload))
      refusal = *found;
  };
  pair.go();
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->data, Bytes{200});
}

// RFC 6989 2: a public value that is checked and fails is used for nothing. Nobody is authenticated: nobody is told.
TEST(ForgedInitRequest, APublicValueOffTheCurve) {
  Handshake pair;
  pair.ecp256();
  pair.init_request = [](auto&, auto& payloads) {
    for (auto& payload : payloads)
      if (auto* ke = std::get_if<wire::KePayload>(&payload)) ke->data = no_point();
  };
  pair.go(3s);
  EXPECT_TRUE(pair.b.engine.status().empty());
  EXPECT_EQ(counted(pair.b, Counter::kDropMalformed), 1U);
  EXPECT_TRUE(pair.a.established().empty());
}

TEST(NoPlaceLeft, ForAnyIkeSa) {
  EngineOptions options;
  options.ike_sa_limit = 0;
  Handshake pair({}, options);
  pair.go(5s);
  EXPECT_GE(counted(pair.b, Counter::kDropIkeSaLimit), 1U);
  EXPECT_TRUE(pair.b.engine.status().empty());
}
TEST(NoPlaceLeft, ForAHalfOpenOne) {
  EngineOptions options;
  options.half_open_limit = 0;
  Handshake pair({}, options);
  pair.go(5s);
  EXPECT_GE(counted(pair.b, Counter::kDropHalfOpenTotal), 1U);
  EXPECT_TRUE(pair.b.engine.status().empty());
}

TEST(NobodyIsExpected, FromThisAddress) {
  Handshake pair;
  pair.at_b().remote_addresses = {"203.0.113.77"};
  pair.go(60s);
  EXPECT_GE(counted(pair.b, Counter::kDropNoConnection), 1U);
  pair.expect_refused(pair.b, "192.0.2.1");
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.notify_type,
            static_cast<std::uint16_t>(NotifyType::kNoProposalChosen));
}

// ---- IKE_AUTH requests

TEST(BrokenAuthRequest, WithoutAnIdentity) {
  Handshake pair;
  pair.auth_request = [](auto&, auto& payloads) { leave_out<wire::IdiPayload>(payloads); };
  pair.go();
  pair.expect_refused(pair.b, "lacks IDi");
}

// RFC 7296 2.16: then it is EAP that is wanted.
TEST(BrokenAuthRequest, WithoutAuth) {
  Handshake pair;
  pair.auth_request = [](auto&, auto& payloads) { leave_out<wire::AuthPayload>(payloads); };
  pair.go();
  pair.expect_refused(pair.b, "EAP");
}

// RFC 7296 2.21.2: the IKE SA stands without the Child SA.
TEST(BrokenAuthRequest, WithHalfOfAChild) {
  Handshake pair;
  pair.auth_request = [](auto&, auto& payloads) { leave_out<wire::TsiPayload>(payloads); };
  pair.go(2s);
  ASSERT_EQ(pair.a.established().size(), 1U);
  ASSERT_EQ(pair.b.established().size(), 1U);
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_TRUE(pair.b.installed.empty());
  EXPECT_EQ(pair.a.spis.held() + pair.b.spis.held(), 0U);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
}

// RFC 7296 3.1: an answer to a request that nobody made.
TEST(BrokenAuthRequest, ThatSaysItIsAResponse) {
  Handshake pair;
  bool once = false;
  pair.network.tamper = [&](Packet packet) {
    if (packet.header().exchange_type == ExchangeType::kIkeAuth && !std::exchange(once, true))
      packet.payload[19] |= 0x20U;
    return std::vector{packet};
  };
  pair.go();
  EXPECT_EQ(counted(pair.b, Counter::kDropWrongPhase), 1U);
  pair.expect_up();
}

TEST(BrokenAuthRequest, OnlySoManyWaitForTheKeys) {
  Handshake pair;
  pair.b.slow_actions = 300ms;
  pair.network.tamper = [](Packet packet) {
    const bool request =
        packet.header().exchange_type == ExchangeType::kIkeAuth && !packet.header().flags.response;
    return std::vector<Packet>(request ? 200 : 1, packet);
  };
  pair.go();
  EXPECT_GE(counted(pair.b, Counter::kDropWindow), 100U);
  pair.expect_up();
}
TEST(BrokenAuthRequest, NoMemoryToWaitIn) {
  EngineOptions options;
  options.memory_limit = 100;
  Handshake pair({}, options);
  pair.b.slow_actions = 300ms;
  pair.go(2s);
  EXPECT_GE(counted(pair.b, Counter::kDropMemoryLimit), 1U);
  EXPECT_TRUE(pair.b.established().empty());
}

// ---- IKE_AUTH responses

TEST(BrokenAuthResponse, OfAnotherExchange) {
  Handshake pair;
  pair.auth_response = [](auto& head, auto&) { head.exchange_type = ExchangeType::kCreateChildSa; };
  pair.go(2s);
  EXPECT_TRUE(pair.a.engine.status().empty());
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_THAT(pair.a.events_of<ike::NegotiationFailed>().front()->failure.sentence,
              HasSubstr("another exchange"));
  EXPECT_EQ(pair.a.spis.held(), 0U);
}

// RFC 7296 2.9: selectors wider than ours are no answer; the responder, who has it already, is told that it is gone.
TEST(BrokenAuthResponse, AChildThatWasNotAskedFor) {
  Handshake pair;
  pair.auth_response = [](auto&, auto& payloads) {
    for (auto& payload : payloads)
      if (auto* ts = std::get_if<wire::TsrPayload>(&payload))
        ts->selectors = value(policy::parse_traffic_selectors("0.0.0.0/0"));
  };
  pair.go(5s);
  ASSERT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_TRUE(pair.b.installed.empty()) << "it was never deleted";
  EXPECT_EQ(pair.a.spis.held() + pair.b.spis.held(), 0U);
}

// RFC 7296 2.4: the first that answers is not who it should be, and that decides nothing as long as another one may be.
TEST(BrokenAuthResponse, OfTheFirstOfTwo) {
  Handshake pair;
  Host impostor(pair.network, "impostor", "198.51.100.1");
  pair.network.hosts[pair.b.ip] = &pair.b;
  auto his = office("b.example.com", "a.example.com", "10.2.0.0/16", "10.1.0.0/16", "192.0.2.1");
  auto credentials = credentials_of({his});
  credentials->by_connection["office"].local_psk = Secret::copy_of(as_bytes("no idea"));
  impostor.configure({his.connection}, credentials);
  pair.b.slow_actions = 5ms;
  pair.network.tamper = [&](Packet packet) {
    if (packet.destination.address == pair.b.ip)
      pair.network.later(5ms, [&, packet] {
        impostor.engine.receive(pair.network.time(),
                                {packet.destination, packet.source, packet.natt, packet.payload});
        impostor.drain();
      });
    return std::vector{packet};
  };
  pair.go();
  pair.expect_up();
  EXPECT_GE(counted(pair.a, RarePath::kSecondCandidate), 1U);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 0U);
}

// ---- what this side lacks

TEST(ThisSideCannot, SignAsInitiator) {
  CertificatePair pair;
  const auto a_key = key_of("ed25519/a"), b_key = key_of("ed25519/b");
  pair.configure(a_key, pair.authority.issue(a_key, "a.example.com"), b_key,
                 pair.authority.issue(b_key, "b.example.com"));
  pair.a.spoil = [](ike::Answer& answer) {
    if (auto* done = std::get_if<ike::SignDone>(&answer))
      done->signature = fail(ErrorCode::kSystem, "the token was pulled out");
    return true;
  };
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(60s);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  const auto& failure = pair.a.events_of<ike::NegotiationFailed>().front()->failure;
  EXPECT_EQ(failure.side, ike::FailureSide::kLocal);
  EXPECT_THAT(failure.sentence, HasSubstr("the token was pulled out"));
  pair.expect_clean();
}

TEST(ThisSideCannot, SignAsResponder) {
  CertificatePair pair;
  const auto a_key = key_of("ed25519/a"), b_key = key_of("ed25519/b");
  pair.configure(a_key, pair.authority.issue(a_key, "a.example.com"), b_key,
                 pair.authority.issue(b_key, "b.example.com"));
  pair.b.spoil = [](ike::Answer& answer) {
    if (auto* done = std::get_if<ike::SignDone>(&answer))
      done->signature = fail(ErrorCode::kSystem, "the token was pulled out");
    return true;
  };
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(60s);
  ASSERT_EQ(pair.b.count<ike::NegotiationFailed>(), 1U);
  EXPECT_THAT(pair.b.events_of<ike::NegotiationFailed>().front()->failure.sentence,
              HasSubstr("the token was pulled out"));
  // RFC 7296 2.21.2
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.notify_type,
            static_cast<std::uint16_t>(NotifyType::kAuthenticationFailed));
  pair.expect_clean();
}

TEST(ThisSideCannot, ProveItselfAsResponderWithoutAKey) {
  CertificatePair pair;
  const auto a_key = key_of("ed25519/a"), b_key = key_of("ed25519/b");
  pair.configure(a_key, pair.authority.issue(a_key, "a.example.com"), b_key,
                 pair.authority.issue(b_key, "b.example.com"));
  auto without = pair.at(b_key, pair.authority.issue(b_key, "b.example.com"));
  without->by_connection["office"].private_key = nullptr;
  pair.b.configure({pair.office_b.connection}, without);
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(60s);
  ASSERT_EQ(pair.b.count<ike::NegotiationFailed>(), 1U);
  EXPECT_THAT(pair.b.events_of<ike::NegotiationFailed>().front()->failure.sentence,
              HasSubstr("no private key"));
  pair.expect_clean();
}

// A token that never answers: the place is free again.
TEST(ThisSideCannot, WaitForeverForASignature) {
  CertificatePair pair;
  const auto a_key = key_of("ed25519/a"), b_key = key_of("ed25519/b");
  pair.configure(a_key, pair.authority.issue(a_key, "a.example.com"), b_key,
                 pair.authority.issue(b_key, "b.example.com"));
  pair.b.spoil = [](ike::Answer& answer) { return std::holds_alternative<ike::KeyExchangeDone>(answer); };
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(20s);
  ASSERT_EQ(pair.b.engine.status().size(), 1U);
  EXPECT_EQ(pair.b.engine.status().front().phase, "proving");
  pair.network.run_for(100s);
  pair.expect_clean();
}

TEST(ThisSideCannot, MakeAKeyPair) {
  for (const bool initiator : {true, false}) {
    Pair pair;
    pair.configure();
    (initiator ? pair.a : pair.b).spoil = [](ike::Answer& answer) {
      if (auto* done = std::get_if<ike::KeyExchangeDone>(&answer)) done->exchange = nullptr;
      return true;
    };
    ASSERT_TRUE(pair.a.initiate("office", pair.b));
    pair.network.run_for(10min);
    EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
    pair.expect_clean();
  }
}

// ---- no SPI for the Child SA

TEST(NoSpi, ForTheInitiatorsFirstChild) {
  Pair pair;
  pair.configure();
  pair.a.spis.room = 0;
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(60s);
  EXPECT_EQ(counted(pair.a, RarePath::kNoSpiLeft), 1U);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_THAT(pair.a.events_of<ike::NegotiationFailed>().front()->failure.sentence,
              HasSubstr("no SPI is left"));
  pair.expect_clean();
}

// RFC 7296 1.2, 2.21.2: the IKE SA stands.
TEST(NoSpi, ForTheRespondersFirstChild) {
  Pair pair;
  pair.configure();
  pair.b.spis.room = 0;
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(2s);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(pair.b.established().size(), 1U);
  EXPECT_EQ(counted(pair.b, RarePath::kNoSpiLeft), 1U);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.notify_type,
            static_cast<std::uint16_t>(NotifyType::kNoAdditionalSas));
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_EQ(pair.a.spis.held(), 0U);
}

// ---- which connection it is (RFC 4301 4.4.3)

TEST(WhoItIs, ByAPatternOfDistinguishedNames) {
  for (const bool fits : {true, false}) {
    Handshake pair;
    const auto name = value(pki::dn_from_text("CN=a,O=Example"));
    pair.at_a().local_auth.front().id = {IdType::kDerAsn1Dn, name};
    auto& remote = pair.at_b().remote_auth.front();
    remote.id.reset();
    remote.id_pattern = remote.id_text = fits ? "CN=*,O=Example" : "CN=*,O=Another";
    pair.go();
    if (fits)
      pair.expect_up();
    else
      pair.expect_refused(pair.b, "O=Another");
  }
}

// RFC 7296 2.7: IKE_SA_INIT was answered before it was known who asks; who it is may not have these algorithms.
TEST(WhoItIs, WithAlgorithmsOfAnother) {
  Handshake pair;
  auto another =
      office("b.example.com", "z.example.com", "10.2.0.0/16", "10.9.0.0/16", "192.0.2.1", "another");
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes128-sha256-x25519"))};
  pair.a.configure({pair.office_a.connection}, credentials_of({pair.office_a}));
  pair.b.configure({pair.office_b.connection, another.connection}, credentials_of({pair.office_b, another}));
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(20s);
  EXPECT_TRUE(pair.b.established().empty());
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.notify_type,
            static_cast<std::uint16_t>(NotifyType::kNoProposalChosen));
}

}  // namespace
}  // namespace merlon::ikev2::test
