// Every error notification that IANA lists up to 48 (RFC 7296 3.10.1 and the RFCs since): which situation makes us send
// it, or why we never do. That each is understood, with a sentence of its own, is ike/diagnosis_test.cc's to show.
#include <gmock/gmock.h>

#include "ikev2/engine_test_hostile.h"
#include "policy/proposal_select.h"

namespace merlon::ikev2::test {
namespace {

using Situation = std::function<std::uint64_t(NotifyType)>;  // how often it was sent in it

std::uint64_t sent(const Host& host, NotifyType type) {
  return host.engine.counters().notifies_sent(static_cast<std::uint16_t>(type));
}
void hear(Pair& pair, const Bytes& datagram) {
  pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, datagram});
  pair.b.drain();
}

// Two offices, set up so that they do not come up in full.
Situation offices(std::function<void(Pair&)> prepare) {
  return [prepare = std::move(prepare)](NotifyType type) {
    Pair pair;
    prepare(pair);
    pair.configure();
    EXPECT_TRUE(pair.a.initiate("office", pair.b));
    pair.network.run_for(2s);
    return sent(pair.b, type);
  };
}
Situation in_clear(std::function<wire::IkeHeader()> make) {
  return [make = std::move(make)](NotifyType type) {
    Pair pair;
    pair.configure();
    auto header = make();
    ByteWriter out;
    header.length = wire::kIkeHeaderSize;
    header.encode(out);
    hear(pair, to_bytes(out.view()));
    return sent(pair.b, type);
  };
}
Situation hostile(std::function<void(Hostile&)> act) {
  return [act = std::move(act)](NotifyType type) {
    Hostile pair;
    act(pair);
    pair.network.run_for(1s);
    return sent(pair.b, type);
  };
}

std::vector<Payload> child_request(const Hostile& pair, std::optional<Spi> rekeys) {
  const auto& child = *pair.a.outbound("net")->sa;
  wire::Proposal spi;
  spi.set_spi(Spi{0x1000});
  std::vector<Payload> request{
      wire::SaPayload{policy::esp_offer(pair.office_a.connection->children.front().proposals, spi.spi, true),
                      false},
      wire::NoncePayload{Bytes(32, 1), false}, wire::TsiPayload{child.local_ts, {}, false},
      wire::TsrPayload{child.remote_ts, {}, false}};
  if (rekeys) request.insert(request.begin(), wire::make_rekey_sa({SecurityProtocol::kEsp, *rekeys}));
  return request;
}

wire::IkeHeader stray(std::uint8_t major) {
  wire::IkeHeader header;
  header.initiator_spi = IkeSpi{1};
  header.responder_spi = IkeSpi{2};
  header.major = major;
  header.flags.initiator = true;
  header.exchange_type = ExchangeType::kInformational;
  return header;
}

struct Row {
  NotifyType type;
  Situation situation;     // empty: never sent
  std::string_view never;  // why
};

std::vector<Row> rows() {
  using enum NotifyType;
  return {
      {kUnsupportedCriticalPayload,
       hostile([](Hostile& pair) {
         (void)pair.ask(ExchangeType::kInformational,
                        {wire::UnknownPayload{static_cast<wire::PayloadType>(200), {1}, true}});
       }),
       {}},
      {kInvalidIkeSpi, in_clear([] { return stray(2); }), {}},
      {kInvalidMajorVersion, in_clear([] { return stray(3); }), {}},
      {kInvalidSyntax,
       hostile([](Hostile& pair) {
         (void)pair.ask_encoded(ExchangeType::kInformational, {wire::PayloadType::kDelete, {0, 0, 0, 3, 1}});
       }),
       {}},
      {kInvalidMessageId,
       hostile([](Hostile& pair) {
         pair.next_id = 9;
         (void)pair.ask(ExchangeType::kInformational, {});
       }),
       {}},
      {kInvalidSpi,
       hostile([](Hostile& pair) {
         pair.b.engine.unknown_spi(pair.network.time(), {pair.a.ip, 0}, false, Spi{0x4711});
         pair.b.drain();
       }),
       {}},
      {kNoProposalChosen,
       offices([](Pair& pair) {
         pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes128-sha256-x25519"))};
       }),
       {}},
      {kInvalidKePayload,
       hostile([](Hostile& pair) {
         // Counted with the cookies where it is sent in clear; here inside CREATE_CHILD_SA.
         wire::Proposal spi;
         spi.set_spi(IkeSpi{77});
         const policy::Proposals offer{
             value(policy::parse_ike_proposal("aes256gcm16-prfsha256-ecp256-x25519"))};
         (void)pair.ask(ExchangeType::kCreateChildSa,
                        {wire::SaPayload{policy::ike_offer(offer, spi.spi), false},
                         wire::NoncePayload{Bytes(32, 1), false},
                         wire::KePayload{KeMethod::kEcp256, Bytes(64, 1), false}});
       }),
       {}},
      {kAuthenticationFailed,
       offices([](Pair& pair) { pair.office_b.psk = "another secret of good length"; }),
       {}},
      {kSinglePairRequired, {}, "we have no policy that wants an SA for each pair of addresses"},
      {kNoAdditionalSas,
       hostile([](Hostile& pair) {
         for (int i = 0; i < 60; ++i) (void)pair.ask(ExchangeType::kCreateChildSa, child_request(pair, {}));
       }),
       {}},
      {kInternalAddressFailure, {}, "we assign no addresses, and ignore a request for one (RFC 7296 3.15.4)"},
      {kFailedCpRequired, {}, "no configuration of ours demands that a peer asks for an address"},
      {kTsUnacceptable,
       offices([](Pair& pair) {
         pair.at_b().children.front().local_ts = value(policy::parse_traffic_selectors("10.99.0.0/16"));
       }),
       {}},
      {kInvalidSelectors,
       hostile([](Hostile& pair) {
         pair.b.engine.selectors_violated(pair.network.time(), pair.b.outbound("net")->sa->id, {});
         pair.b.drain();
       }),
       {}},
      {kUnacceptableAddresses, {}, "MOBIKE (RFC 4555), which we do not announce"},
      {kUnexpectedNatDetected, {}, "MOBIKE (RFC 4555), which we do not announce"},
      {kUseAssignedHoa, {}, "Mobile IPv6 home agents (RFC 5026)"},
      {kTemporaryFailure,
       hostile([](Hostile& pair) {
         pair.network.drop = [](const Packet&) { return true; };
         EXPECT_TRUE(pair.b.engine.rekey_ike_sa(pair.network.time(), "office"));
         pair.b.drain();
         (void)pair.ask(ExchangeType::kCreateChildSa, child_request(pair, {}));
       }),
       {}},
      {kChildSaNotFound,
       hostile([](Hostile& pair) {
         (void)pair.ask(ExchangeType::kCreateChildSa, child_request(pair, Spi{0x9999}));
       }),
       {}},
      {kInvalidGroupId, {}, "group members register with group controllers (RFC 9838)"},
      {kAuthorizationFailed, {}, "group controllers (RFC 9838)"},
      {kStateNotFound, {}, "IKE_FOLLOWUP_KE (RFC 9370), which we do not announce"},
      {kTsMaxQueue,
       offices([](Pair& pair) {  // RFC 9611 4
         pair.at_a().children.front().parallel = 3;
         pair.at_b().children.front().parallel = 2;
       }),
       {}},
  };
}

TEST(ErrorNotifications, EachIsSentWhereItBelongsOrNeverForAReason) {
  for (const auto& row : rows()) {
    SCOPED_TRACE(wire::name(row.type));
    if (row.situation)
      EXPECT_GE(row.situation(row.type), 1U);
    else
      EXPECT_FALSE(row.never.empty());
  }
}

TEST(ErrorNotifications, TheTableHoldsAllThatIanaNamesUpTo48) {
  const auto all = rows();
  for (std::uint16_t number = 0; number <= 48; ++number) {
    const auto type = static_cast<NotifyType>(number);
    const bool named = !wire::name(type).starts_with("ERROR(");
    const auto listed =
        std::count_if(all.begin(), all.end(), [&](const Row& row) { return row.type == type; });
    EXPECT_EQ(listed, named ? 1 : 0) << wire::name(type);
  }
}

}  // namespace
}  // namespace merlon::ikev2::test
