// An IKE SA does not outlive what its peer proved itself with.
#include <gmock/gmock.h>

#include "ikev2/engine_test_certificates.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;
using ike::FailureKind;
using testing::HasSubstr;

struct Validity : testing::Test {
  CertificatePair pair;
  Key a_key = key_of("ed25519/a"), b_key = key_of("ed25519/b");
  std::string serial_of_a;

  void up(int a_days, int b_days) {
    for (auto* connection : {&pair.at_a(), &pair.at_b()}) {
      connection->ike_lifetime = {};
      connection->children.front().lifetime = {};
    }
    auto leaf = leaf_a(a_days);
    serial_of_a = leaf.serial_hex();
    pair.configure(a_key, std::move(leaf), b_key, leaf_b(b_days));
    ASSERT_TRUE(pair.a.initiate("office", pair.b));
    pair.network.run_for(3s);
    ASSERT_EQ(pair.a.established().size(), 1U);
  }
  pki::Certificate leaf_a(int days) { return pair.authority.issue(a_key, "a.example.com", days); }
  pki::Certificate leaf_b(int days) { return pair.authority.issue(b_key, "b.example.com", days); }
  static const ike::Failure* closed_for(const Host& host, FailureKind kind) {
    for (const auto* event : host.events_of<ike::IkeSaClosed>())
      if (event->reason.kind == kind) return &event->reason;
    return nullptr;
  }
};

TEST_F(Validity, TheIkeSaEndsWithTheCertificateOfWhoBegan) {
  up(2, 50);
  pair.network.run_for(48h - 1min);
  EXPECT_EQ(pair.b.established().size(), 1U);
  pair.network.run_for(2min);
  pair.expect_clean();
  const auto* why = closed_for(pair.b, FailureKind::kCertificate);
  ASSERT_NE(why, nullptr);
  EXPECT_THAT(why->sentence, HasSubstr("a.example.com"));
  EXPECT_THAT(why->sentence, HasSubstr("2026-10-06"));
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kPeerCertificatesEnded), 1U);
  EXPECT_NE(closed_for(pair.a, FailureKind::kDeletedByPeer), nullptr);
}

TEST_F(Validity, AnUnrenewedResponderIsAskedOnceMoreAndThenEnds) {
  up(50, 2);
  pair.network.run_for(48h - 5min);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kReauthentications), 1U);
  EXPECT_EQ(pair.a.established().size(), 1U);
  expect_in_step(pair.a, pair.b, "net");
  pair.network.run_for(6min);
  pair.expect_clean();
  EXPECT_NE(closed_for(pair.a, FailureKind::kCertificate), nullptr);
}

TEST_F(Validity, ARenewedResponderIsNotCutOff) {
  up(50, 2);
  pair.network.run_for(24h);
  pair.b.configure({pair.office_b.connection}, pair.at(b_key, leaf_b(40)));
  pair.network.run_for(48h);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kReauthentications), 1U);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(pair.a.installed.size(), 1U);
  expect_in_step(pair.a, pair.b, "net");
  EXPECT_EQ(closed_for(pair.a, FailureKind::kCertificate), nullptr);
}

// A rekey of the IKE SA proves nothing anew.
TEST_F(Validity, ARekeyDoesNotProlongIt) {
  up(2, 50);
  pair.network.run_for(1h);
  ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
  pair.a.drain();
  pair.network.run_for(48h);
  pair.expect_clean();
  EXPECT_NE(closed_for(pair.b, FailureKind::kCertificate), nullptr);
}

// Nanoseconds count 292 years.
TEST_F(Validity, ADateThousandsOfYearsAheadIsNoOverflow) {
  pair.authority.root = value(pki::make_root(
      *pair.authority.key, Authority::spec("CN=Example CA", {}, 2'900'000), pair.authority.rng));
  up(2'800'000, 2'800'000);
  pair.network.run_for(72h);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(pair.b.established().size(), 1U);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kReauthentications), 0U);
}

TEST_F(Validity, AReloadWithACrlEndsWhatIsRevoked) {
  up(50, 50);
  const auto revoked = [&](const std::string& serial) {
    auto made = pair.at(b_key, leaf_b(50));
    made->by_connection["office"].trust = pair.authority.trust(
        {{value(from_hex(serial)), kToday - std::chrono::hours{1}, pki::RevocationReason::kKeyCompromise}});
    return made;
  };
  // Another one's.
  pair.b.configure({pair.office_b.connection}, revoked("0102030405060708"));
  pair.network.run_for(10s);
  EXPECT_EQ(pair.b.established().size(), 1U);
  // The rekeyed IKE SA knows the chain, too.
  ASSERT_TRUE(pair.b.engine.rekey_ike_sa(pair.network.time(), "office"));
  pair.b.drain();
  pair.network.run_for(10s);
  pair.b.configure({pair.office_b.connection}, revoked(serial_of_a));
  pair.network.run_for(10s);
  const auto* why = closed_for(pair.b, FailureKind::kCertificate);
  ASSERT_NE(why, nullptr);
  EXPECT_THAT(why->sentence, HasSubstr("revoked"));
  EXPECT_THAT(why->sentence, HasSubstr("not accepted any more"));
  pair.network.run_for(20s);
  pair.expect_clean();
}

TEST_F(Validity, AReloadWithoutTheCaEndsIt) {
  up(50, 50);
  auto made = pair.at(b_key, leaf_b(50));
  made->by_connection["office"].trust = std::make_shared<const pki::TrustStore>();
  pair.b.configure({pair.office_b.connection}, made);
  pair.network.run_for(30s);
  pair.expect_clean();
  EXPECT_NE(closed_for(pair.b, FailureKind::kCertificate), nullptr);
}

// A CRL that is missing or old closes nothing that stands.
TEST_F(Validity, AReloadWithoutTheCrlEndsNothing) {
  pair.at_a().remote_auth.front().revocation = policy::RemoteAuth::Revocation::kRequired;
  pair.at_b().remote_auth.front().revocation = policy::RemoteAuth::Revocation::kRequired;
  const auto with_crl = [&](const Key& key, pki::Certificate leaf) {
    auto made = pair.at(key, std::move(leaf));
    made->by_connection["office"].trust = pair.authority.trust(
        {{{1, 2, 3}, kToday - std::chrono::hours{1}, pki::RevocationReason::kKeyCompromise}});
    return made;
  };
  pair.configure(a_key, leaf_a(50), b_key, leaf_b(50));
  pair.a.configure({pair.office_a.connection}, with_crl(a_key, leaf_a(50)));
  pair.b.configure({pair.office_b.connection}, with_crl(b_key, leaf_b(50)));
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(3s);
  ASSERT_EQ(pair.b.established().size(), 1U);
  pair.b.configure({pair.office_b.connection}, pair.at(b_key, leaf_b(50)));
  pair.network.run_for(30s);
  EXPECT_EQ(pair.b.established().size(), 1U);
  EXPECT_EQ(pair.b.count<ike::IkeSaClosed>(), 0U);
}

// RFC 7296 2.8.3: a new IKE SA has every Child SA of the one that it replaces.
TEST_F(Validity, EveryChildIsOnTheNewOne) {
  for (auto* at : {&pair.at_a(), &pair.at_b()}) {
    auto second = at->children.front();
    second.name = "second";
    (at == &pair.at_a() ? second.local_ts : second.remote_ts) =
        value(policy::parse_traffic_selectors("10.3.0.0/16"));
    at->children.push_back(second);
  }
  up(50, 2);
  pair.network.run_for(48h - 5min);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kReauthentications), 1U);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(pair.a.installed.size(), 2U);
  for (const auto* child : {"net", "second"}) expect_in_step(pair.a, pair.b, child);
}

// The certificate ends while the old IKE SA waits to be deleted: that is for its heir to tell, once.
TEST_F(Validity, EndsForTheHeirAlone) {
  up(2, 50);
  pair.network.run_for(48h - 8s);
  pair.network.drop = [&](const auto& packet) {
    const auto head = packet.header();
    return packet.source.address == pair.a.ip && !head.flags.response &&
           head.exchange_type == wire::ExchangeType::kInformational;
  };
  ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
  pair.a.drain();
  pair.network.run_for(20s);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kIkeSasRekeyed), 1U);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kPeerCertificatesEnded), 1U);
  pair.network.run_for(5min);
  pair.expect_clean();
}

}  // namespace
}  // namespace merlon::ikev2::test
