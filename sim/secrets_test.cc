// Design, habit 5: secrets are wiped. Everything that the process has in memory is read and must not hold a key of an SA that is gone: not
// in what is still in use, and not in what was given back.
#include <gtest/gtest.h>

#include <array>
#include <bitset>
#include <cstdio>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "sim/world.h"

namespace merlon::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
#else
constexpr bool kAddressSanitizer = false;
#endif

// The keys to look for, masked, so that the list itself is not found.
class Keys {
 public:
  void add(ByteView key) {
    if (key.size() < kLength) return;
    std::array<std::uint8_t, kLength> masked;
    for (std::size_t i = 0; i < kLength; ++i) masked[i] = static_cast<std::uint8_t>(key[i] ^ kMask);
    std::uint64_t begin = 0;
    std::memcpy(&begin, masked.data(), sizeof begin);
    keys_[begin] = masked;
    maybe_.set(begin & (kFilter - 1));
  }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }

  // How many of them stand somewhere in the heap or in other memory that can be written; stacks do not count.
  [[nodiscard]] std::size_t found() const {
    std::size_t count = 0;
    std::FILE* const maps = std::fopen("/proc/self/maps", "r");
    std::array<char, 512> line;
    while (std::fgets(line.data(), line.size(), maps) != nullptr) {
      unsigned long long first = 0, last = 0;
      std::array<char, 5> access{};
      if (std::sscanf(line.data(), "%llx-%llx %4s", &first, &last, access.data()) != 3) continue;
      if (access[0] != 'r' || access[1] != 'w' || std::strstr(line.data(), "[stack") != nullptr) continue;
      if (last - first > kLargestMapping) continue;
      count += found_in(reinterpret_cast<const std::uint8_t*>(first), static_cast<std::size_t>(last - first));
    }
    std::fclose(maps);
    return count;
  }

 private:
  static constexpr std::size_t kLength = 16, kFilter = 1U << 20U, kLargestMapping = std::size_t{1} << 30U;
  static constexpr std::uint8_t kMask = 0xa5;
  static constexpr std::uint64_t kMasks = 0xa5a5a5a5a5a5a5a5U;

  [[nodiscard]] std::size_t found_in(const std::uint8_t* memory, std::size_t size) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i + kLength <= size; ++i) {
      std::uint64_t begin = 0;
      std::memcpy(&begin, memory + i, sizeof begin);
      begin ^= kMasks;
      if (!maybe_.test(begin & (kFilter - 1))) continue;
      const auto at = keys_.find(begin);
      if (at == keys_.end()) continue;
      bool same = true;
      for (std::size_t k = 8; k < kLength; ++k) same = same && (memory[i + k] ^ kMask) == at->second[k];
      if (same) ++count;
    }
    return count;
  }

  std::unordered_map<std::uint64_t, std::array<std::uint8_t, kLength>> keys_;
  std::bitset<kFilter> maybe_;
};

TEST(Secrets, OfRemovedSasAreGone) {
  if (kAddressSanitizer) GTEST_SKIP() << "the memory of AddressSanitizer itself cannot be read";
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
    const auto keys = std::make_unique<Keys>();
    std::size_t while_up = 0, afterwards = 0;
    bool dismantled = false;
    RunOptions options;
    options.key_seen = [&](ByteView key) { keys->add(key); };
    options.look = [&](bool end) {
      dismantled = end;
      (end ? afterwards : while_up) = keys->found();
    };
    const RunReport report = run(rekey_scenario(seed), options);
    EXPECT_FALSE(report.violation);
    EXPECT_TRUE(dismantled);
    EXPECT_GT(keys->size(), 30U) << "seed " << seed;
    EXPECT_GT(while_up, 0U) << "the SAs that stand have keys, so the search can find some";
    EXPECT_EQ(afterwards, 0U) << "of " << keys->size() << " keys, seed " << seed;
  }
}

}  // namespace
}  // namespace merlon::sim
