// The order of what an engine wants done.
#include "ikev2/engine_test_network.h"

namespace merlon::ikev2::test {
namespace {

using wire::ExchangeType;

// RFC 7296 1.2, 2.8: who has the answer may send on the new Child SA at once, so it stands when the answer leaves.
TEST(Engine, AResponderCanReceiveBeforeItAnswers) {
  Pair pair;
  std::size_t answers = 0;
  pair.network.drop = [&](const Packet& packet) {
    const auto header = packet.header();
    const bool is_answer = header.flags.response && packet.source.address == pair.b.ip;
    if (is_answer && header.exchange_type == ExchangeType::kIkeAuth) {
      ++answers;
      EXPECT_EQ(pair.b.installed.size(), 1U);
    } else if (is_answer && header.exchange_type == ExchangeType::kCreateChildSa) {
      ++answers;
      EXPECT_EQ(pair.b.installed.size(), 2U);
    }
    return false;
  };
  pair.up();
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(5s);
  EXPECT_EQ(answers, 2U);
}

}  // namespace
}  // namespace merlon::ikev2::test
