// For targets whose input is a setting of some bytes and then steps: a byte of what, a byte of length, so many bytes that
// say how. Changes inputs step by step: libFuzzer's own mutations mostly shift the lengths, and then everything behind
// means something else. To be included once, by the target itself, which says what its steps are like.
#pragma once

#include <algorithm>
#include <vector>

#include "base/rng.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace merlon::fuzz {

struct Step {
  static constexpr std::size_t kMaxDetail = 255;
  std::uint8_t what = 0;
  Bytes how;
};

// The target's: bytes of its setting, and a new step that means something more often than not.
extern const std::size_t kSettingSize;
[[nodiscard]] Step usual_step(SeededRng& rng);

struct Steps {
  Bytes setting = Bytes(kSettingSize);
  std::vector<Step> all;

  static Steps read(ByteView input) {
    Steps steps;
    const auto head = input.first(std::min(kSettingSize, input.size()));
    std::copy(head.begin(), head.end(), steps.setting.begin());
    input = input.subspan(head.size());
    while (input.size() >= 2) {
      const std::size_t size = std::min<std::size_t>(input[1], input.size() - 2);
      steps.all.push_back({input[0], to_bytes(input.subspan(2, size))});
      input = input.subspan(2 + size);
    }
    return steps;
  }
  [[nodiscard]] Bytes write() const {
    Bytes out = setting;
    for (const auto& step : all) {
      out.push_back(step.what);
      out.push_back(static_cast<std::uint8_t>(step.how.size()));
      append(out, step.how);
    }
    return out;
  }
};

inline void mutate(Steps& steps, SeededRng& rng) {
  auto& all = steps.all;
  const auto any = [&] {
    return static_cast<std::ptrdiff_t>(rng.below(std::max<std::size_t>(1, all.size())));
  };
  const auto at = [&] { return static_cast<std::size_t>(any()); };
  const auto choice = rng.below(12);
  if (choice == 0) {
    steps.setting[rng.below(kSettingSize)] ^= static_cast<std::uint8_t>(1U << rng.below(8));
  } else if (choice <= 3 || all.empty()) {
    all.insert(all.begin() + (all.empty() ? 0 : any()), usual_step(rng));
  } else if (choice == 4) {
    all.erase(all.begin() + any());
  } else if (choice == 5) {
    std::swap(all[at()], all[at()]);
  } else if (choice == 6) {
    all.push_back(Step(all[at()]));
  } else if (choice == 7) {
    all[at()].what = static_cast<std::uint8_t>(rng.below(16));
  } else if (choice == 8) {
    all.push_back(usual_step(rng));
  } else if (choice == 9) {
    auto& how = all[at()].how;
    if (!how.empty()) how[rng.below(how.size())] = static_cast<std::uint8_t>(rng.next());
  } else {
    auto& how = all[at()].how;
    const auto size = how.size();
    how.resize(Step::kMaxDetail);
    how.resize(LLVMFuzzerMutate(how.data(), size, Step::kMaxDetail));
  }
}

inline std::size_t store(const Bytes& made, std::uint8_t* data, std::size_t max_size) {
  const auto size = std::min(made.size(), max_size);
  std::copy_n(made.begin(), size, data);
  return size;
}

}  // namespace merlon::fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace merlon::fuzz;
  merlon::SeededRng rng(seed);
  if (rng.below(8) == 0) return LLVMFuzzerMutate(data, size, max_size);
  auto steps = Steps::read({data, size});
  for (auto changes = rng.below(3) + 1; changes > 0; --changes) mutate(steps, rng);
  return store(steps.write(), data, max_size);
}

// The first steps of one input, then the last of another.
extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* first, std::size_t first_size,
                                                 const std::uint8_t* second, std::size_t second_size,
                                                 std::uint8_t* out, std::size_t max_size, unsigned seed) {
  using namespace merlon::fuzz;
  merlon::SeededRng rng(seed);
  auto made = Steps::read({first, first_size});
  const auto other = Steps::read({second, second_size});
  made.all.resize(rng.below(made.all.size() + 1));
  const auto from = static_cast<std::ptrdiff_t>(rng.below(other.all.size() + 1));
  made.all.insert(made.all.end(), other.all.begin() + from, other.all.end());
  return store(made.write(), out, max_size);
}
