#include "esp/sa_table.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include <map>
#include <set>

namespace merlon::esp {
namespace {

std::shared_ptr<const InboundSa> sa_with(Spi spi) {
  auto sa = std::make_shared<InboundSa>();
  sa->spi = spi;
  return sa;
}

TEST(SaTable, SpisAreNeverReservedOnesNorUsedAgainSoon) {
  Grace grace;
  SaTable table(64, grace);
  SeededRng rng(1);
  std::set<Spi> seen;
  for (int i = 0; i < 64 * 15; ++i) {
    const Spi spi = table.allocate_spi(rng).value();
    EXPECT_GE(spi.value, 256U);  // RFC 4303 2.1
    EXPECT_TRUE(seen.insert(spi).second) << "an SPI came back within 15 uses of its place";
    table.release_spi(spi);
  }
}

// It is the generation that keeps an SPI from coming back, not luck.
TEST(SaTable, SpisAreNotReusedAfterAFailureWhateverTheRngSays) {
  class StuckRng final : public Rng {
    void fill(MutableByteView out) override { std::fill(out.begin(), out.end(), std::uint8_t{0x5a}); }
  } stuck;
  Grace grace;
  SaTable table(64, grace);
  std::set<Spi> seen;
  for (int i = 0; i < 64 * 15; ++i) {
    const Spi spi = table.allocate_spi(stuck).value();
    EXPECT_TRUE(seen.insert(spi).second) << "an SPI came back within 15 uses of its place";
    table.release_spi(spi);
  }
}

TEST(SaTable, IsExhaustedAtItsCapacity) {
  Grace grace;
  SaTable table(64, grace);
  SeededRng rng(1);
  std::vector<Spi> spis;
  for (int i = 0; i < 64; ++i) spis.push_back(table.allocate_spi(rng).value());
  const auto more = table.allocate_spi(rng);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::kExhausted);
  table.release_spi(spis[5]);
  EXPECT_TRUE(table.allocate_spi(rng));
}

TEST(SaTable, HoldsAHundredThousand) {
  Grace grace;
  SaTable table(100000, grace);
  SeededRng rng(2);
  std::vector<Spi> spis;
  for (int i = 0; i < 100000; ++i) {
    spis.push_back(table.allocate_spi(rng).value());
    table.publish(sa_with(spis.back()));
  }
  for (const Spi spi : spis) {
    const InboundSa* found = table.find(spi);
    ASSERT_TRUE(found != nullptr && found->spi == spi);
  }
}

// Ours and others', published, replaced, erased in any order: find() agrees with a map.
TEST(SaTable, AgreesWithAMap) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    Grace grace;
    SaTable table(64, grace);
    SeededRng rng(seed);
    std::map<Spi, const InboundSa*> model;
    std::set<Spi> reserved, asked;
    for (int i = 0; i < 300; ++i) {
      switch (rng.below(5)) {
        case 0:
          if (const auto spi = table.allocate_spi(rng)) {
            RC_ASSERT(!model.contains(*spi) && !reserved.contains(*spi));
            reserved.insert(*spi);
            asked.insert(*spi);
          }
          break;
        case 1:
          if (!reserved.empty()) {
            const auto sa = sa_with(*reserved.begin());
            reserved.erase(reserved.begin());
            model[sa->spi] = sa.get();
            table.publish(sa);
          }
          break;
        case 2: {  // chosen by others: from a small range, so that they collide with ours and with each other
          const auto sa = sa_with(Spi{static_cast<std::uint32_t>(256 + rng.below(200))});
          if (reserved.contains(sa->spi)) break;
          model[sa->spi] = sa.get();
          asked.insert(sa->spi);
          table.publish(sa);
          break;
        }
        case 3:
          if (!model.empty()) {
            table.erase(model.begin()->first);
            model.erase(model.begin());
          }
          break;
        default:
          if (!reserved.empty()) {
            table.release_spi(*reserved.begin());
            reserved.erase(reserved.begin());
          }
      }
      grace.reclaim();
    }
    for (const Spi spi : asked) {
      const auto expected = model.find(spi);
      RC_ASSERT(table.find(spi) == (expected == model.end() ? nullptr : expected->second));
    }
  }));
}

TEST(Grace, FreesOnlyWhatNobodyCanSee) {
  Grace grace;
  auto object = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = object;
  {
    const Grace::Section section(grace);
    grace.published(std::move(object));
    EXPECT_EQ(grace.reclaim(), 1U);
    EXPECT_FALSE(alive.expired());
  }
  EXPECT_EQ(grace.reclaim(), 0U);
  EXPECT_TRUE(alive.expired());
}

TEST(Grace, ALaterSectionDoesNotHoldBackWhatWasRetiredBefore) {
  Grace grace;
  auto object = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = object;
  grace.published(std::move(object));
  const Grace::Section section(grace);
  EXPECT_EQ(grace.reclaim(), 0U);
  EXPECT_TRUE(alive.expired());
}

}  // namespace
}  // namespace merlon::esp
