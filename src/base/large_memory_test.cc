#include "base/large_memory.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace merlon {
namespace {

bool is_filled_with(const std::uint8_t* object, std::size_t size, std::uint8_t mark) {
  for (std::size_t i = 0; i < size; ++i)
    if (object[i] != mark) return false;
  return true;
}

// Objects of many sizes, made and freed in any order: aligned, and no two in one place.
TEST(Slab, ObjectsKeepWhatIsWrittenInThem) {
  EXPECT_TRUE(rc::check([] {
    struct Made {
      std::uint8_t* object;
      std::size_t size;
      std::uint8_t mark;
    };
    std::vector<Made> made;
    const auto release = [&](std::size_t at) {
      RC_ASSERT(is_filled_with(made[at].object, made[at].size, made[at].mark));
      release_in_slab(made[at].object, made[at].size);
      made[at] = made.back();
      made.pop_back();
    };
    for (int step = 0; step < 400; ++step) {
      if (made.empty() || *rc::gen::inRange(0, 5) < 3) {
        const std::size_t size = *rc::gen::element<std::size_t>(1, 64, 65, 384, 1024, 4096, 5000);
        const auto mark = static_cast<std::uint8_t>(step);
        auto* object = static_cast<std::uint8_t*>(allocate_in_slab(size));
        RC_ASSERT(reinterpret_cast<std::uintptr_t>(object) % kCacheLine == 0U);
        std::memset(object, mark, size);
        made.push_back({object, size, mark});
      } else {
        release(*rc::gen::inRange<std::size_t>(0, made.size()));
      }
    }
    while (!made.empty()) release(made.size() - 1);
  }));
}

TEST(Slab, TakesManyObjectsAndNothing) {
  std::vector<std::uint64_t*> made;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    made.push_back(static_cast<std::uint64_t*>(allocate_in_slab(384)));
    *made.back() = i;
  }
  for (std::uint64_t i = 0; i < made.size(); ++i) {
    ASSERT_EQ(*made[i], i);
    release_in_slab(made[i], 384);
  }
  release_in_slab(nullptr, 384);
}

TEST(LargeMemory, IsAlignedToHugePagesWhereItIsLarge) {
  for (const std::size_t bytes : {std::size_t{1}, kHugePage - 1, kHugePage, 3 * kHugePage + 5}) {
    void* const memory = allocate_large(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % (bytes < kHugePage ? kCacheLine : kHugePage), 0U);
    std::memset(memory, 1, bytes);
    release_large(memory, bytes);
  }
  LargeVector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < 1000000; ++i) numbers.push_back(i);
  EXPECT_EQ(numbers[999999], 999999U);
}

}  // namespace
}  // namespace merlon
