// Changes inputs of ike_sa_fuzzer step by step: libFuzzer's own mutations mostly shift the lengths, and then everything
// behind means something else.
#pragma once

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/rng.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace merlon::fuzz {

struct Steps {
  static constexpr std::size_t kSetting = 2, kMaxDetail = 255;
  struct Step {
    std::uint8_t what = 0;
    Bytes how;
  };
  Bytes setting = Bytes(kSetting);
  std::vector<Step> all;

  static Steps read(ByteView input) {
    Steps steps;
    const auto head = input.first(std::min(kSetting, input.size()));
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

// How the detail of a new step begins: a message that is in turn, with all that it needs, more often than not.
inline Bytes usual_detail(SeededRng& rng) {
  const auto byte = [&](std::uint64_t bound) { return static_cast<std::uint8_t>(rng.below(bound)); };
  Bytes how{byte(3), byte(8), byte(12), 0};
  append(how, rng.bytes(rng.below(12)));
  return how;
}

inline void mutate(Steps& steps, SeededRng& rng) {
  auto& all = steps.all;
  const auto any = [&] {
    return static_cast<std::ptrdiff_t>(rng.below(std::max<std::size_t>(1, all.size())));
  };
  const auto choice = rng.below(10);
  if (choice == 0) {
    steps.setting[rng.below(Steps::kSetting)] ^= static_cast<std::uint8_t>(1U << rng.below(8));
  } else if (choice <= 3 || all.empty()) {
    all.insert(all.begin() + (all.empty() ? 0 : any()),
               {static_cast<std::uint8_t>(rng.below(16)), usual_detail(rng)});
  } else if (choice == 4) {
    all.erase(all.begin() + any());
  } else if (choice == 5) {
    std::swap(all[static_cast<std::size_t>(any())], all[static_cast<std::size_t>(any())]);
  } else if (choice == 6) {
    all.push_back(Steps::Step(all[static_cast<std::size_t>(any())]));
  } else if (choice == 7) {
    all[static_cast<std::size_t>(any())].what = static_cast<std::uint8_t>(rng.below(16));
  } else {
    auto& how = all[static_cast<std::size_t>(any())].how;
    const auto size = how.size();
    how.resize(Steps::kMaxDetail);
    how.resize(LLVMFuzzerMutate(how.data(), size, Steps::kMaxDetail));
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
