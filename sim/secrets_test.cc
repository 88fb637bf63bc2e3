// Design, habit 5: secrets are wiped. Everything that the process has in memory is read and must not hold a key of an SA that is gone: not
// in what is still in use, and not in what was given back. Once while the gateways live and have replaced most of their SAs, and once when
// all was taken down.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
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
  // Both ends of an SA have its keys.
  void add(const std::string& sa, ByteView key) {
    if (key.size() < kLength) return;
    std::array<std::uint8_t, kLength> masked;
    for (std::size_t i = 0; i < kLength; ++i) masked[i] = static_cast<std::uint8_t>(key[i] ^ kMask);
    std::uint64_t begin = 0;
    std::memcpy(&begin, masked.data(), sizeof begin);
    Key& known = keys_[begin];
    known.masked = masked;
    known.holders.insert(sa);
    of_[sa].push_back(begin);
    maybe_.set(begin & (kFilter - 1));
  }
  void gone(const std::string& sa, Duration at) {
    for (const std::uint64_t begin : of_[sa]) {
      keys_[begin].holders.erase(sa);
      keys_[begin].gone_at = at;
    }
  }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  // Of SAs that were gone by then.
  [[nodiscard]] std::size_t gone_by(Duration then) const {
    return static_cast<std::size_t>(std::count_if(
        keys_.begin(), keys_.end(), [&](const auto& entry) { return entry.second.was_gone_by(then); }));
  }

  // How many of them stand somewhere in the heap or in other memory that can be written; stacks do not count. `gone_by`: only those of SAs
  // that were gone by then.
  [[nodiscard]] std::size_t found(std::optional<Duration> gone_by = std::nullopt) const {
    std::size_t count = 0;
    std::FILE* const maps = std::fopen("/proc/self/maps", "r");
    std::array<char, 512> line;
    while (std::fgets(line.data(), line.size(), maps) != nullptr) {
      unsigned long long first = 0, last = 0;
      std::array<char, 5> access{};
      if (std::sscanf(line.data(), "%llx-%llx %4s", &first, &last, access.data()) != 3) continue;
      if (access[0] != 'r' || access[1] != 'w' || std::strstr(line.data(), "[stack") != nullptr) continue;
      if (last - first > kLargestMapping) continue;
      count += found_in(reinterpret_cast<const std::uint8_t*>(first), static_cast<std::size_t>(last - first),
                        gone_by);
    }
    std::fclose(maps);
    return count;
  }

 private:
  static constexpr std::size_t kLength = 16, kFilter = 1U << 20U, kLargestMapping = std::size_t{1} << 30U;
  static constexpr std::uint8_t kMask = 0xa5;
  static constexpr std::uint64_t kMasks = 0xa5a5a5a5a5a5a5a5U;

  [[nodiscard]] std::size_t found_in(const std::uint8_t* memory, std::size_t size,
                                     std::optional<Duration> gone_by) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i + kLength <= size; ++i) {
      std::uint64_t begin = 0;
      std::memcpy(&begin, memory + i, sizeof begin);
      begin ^= kMasks;
      if (!maybe_.test(begin & (kFilter - 1))) continue;
      const auto at = keys_.find(begin);
      if (at == keys_.end() || (gone_by && !at->second.was_gone_by(*gone_by))) continue;
      bool same = true;
      for (std::size_t k = 8; k < kLength; ++k)
        same = same && (memory[i + k] ^ kMask) == at->second.masked[k];
      if (same) ++count;
    }
    return count;
  }

  struct Key {
    std::array<std::uint8_t, kLength> masked{};
    std::set<std::string> holders;
    Duration gone_at{0};
    [[nodiscard]] bool was_gone_by(Duration then) const { return holders.empty() && gone_at <= then; }
  };
  std::unordered_map<std::uint64_t, Key> keys_;
  std::map<std::string, std::vector<std::uint64_t>> of_;  // by SA
  std::bitset<kFilter> maybe_;
};

// An IKE SA that ended repeats its last answer for 15 s (ikev2/exchanges/common.h: kLingering), and only to whoever has its keys.
constexpr Duration kLingers = std::chrono::seconds(16);

TEST(Secrets, OfRemovedSasAreGone) {
  if (kAddressSanitizer) GTEST_SKIP() << "the memory of AddressSanitizer itself cannot be read";
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
    const auto keys = std::make_unique<Keys>();
    using Moment = RunOptions::Moment;
    std::size_t while_up = 0, of_gone = 0, gone = 0, afterwards = 1;
    RunOptions options;
    options.watch.key_seen = [&](const std::string& sa, ByteView key) { keys->add(sa, key); };
    options.watch.sa_gone = [&](const std::string& sa, Duration at) {
      keys->gone(sa, sa.find(" IKE ") == std::string::npos ? at : at + kLingers);
    };
    options.look = [&](Moment moment, Duration at) {
      if (moment == Moment::kConverged) while_up = keys->found();
      if (moment == Moment::kDismantled) afterwards = keys->found();
      if (moment != Moment::kProved) return;
      of_gone = keys->found(at);
      gone = keys->gone_by(at);
    };
    const RunReport report = run(rekey_scenario(seed), options);
    EXPECT_FALSE(report.violation);
    EXPECT_GT(keys->size(), 30U) << "seed " << seed;
    EXPECT_GT(while_up, 0U) << "the SAs that stand have keys, so the search can find some";
    EXPECT_GT(gone, 20U) << "seed " << seed;
    EXPECT_EQ(of_gone, 0U) << "of " << gone << " keys of SAs that were replaced, while others stand; seed "
                           << seed;
    EXPECT_EQ(afterwards, 0U) << "of " << keys->size() << " keys, seed " << seed;
  }
}

}  // namespace
}  // namespace merlon::sim
