// What the programs of the benchmark "esp" share: one engine in one process, told by lines on standard input what to do,
// so that bench/run can let several of them take turns on one core.
//
//   setup ALGORITHM SAS BURST KIND    -> "ok NOTE" or "unsupported WHY"; KIND is native, udp or joined
//   measure encap|decap SIZE CHUNKS   -> "cycles A B C ...": cycles a packet, one number a chunk; SIZE in bytes of the
//                                        inner IP packet, or "imix"
//
// A chunk is four bursts: short, so that chunks in which the machine did something else are few and a median passes them
// by. Only the engine's own call for a burst is timed, with the time stamp counter: writing the packets into their buffers
// before it and giving the buffers back after it are not, for no program.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "bench/cycles.h"

namespace merlon::bench {

inline constexpr std::size_t kMaxBurst = 64;
inline constexpr std::size_t kBurstsInChunk = 4;
inline constexpr std::size_t kInnerMaximum = 1424;

enum class Algorithm { kAes128Gcm, kAes256Gcm, kChacha20Poly1305, kAes128CbcSha256 };
inline constexpr std::array<const char*, 4> kAlgorithmNames = {"aes128gcm16", "aes256gcm16",
                                                               "chacha20poly1305", "aes128-sha256"};

// How ESP travels, and whether inner packets of a flow may be put together: with "joined", in UDP, they may (their checksums are
// right and their identifications mean nothing), else they may not (they have no checksum, as RFC 768 allows). For programs
// that know neither, all kinds are one.
enum class Kind { kNative, kUdp, kJoined };
inline constexpr std::array<const char*, 3> kKindNames = {"native", "udp", "joined"};

// IMIX: 7:4:1 of 64, 576 and 1,424 bytes.
inline std::uint32_t imix_size(Sequence& sequence) {
  const std::uint32_t drawn = sequence.below(12);
  return drawn < 7 ? 64 : drawn < 11 ? 576 : 1424;
}

struct PacketPlan {
  std::uint32_t size = 64;  // bytes of the inner IP packet
  std::uint32_t sa = 0;
  bool may_be_joined = false;
};
using BurstPlan = std::span<const PacketPlan>;

// The address inside which belongs to an SA: 10.x.y.z.
inline std::uint32_t inner_destination(std::uint32_t sa) {
  return 0x0a000000U + sa;
}

// RFC 768; of an IPv4 packet without options, whose checksum field is 0.
inline void write_udp_checksum(std::uint8_t* packet, std::uint32_t size) {
  std::uint32_t sum = 17 + (size - 20);
  for (std::uint32_t i = 12; i < size; ++i)
    sum += static_cast<std::uint32_t>(packet[i]) << (i % 2 == 0 ? 8U : 0U);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16U);
  const std::uint32_t checksum = sum == 0xffff ? 0xffff : ~sum;
  packet[26] = static_cast<std::uint8_t>(checksum >> 8U);
  packet[27] = static_cast<std::uint8_t>(checksum);
}

// An IPv4 packet with UDP from 192.168.0.1 to the SA's address: one flow for each SA.
inline void write_inner_packet(std::uint8_t* out, const PacketPlan& plan) {
  const std::uint32_t to = inner_destination(plan.sa);
  const std::array<std::uint8_t, 28> header = {0x45,
                                               0,
                                               static_cast<std::uint8_t>(plan.size >> 8U),
                                               static_cast<std::uint8_t>(plan.size),
                                               0,
                                               0,
                                               static_cast<std::uint8_t>(plan.may_be_joined ? 0x40 : 0),
                                               0,
                                               64,
                                               17,
                                               0,
                                               0,
                                               192,
                                               168,
                                               0,
                                               1,
                                               static_cast<std::uint8_t>(to >> 24U),
                                               static_cast<std::uint8_t>(to >> 16U),
                                               static_cast<std::uint8_t>(to >> 8U),
                                               static_cast<std::uint8_t>(to),
                                               4,
                                               87,
                                               8,
                                               174,
                                               static_cast<std::uint8_t>((plan.size - 20) >> 8U),
                                               static_cast<std::uint8_t>(plan.size - 20),
                                               0,
                                               0};
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < 20; i += 2) sum += static_cast<std::uint32_t>(header[i] << 8U | header[i + 1]);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16U);
  for (std::size_t i = 0; i < plan.size; ++i)
    out[i] = i < header.size() ? header[i] : static_cast<std::uint8_t>(i * 7);
  out[10] = static_cast<std::uint8_t>(~sum >> 8U);
  out[11] = static_cast<std::uint8_t>(~sum);
  if (plan.may_be_joined) write_udp_checksum(out, plan.size);
}

class Subject {
 public:
  Subject() = default;
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  virtual ~Subject() = default;

  // Empty: done. Otherwise why not.
  virtual std::string set_up(Algorithm algorithm, std::uint32_t sas, Kind kind) = 0;
  virtual std::string note() const { return {}; }
  // Protects the burst and returns the cycles. With `keep`, what comes out is kept for decapsulate(), in order, until
  // the next forget().
  virtual std::uint64_t encapsulate(BurstPlan plan, bool keep) = 0;
  // Opens the oldest burst kept and returns the cycles. Every packet must come out, and whole.
  virtual std::uint64_t decapsulate(BurstPlan plan) = 0;
  virtual void forget() = 0;
};

[[noreturn]] inline void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

class Rounds {
 public:
  explicit Rounds(Subject& subject) : subject_(subject) {}

  int serve() {
    std::string line;
    while (std::getline(std::cin, line)) {
      std::istringstream words(line);
      std::string verb;
      words >> verb;
      if (verb == "setup") {
        set_up(words);
      } else if (verb == "measure") {
        measure(words);
      } else {
        give_up("what is \"" + line + "\"?");
      }
      std::fflush(stdout);
    }
    return 0;
  }

  // Cycles a packet for each chunk.
  std::vector<double> chunks(bool encap, const std::string& size, std::size_t count) {
    std::vector<double> result;
    for (std::size_t i = 0; i < count; ++i) result.push_back(chunk(encap, size));
    return result;
  }

  void shape(std::uint32_t sas, std::size_t burst, Kind kind) {
    sas_ = sas;
    may_be_joined_ = kind == Kind::kJoined;
    burst_ = burst;
    sequence_ = Sequence(1);
  }
  // A packet by every SA, so that no first packet of an SA is timed.
  void warm_up() {
    for (std::uint32_t first = 0; first < sas_; first += kMaxBurst) {
      plan_.clear();
      for (std::uint32_t sa = first; sa < sas_ && sa < first + kMaxBurst; ++sa)
        plan_.push_back({64, sa, may_be_joined_});
      subject_.encapsulate(plan_, true);
      subject_.decapsulate(plan_);
      subject_.forget();
    }
  }

 private:
  void set_up(std::istringstream& words) {
    std::string name, kind_name = kKindNames[0];
    std::uint32_t sas = 1;
    std::size_t burst = kMaxBurst;
    words >> name >> sas >> burst >> kind_name;
    const auto found = std::find(kKindNames.begin(), kKindNames.end(), kind_name);
    if (found == kKindNames.end()) give_up("no kind is called " + kind_name);
    const auto kind = static_cast<Kind>(found - kKindNames.begin());
    if (burst == 0 || burst > kMaxBurst) give_up("a burst is 1 to 64 packets");
    for (std::size_t i = 0; i < kAlgorithmNames.size(); ++i) {
      if (name != kAlgorithmNames[i]) continue;
      const std::string refused = subject_.set_up(static_cast<Algorithm>(i), sas, kind);
      if (!refused.empty()) {
        std::printf("unsupported %s\n", refused.c_str());
        return;
      }
      shape(sas, burst, kind);
      warm_up();
      std::printf("ok %s\n", subject_.note().c_str());
      return;
    }
    std::printf("unsupported unknown algorithm\n");
  }

  void measure(std::istringstream& words) {
    std::string direction, size;
    std::size_t count = 0;
    words >> direction >> size >> count;
    const bool encap = direction == "encap";
    chunks(encap, size, 2);  // caches, branch predictors, clock
    std::printf("cycles");
    for (const double cycles : chunks(encap, size, count)) std::printf(" %.1f", cycles);
    std::printf("\n");
  }

  double chunk(bool encap, const std::string& size) {
    plan_.clear();
    const bool is_imix = size == "imix";
    const std::uint32_t bytes = is_imix ? 0 : static_cast<std::uint32_t>(std::stoul(size));
    for (std::size_t i = 0; i < burst_ * kBurstsInChunk; ++i)
      plan_.push_back({is_imix ? imix_size(sequence_) : bytes, sequence_.below(sas_), may_be_joined_});
    std::uint64_t cycles = 0;
    for (std::size_t i = 0; i < kBurstsInChunk; ++i) {
      const std::uint64_t taken = subject_.encapsulate(burst_of(i), !encap);
      if (encap) cycles += taken;
    }
    if (!encap)
      for (std::size_t i = 0; i < kBurstsInChunk; ++i) cycles += subject_.decapsulate(burst_of(i));
    subject_.forget();
    return static_cast<double>(cycles) / static_cast<double>(plan_.size());
  }
  [[nodiscard]] BurstPlan burst_of(std::size_t index) const {
    return BurstPlan(plan_).subspan(index * burst_, burst_);
  }

  Subject& subject_;
  std::vector<PacketPlan> plan_;
  std::uint32_t sas_ = 1;
  bool may_be_joined_ = false;
  std::size_t burst_ = kMaxBurst;
  Sequence sequence_{1};
};

}  // namespace merlon::bench
