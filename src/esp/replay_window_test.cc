#include "esp/replay_window.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include <set>
#include <vector>

namespace merlon::esp {
namespace {

using Verdict = ReplayWindow::Verdict;

// With its bits.
struct Bits {
  explicit Bits(unsigned size) : words(ReplayWindow::words_for(size)) {}
  std::vector<std::uint64_t> words;
};
struct Window : private Bits, public ReplayWindow {
  explicit Window(unsigned size) : Bits(size), ReplayWindow(size, words.data()) {}
  using ReplayWindow::size;
};

// RFC 4303 3.4.3 in words: fresh is what lies right of the window, or in it and was not seen.
class Model {
 public:
  explicit Model(unsigned size) : size_(size) {}
  Verdict check(std::uint64_t sequence) const {
    if (sequence == 0) return Verdict::kInvalid;
    if (sequence <= top_ && top_ - sequence >= size_) return Verdict::kTooOld;
    return seen_.contains(sequence) ? Verdict::kReplayed : Verdict::kFresh;
  }
  void mark(std::uint64_t sequence) {
    seen_.insert(sequence);
    top_ = std::max(top_, sequence);
  }

 private:
  std::uint64_t size_, top_ = 0;
  std::set<std::uint64_t> seen_;
};

TEST(ReplayWindow, AgreesWithASetOfNumbers) {
  EXPECT_TRUE(rc::check([](std::uint32_t seed) {
    const unsigned size = *rc::gen::inRange(64U, 4097U);
    Window window(size);
    Model model(size);
    // Start near the places where something changes: zero, 2^32, and 2^64.
    const std::uint64_t start =
        std::array<std::uint64_t, 4>{0, UINT32_MAX - 3000, 1ULL << 40U, UINT64_MAX - 200000}[seed % 4];
    std::uint64_t top = start;
    for (int i = 0; i < 600; ++i) {
      const auto step = *rc::gen::weightedOneOf<std::int64_t>({{6, rc::gen::inRange<std::int64_t>(0, 3)},
                                                               {4, rc::gen::inRange<std::int64_t>(-5000, 1)},
                                                               {2, rc::gen::inRange<std::int64_t>(-70, 130)},
                                                               {1, rc::gen::inRange<std::int64_t>(0, 300)},
                                                               {1, rc::gen::inRange<std::int64_t>(0, 9000)}});
      if (step < 0 && static_cast<std::uint64_t>(-step) > top) continue;
      const std::uint64_t sequence = top + static_cast<std::uint64_t>(step);
      if (sequence < top && step > 0) continue;  // beyond 2^64
      RC_ASSERT(window.check({sequence}) == model.check(sequence));
      const Verdict verdict = window.advance({sequence});
      RC_ASSERT(verdict == model.check(sequence));
      if (verdict == Verdict::kFresh) {
        model.mark(sequence);
        top = std::max(top, sequence);
      }
    }
    RC_ASSERT(window.highest().value == top || top == start);
  }));
}

// RFC 4303 A2: whatever lies in the window, or at most 2^32 - size to its right, is found again from its low
// half.
TEST(ReplayWindow, InfersTheHighHalf) {
  EXPECT_TRUE(rc::check([] {
    const unsigned size = *rc::gen::inRange(64U, 4097U);
    const std::uint64_t high = *rc::gen::inRange<std::uint64_t>(0, 5);
    const auto low =
        *rc::gen::oneOf(rc::gen::arbitrary<std::uint32_t>(), rc::gen::inRange<std::uint32_t>(0, 5000),
                        rc::gen::map(rc::gen::inRange<std::uint32_t>(0, 5000),
                                     [](std::uint32_t below) { return UINT32_MAX - below; }));
    const std::uint64_t top = std::max<std::uint64_t>(high << 32U | low, 1);
    Window window(size);
    RC_ASSERT(window.advance({top}) == Verdict::kFresh);
    const auto back = *rc::gen::inRange<std::uint64_t>(0, size);
    if (back < top)
      RC_ASSERT(window.infer(static_cast<std::uint32_t>(top - back), true)->value == top - back);
    const auto ahead = *rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(1, 10000),
                                       rc::gen::inRange<std::uint64_t>(1, (1ULL << 32U) - size));
    RC_ASSERT(window.infer(static_cast<std::uint32_t>(top + ahead), true)->value == top + ahead);
  }));
}

TEST(ReplayWindow, InfersNothingBeforeTheFirstNorBehindTheLast) {
  Window window(64);
  ASSERT_EQ(window.advance({5}), Verdict::kFresh);
  EXPECT_FALSE(window.infer(UINT32_MAX, true));
  ASSERT_EQ(window.advance({UINT64_MAX}), Verdict::kFresh);
  EXPECT_FALSE(window.infer(3, true));
  EXPECT_EQ(window.infer(UINT32_MAX - 1, true)->value, UINT64_MAX - 1);
}

TEST(ReplayWindow, WithoutEsnTheNumberIsWhatTravels) {
  Window window(64);
  ASSERT_EQ(window.advance({UINT32_MAX}), Verdict::kFresh);
  EXPECT_EQ(window.infer(7, false)->value, 7U);
  EXPECT_EQ(window.check({7}), Verdict::kTooOld);
}

TEST(ReplayWindow, SizesAreBroughtIntoBounds) {
  EXPECT_EQ(Window(0).size(), 64U);
  EXPECT_EQ(Window(100).size(), 100U);
  EXPECT_EQ(Window(100000).size(), 4096U);
}

}  // namespace
}  // namespace merlon::esp
