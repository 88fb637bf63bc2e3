#include "ike/actions.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace merlon::ike {
namespace {

TEST(RunActions, TwoKeyExchangesAgree) {
  SeededRng rng(1);
  const auto initiator = run(RunKeyExchange{1, KeMethod::kCurve25519, nullptr, {}}, rng);
  const auto responder = run(RunKeyExchange{2, KeMethod::kCurve25519, nullptr, {}}, rng);
  ASSERT_NE(initiator.exchange, nullptr);
  ASSERT_NE(responder.exchange, nullptr);
  EXPECT_EQ(initiator.request, 1U);
  const auto a = run(RunKeyExchange{3, KeMethod::kCurve25519, initiator.exchange,
                                    to_bytes(responder.exchange->public_value())},
                     rng);
  const auto b = run(RunKeyExchange{4, KeMethod::kCurve25519, responder.exchange,
                                    to_bytes(initiator.exchange->public_value())},
                     rng);
  ASSERT_TRUE(a.shared_secret);
  ASSERT_TRUE(b.shared_secret);
  EXPECT_EQ(a.request, 3U);
  EXPECT_EQ(a.shared_secret->size(), 32U);
  EXPECT_TRUE(*a.shared_secret == *b.shared_secret);
}

TEST(RunActions, FailuresComeBackAsErrors) {
  SeededRng rng(1);
  const auto none = run(RunKeyExchange{1, static_cast<KeMethod>(4711), nullptr, {}}, rng);
  EXPECT_EQ(none.exchange, nullptr);
  EXPECT_FALSE(none.shared_secret);
  const auto made = run(RunKeyExchange{2, KeMethod::kCurve25519, nullptr, {}}, rng);
  EXPECT_FALSE(run(RunKeyExchange{3, KeMethod::kCurve25519, made.exchange, Bytes(31, 1)}, rng).shared_secret);
  EXPECT_FALSE(run(SignRequest{4, "office", nullptr, {}, {}}).signature);
}

TEST(RunActions, SignsWithTheKey) {
  auto key = crypto::PrivateKey::generate(crypto::KeyKind::kEd25519);
  ASSERT_TRUE(key);
  const auto shared = std::make_shared<const crypto::PrivateKey>(std::move(*key));
  const crypto::SignatureScheme scheme;  // Ed25519
  const auto done = run(SignRequest{9, "office", shared, scheme, {1, 2, 3}});
  ASSERT_TRUE(done.signature);
  EXPECT_EQ(done.request, 9U);
  EXPECT_TRUE(crypto::verify(shared->public_key(), scheme, Bytes{1, 2, 3}, *done.signature));
}

}  // namespace
}  // namespace merlon::ike
