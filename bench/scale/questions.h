// What the programs of the benchmark "scale" share. On standard input:
//
//   sas N            -> "sas PAIR DIRECTION": bytes of an SA pair, and of one direction beside the library's key schedule
//   policies N       -> "policies BYTES": of a policy, or "unsupported WHY"
//   find-sa C        -> "cycles ...": to find the SAs of 64 random SPIs among them, each; C numbers
//   find-policy C    -> "cycles ...": to find the policies of 64 random packets among them, each; C numbers
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "bench/cycles.h"

namespace merlon::bench {

inline constexpr std::size_t kLookups = 64;

struct SaMemory {
  double pair = 0, direction = 0;
};

class Tables {
 public:
  Tables() = default;
  Tables(const Tables&) = delete;
  Tables& operator=(const Tables&) = delete;
  virtual ~Tables() = default;

  virtual SaMemory make_sas(std::uint32_t count) = 0;
  // Policy i protects what goes from 192.168.0.0/16 to the address 10.0.0.0 + i. Negative: cannot.
  virtual double make_policies(std::uint32_t count) = 0;
  // Each returns the cycles for all of `wanted`; what is not found ends the program.
  virtual std::uint64_t find_sas(const std::array<std::uint32_t, kLookups>& wanted) = 0;
  virtual std::uint64_t find_policies(const std::array<std::uint32_t, kLookups>& wanted) = 0;

  int serve() {
    std::string line;
    while (std::getline(std::cin, line)) {
      std::istringstream words(line);
      std::string verb;
      std::uint32_t number = 0;
      words >> verb >> number;
      if (verb == "sas") {
        sas_ = number;
        const SaMemory memory = make_sas(number);
        std::printf("sas %.1f %.1f\n", memory.pair, memory.direction);
      } else if (verb == "policies") {
        policies_ = number;
        const double bytes = make_policies(number);
        if (bytes < 0) {
          std::printf("unsupported\n");
        } else {
          std::printf("policies %.1f\n", bytes);
        }
      } else {
        look_up(verb == "find-sa", number);
      }
      std::fflush(stdout);
    }
    return 0;
  }

 private:
  void look_up(bool sas, std::uint32_t count) {
    std::array<std::uint32_t, kLookups> wanted;
    std::printf("cycles");
    for (std::uint32_t i = 0; i < count + 2; ++i) {
      std::uint64_t taken = 0;
      constexpr int kRepeat = 2;  // short, so that most are not interrupted
      for (int repeat = 0; repeat < kRepeat; ++repeat) {
        for (auto& one : wanted) one = sequence_.below(sas ? sas_ : policies_);
        taken += sas ? find_sas(wanted) : find_policies(wanted);
      }
      if (i >= 2) std::printf(" %.2f", static_cast<double>(taken) / (kRepeat * kLookups));
    }
    std::printf("\n");
  }

  std::uint32_t sas_ = 1, policies_ = 1;
  Sequence sequence_{3};
};

}  // namespace merlon::bench
