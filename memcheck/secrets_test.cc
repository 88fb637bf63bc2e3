// Secrets that steer a branch or an address tell themselves through time and caches. Here every secret is marked as undefined
// memory, so valgrind's memcheck reports each branch and each address that depends on one; a test is red when it reported
// anything. What is public by then is marked as defined: what goes over the wire, and whether two values were equal
// (base/bytes.cc does that, compiled with MERLON_MEMCHECK).
//
// AEADs by OpenSSL are left out: it compares their ICV in constant time itself, and branches on the outcome.
#include <gtest/gtest.h>
#include <valgrind/memcheck.h>

#include <cstring>

#include "crypto/integrity.h"
#include "esp/test_peers.h"
#include "ikev2/authentication.h"
#include "ikev2/cookie.h"
#include "ikev2/test_support.h"
#include "wire/esp.h"

namespace merlon {
namespace {

void poison(ByteView secret) {
  VALGRIND_MAKE_MEM_UNDEFINED(secret.data(), secret.size());
}
void publish(ByteView bytes) {
  VALGRIND_MAKE_MEM_DEFINED(bytes.data(), bytes.size());
}
bool published(bool value) {
  VALGRIND_MAKE_MEM_DEFINED(&value, sizeof value);
  return value;
}

class PoisonedSecrets : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(RUNNING_ON_VALGRIND) << "run it as: valgrind secrets_memcheck";
    before_ = VALGRIND_COUNT_ERRORS;
  }
  void TearDown() override {
    const bool counts = RUNNING_ON_VALGRIND && !expects_errors_;
    EXPECT_EQ(counts ? errors() : 0U, 0U) << "a secret steered a branch or an address";
  }
  [[nodiscard]] unsigned long errors() const { return VALGRIND_COUNT_ERRORS - before_; }
  bool expects_errors_ = false;

 private:
  unsigned long before_ = 0;
};

Secret poisoned(std::size_t size, std::uint8_t first = 1) {
  Secret secret(size);
  for (std::size_t i = 0; i < size; ++i) secret.mutable_bytes()[i] = static_cast<std::uint8_t>(first + i);
  poison(secret.bytes());
  return secret;
}

// The alarm itself: without it the other tests would prove nothing.
TEST_F(PoisonedSecrets, AComparisonThatStopsEarlyIsFound) {
  expects_errors_ = true;
  const Secret a = poisoned(32), b = poisoned(32, 2);
  const bool same = std::memcmp(a.bytes().data(), b.bytes().data(), 32) == 0;
  EXPECT_FALSE(published(same));
  EXPECT_GT(errors(), 0U) << "memcmp";
  const auto by_memcmp = errors();
  EXPECT_FALSE(published(equal(a.bytes(), b.bytes())));
  EXPECT_GT(errors(), by_memcmp) << "equal()";
  const auto by_equal = errors();
  static const Bytes table(256, 9);
  volatile std::uint8_t looked_up = table[a.bytes()[3]];
  (void)looked_up;
  EXPECT_GT(errors(), by_equal) << "a table";
}

TEST_F(PoisonedSecrets, ComparisonOfSecrets) {
  const Secret a = poisoned(32), same = poisoned(32), b = poisoned(32, 2);
  EXPECT_TRUE(a == same);
  EXPECT_FALSE(a == b);
  EXPECT_TRUE(SharedSecret(a.clone()) == SharedSecret(same.clone()));
}

TEST_F(PoisonedSecrets, MacComparison) {
  for (const auto id : {IntegId::kHmacSha1_96, IntegId::kHmacSha2_256_128, IntegId::kHmacSha2_384_192,
                        IntegId::kHmacSha2_512_256, IntegId::kAesXcbc96, IntegId::kAesCmac96}) {
    SCOPED_TRACE(name(id));
    const Secret key = poisoned(crypto::integrity_key_size(id));
    auto integrity = crypto::Integrity::create(id, key.bytes()).value();
    const Bytes message(100, 5);
    Bytes icv = integrity.compute({message});
    publish(icv);
    EXPECT_TRUE(integrity.verify({message}, icv));
    icv[0] ^= 1U;
    EXPECT_FALSE(integrity.verify({message}, icv));
    EXPECT_EQ(errors(), 0U);
  }
}

// A forged message is refused by its ICV: nothing looks at what it decrypts to, its padding least of all. (What an ICV
// covers may steer what it likes.)
TEST_F(PoisonedSecrets, PaddingOfAForgedIkeMessage) {
  for (const auto& suite : {crypto::MessageCipherSuite{EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128},
                            crypto::MessageCipherSuite{EncrId::kAesCtr, 128, IntegId::kHmacSha1_96}}) {
    SeededRng rng(4);
    const auto keys = ikev2::test::keys(suite, rng);
    for (const auto* key : {&keys.sk_ei, &keys.sk_er, &keys.sk_ai, &keys.sk_ar}) poison(key->bytes());
    auto initiator = ikev2::MessageProtection::create(suite, keys, true).value();
    auto responder = ikev2::MessageProtection::create(suite, keys, false).value();
    auto sealed = initiator.seal(ikev2::test::header(rng), {}, rng).value();
    publish(sealed);
    for (const std::size_t behind : {std::size_t{1}, std::size_t{20}, std::size_t{30}}) {
      Bytes forged = sealed;
      forged[forged.size() - behind] ^= 1U;
      const auto message = wire::parse_message(forged);
      ASSERT_TRUE(message);
      const auto opened = responder.open(forged, *message);
      ASSERT_FALSE(opened);
      EXPECT_EQ(opened.error().kind, ikev2::OpenFailure::kBadIcv);
    }
  }
}

// The same for ESP, by each back end.
TEST_F(PoisonedSecrets, IcvOfEspPackets) {
  const crypto::EspTransform cbc{EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128};
  const crypto::EspTransform gcm{EncrId::kAesGcm16, 256, IntegId::kNone};
  struct Case {
    crypto::PacketBackend backend;
    crypto::EspTransform transform;
  };
  for (const auto& one :
       {Case{crypto::PacketBackend::kOpenssl, cbc}, Case{crypto::PacketBackend::kIpsecMb, cbc},
        Case{crypto::PacketBackend::kIpsecMb, gcm}}) {
    SCOPED_TRACE(name(one.backend) + " " + name(one.transform.encr));
    const auto sizes = crypto::esp_key_sizes(one.transform).value();
    const Secret encr = poisoned(sizes.encr), integ = poisoned(sizes.integ, 7);
    auto cipher = crypto::PacketCipher::create_with_backend(one.backend, one.transform, false, encr.bytes(),
                                                            integ.bytes());
    if (!cipher) continue;  // this machine has no ipsec-mb
    auto& made = **cipher;
    Bytes packet(8 + made.iv_size() + 64 + made.icv_size(), 3);
    const auto job_of = [&](Bytes& bytes) {
      crypto::PacketJob job;
      job.header = bytes.data();
      job.length = 64;
      return job;
    };
    auto seal = job_of(packet);
    made.seal({&seal, 1});
    publish(packet);
    Bytes forged = packet;
    forged.back() ^= 1U;
    auto open = job_of(forged);
    made.open({&open, 1});
    EXPECT_FALSE(published(open.ok));
    open = job_of(packet);
    made.open({&open, 1});
    EXPECT_TRUE(published(open.ok));
    EXPECT_EQ(errors(), 0U);
  }
}

// Through the whole inbound path: padding, next header and inner packet of a forgery are never looked at.
TEST_F(PoisonedSecrets, PaddingOfAForgedEspPacket) {
  esp::test::SaSpec spec;
  spec.algorithms = {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128, true};
  esp::test::Peers peers(spec);
  auto [sa_a, sa_b] = peers.make();
  for (const auto* keys : {&sa_a->outbound, &sa_b->inbound}) {
    poison(keys->encryption.bytes());
    poison(keys->integrity.bytes());
  }
  ASSERT_TRUE(peers.a.engine.install(sa_a));
  ASSERT_TRUE(peers.b.engine.install(sa_b));
  auto sent = peers.a.protect({esp::test::inner_packet(IpFamily::kIpv4, 100)});
  ASSERT_EQ(sent.size(), 1U);
  publish(sent[0]->bytes());
  for (const std::size_t behind : {std::size_t{1}, std::size_t{20}, std::size_t{40}}) {
    auto forged = esp::test::Gateway::on_wire(*sent[0]);
    forged.bytes[forged.bytes.size() - behind] ^= 1U;
    EXPECT_TRUE(peers.b.unprotect({forged}).empty());
  }
  EXPECT_EQ(peers.b.engine.drops(esp::DropReason::kIntegrity), 3U);
}

// RFC 7296 2.15: the key itself, and the AUTH data that the peer should have sent.
TEST_F(PoisonedSecrets, PskHandling) {
  auto connection = std::make_shared<policy::Connection>();
  connection->name = "office";
  policy::RemoteAuth remote;
  remote.kind = policy::AuthKind::kPsk;
  remote.id = Identity::parse("b.example.com").value();
  connection->remote_auth = {remote};
  const Bytes octets(100, 3);
  for (const auto prf : {PrfId::kHmacSha2_256, PrfId::kHmacSha2_512}) {
    for (const std::size_t size : {std::size_t{8}, std::size_t{32}, std::size_t{200}}) {
      ike::ConnectionCredentials credentials;
      credentials.local_psk = poisoned(size);
      credentials.remote_psk = poisoned(size);
      auto auth = ikev2::psk_auth_payload(prf, credentials.local_psk, octets).value();
      publish(auth.data);
      const auto check = [&] {
        return ikev2::authenticate_peer(connection, credentials, {IpAddress::v4(0xc0000201), 500}, prf,
                                        {*remote.id, {}, &auth, octets}, UnixTime{});
      };
      EXPECT_TRUE(check());
      auth.data[0] ^= 1U;
      const auto refused = check();
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().kind, ike::FailureKind::kAuthentication);
    }
  }
}

TEST_F(PoisonedSecrets, CookieComparison) {
  class PoisoningRng final : public Rng {
   public:
    void fill(MutableByteView out) override {
      std::memset(out.data(), 0x5c, out.size());
      poison(out);
    }
  } rng;
  ikev2::CookieJar jar(rng);
  const auto source = IpAddress::v4(0xc0000201);
  const Bytes nonce(32, 8);
  auto cookie = jar.make(Instant{}, nonce, source, IkeSpi{5});
  publish(cookie);
  EXPECT_TRUE(jar.verify(Instant{}, cookie, nonce, source, IkeSpi{5}));
  cookie.back() ^= 1U;
  EXPECT_FALSE(jar.verify(Instant{}, cookie, nonce, source, IkeSpi{5}));
}

}  // namespace
}  // namespace merlon
