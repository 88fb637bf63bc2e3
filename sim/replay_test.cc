// One seed, one run: nothing but the seed decides what happens.
#include <gtest/gtest.h>

#include <set>

#include "crypto/signature.h"
#include "sim/key_store.h"
#include "sim/openssl_rng.h"
#include "sim/world.h"

namespace merlon::sim {
namespace {

TEST(Replay, TheSameSeedGoesTheSameWay) {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U, 5U, 6U}) {
    const RunReport first = run(draw_scenario(seed));
    const RunReport again = run(draw_scenario(seed));
    EXPECT_EQ(first.digest, again.digest) << "seed " << seed;
    EXPECT_EQ(first.events, again.events) << "seed " << seed;
    EXPECT_EQ(first.traffic.delivered, again.traffic.delivered) << "seed " << seed;
  }
}

TEST(Replay, ATraceChangesNothing) {
  for (const std::uint64_t seed : {7U, 8U}) {
    RunOptions traced;
    traced.trace = Trace::Mode::kKeep;
    const RunReport report = run(draw_scenario(seed), traced);
    EXPECT_EQ(report.digest, run(draw_scenario(seed)).digest) << "seed " << seed;
    EXPECT_FALSE(report.lines.empty());
  }
}

TEST(Replay, OtherSeedsGoOtherWays) {
  std::set<std::uint64_t> digests;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) digests.insert(run(draw_scenario(seed)).digest);
  EXPECT_EQ(digests.size(), 10U);
}

// ECDSA draws a nonce inside OpenSSL.
TEST(OpensslRng, SignaturesFollowTheInjectedRandomness) {
  const HostKey key = host_key(KeyPlan::kEcdsaP256, 0);
  const crypto::SignatureScheme scheme{crypto::SignatureAlgorithm::kEcdsa, HashId::kSha2_256};
  const auto sign_with = [&](std::uint64_t seed) {
    SeededRng rng(seed);
    const OpensslRngScope scope(rng);
    return crypto::sign(*key.key, scheme, as_bytes("octets"));
  };
  ASSERT_TRUE(sign_with(1).has_value());
  EXPECT_EQ(*sign_with(1), *sign_with(1));
  EXPECT_NE(*sign_with(1), *sign_with(2));
}

}  // namespace
}  // namespace merlon::sim
