#include "esp/sa_table.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include <deque>
#include <map>
#include <set>

namespace merlon::esp {
namespace {

// The table's SAs are others' to keep.
class Sas {
 public:
  const InboundSa& with(Spi spi) {
    sas_.emplace_back().spi = spi;
    return sas_.back();
  }

 private:
  std::deque<InboundSa> sas_;
};

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
  Sas sas;
  for (int i = 0; i < 100000; ++i) {
    spis.push_back(table.allocate_spi(rng).value());
    EXPECT_EQ(table.publish(sas.with(spis.back())), nullptr);
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
    Sas sas;
    std::map<Spi, const InboundSa*> model;
    const auto publish = [&](const InboundSa& sa) {
      const auto before = model.find(sa.spi);
      RC_ASSERT(table.publish(sa) == (before == model.end() ? nullptr : before->second));
      model[sa.spi] = &sa;
    };
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
            publish(sas.with(*reserved.begin()));
            reserved.erase(reserved.begin());
          }
          break;
        case 2: {  // chosen by others: from a small range, so that they collide with ours and with each other
          const InboundSa& sa = sas.with(Spi{static_cast<std::uint32_t>(256 + rng.below(200))});
          if (reserved.contains(sa.spi)) break;
          asked.insert(sa.spi);
          publish(sa);
          break;
        }
        case 3:
          if (!model.empty()) {
            RC_ASSERT(table.erase(model.begin()->first) == model.begin()->second);
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

// SPIs that others chose, as many as a gateway may take over from another one.
TEST(SaTable, HoldsAHundredThousandOfOthers) {
  Grace grace;
  SaTable table(64, grace);
  Sas sas;
  std::vector<const InboundSa*> all;
  for (std::uint32_t i = 0; i < 100000; ++i) {
    all.push_back(&sas.with(Spi{(i + 256) * 40503U}));
    ASSERT_EQ(table.publish(*all.back()), nullptr);
    // Every second one leaves again, so that the table is full of places that were taken before.
    if (i % 2 == 1) {
      ASSERT_EQ(table.erase(all[i - 1]->spi), all[i - 1]);
    }
    if (i % 1000 == 0) grace.reclaim();
  }
  for (std::size_t i = 0; i < all.size(); ++i)
    ASSERT_EQ(table.find(all[i]->spi), i % 2 == 1 ? all[i] : nullptr);
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
