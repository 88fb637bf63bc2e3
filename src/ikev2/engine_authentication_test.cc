// Certificates and raw public keys, between two engines; and what one IKE SA costs.
#include <gmock/gmock.h>
#include <malloc.h>

#include "ikev2/engine_test_certificates.h"

namespace merlon::ikev2::test {
namespace {

using ike::FailureKind;
using testing::HasSubstr;

class Certificates : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Certificates,
                         testing::Values("rsa-2048", "ecdsa-p256", "ecdsa-p384", "ed25519", "ed448"),
                         [](const auto& kind) {
                           auto name = kind.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(Certificates, ComeUp) {
  CertificatePair pair;
  const auto a_key = key_of(GetParam() + "/a"), b_key = key_of(GetParam() + "/b");
  pair.network.slow_actions = 3ms;
  pair.configure(a_key, pair.authority.issue(a_key, "a.example.com"), b_key,
                 pair.authority.issue(b_key, "b.example.com"));
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(3s);
  ASSERT_EQ(pair.a.established().size(), 1U);
  expect_in_step(pair.a, pair.b, "net");
  EXPECT_THAT(pair.a.events_of<ike::IkeSaEstablished>().front()->remote_auth, HasSubstr("b.example.com"));
}

TEST(CertificateFailures, AnExpiredOneIsRefusedWhicheverSideBegan) {
  for (const bool initiator_expired : {true, false}) {
    CertificatePair pair;
    const auto a_key = key_of("ed25519/a"), b_key = key_of("ed25519/b");
    pair.configure(a_key, pair.authority.issue(a_key, "a.example.com", initiator_expired ? -1 : 50), b_key,
                   pair.authority.issue(b_key, "b.example.com", initiator_expired ? 50 : -1));
    ASSERT_TRUE(pair.a.initiate("office", pair.b));
    pair.network.run_for(60s);
    const auto& judge = initiator_expired ? pair.b : pair.a;
    ASSERT_EQ(judge.count<ike::NegotiationFailed>(), 1U);
    const auto& failure = judge.events_of<ike::NegotiationFailed>().front()->failure;
    EXPECT_EQ(failure.kind, FailureKind::kCertificate);
    EXPECT_THAT(failure.sentence, HasSubstr("expired"));
    pair.expect_clean();
  }
}

TEST(CertificateFailures, AnotherNameIsRefused) {
  CertificatePair pair;
  const auto a_key = key_of("ed25519/a"), b_key = key_of("ed25519/b");
  pair.configure(a_key, pair.authority.issue(a_key, "eve.example.com"), b_key,
                 pair.authority.issue(b_key, "b.example.com"));
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(60s);
  ASSERT_EQ(pair.b.count<ike::NegotiationFailed>(), 1U);
  EXPECT_THAT(pair.b.events_of<ike::NegotiationFailed>().front()->failure.sentence,
              HasSubstr("eve.example.com"));
  pair.expect_clean();
}

TEST(RawPublicKeys, ComeUp) {
  Pair pair;
  const auto a_key = key_of("ed25519/a"), b_key = key_of("ed25519/b");
  const auto credentials = [](const Key& own, const Key& peers) {
    auto made = std::make_shared<ike::Credentials>();
    made->by_connection["office"].private_key = own;
    made->by_connection["office"].public_keys = {peers->public_key()};
    return made;
  };
  for (auto* connection : {&pair.at_a(), &pair.at_b()}) {
    connection->local_auth.front().kind = policy::AuthKind::kRawPublicKey;
    connection->remote_auth.front().kind = policy::AuthKind::kRawPublicKey;
  }
  pair.a.configure({pair.office_a.connection}, credentials(a_key, b_key));
  pair.b.configure({pair.office_b.connection}, credentials(b_key, a_key));
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(3s);
  ASSERT_EQ(pair.a.established().size(), 1U);
  expect_in_step(pair.a, pair.b, "net");
}

// The memory of an established IKE SA with one child: 8 KB are the target.
TEST(Memory, OfAnEstablishedIkeSa) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator counts otherwise";
#endif
  constexpr int kCount = 400;
  EngineOptions options;
  options.half_open_limit_per_source = 10000;
  options.cookie_threshold = 10000;
  Network network;
  Host a(network, "a", "192.0.2.1", options), b(network, "b", "198.51.100.1", options);
  std::vector<Office> at_a, at_b;
  std::vector<policy::ConnectionPtr> connections_a, connections_b;
  for (int i = 0; i < kCount; ++i) {
    const auto id_a = fmt::format("a{}.example.com", i), id_b = fmt::format("b{}.example.com", i),
               name = fmt::format("office{}", i);
    at_a.push_back(office(id_a, id_b, "10.1.0.0/16", "10.2.0.0/16", "198.51.100.1", name));
    at_b.push_back(office(id_b, id_a, "10.2.0.0/16", "10.1.0.0/16", "192.0.2.1", name));
    connections_a.push_back(at_a.back().connection);
    connections_b.push_back(at_b.back().connection);
  }
  a.configure(connections_a, credentials_of(at_a));
  b.configure(connections_b, credentials_of(at_b));
  const auto before = mallinfo2().uordblks;
  for (const auto& one : at_a) {
    ASSERT_TRUE(a.initiate(one.connection->name, b));
    network.run_for(100ms);
    network.sent = {};
  }
  for (auto* host : {&a, &b}) host->events = std::vector<ike::Event>();
  (void)a.engine.drain();
  (void)b.engine.drain();
  const auto after = mallinfo2().uordblks;
  ASSERT_EQ(a.established().size(), static_cast<std::size_t>(kCount));
  const auto each = (after - before) / (2 * kCount);
  std::printf("%zu bytes an IKE SA with its Child SA, the stand-in for the packet engine included\n", each);
  EXPECT_LE(each, 8192U);
}

}  // namespace
}  // namespace merlon::ikev2::test
