// What esp_tunnel_fuzzer is made of: its setting, an SA direction as the fuzzer knows it, a gateway with what its
// surroundings remember.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>

#include "base/rng.h"
#include "crypto/packet_cipher.h"
#include "esp/engine.h"
#include "fuzz/esp_tunnel_packets.h"
#include "policy/spd.h"
#include "wire/esp.h"

namespace merlon::fuzz {

struct TunnelSetting {
  std::array<std::uint8_t, 2> algorithms{};  // of each child
  bool esn = false, udp = false, outer_v6 = false, joined = false, coalesce = false, clamp = false;
  bool wait = false;  // children only answer: nothing is held back
  policy::DfBit df = policy::DfBit::kCopy;
  unsigned limits = 0;    // 0: none; 1: packets; 2: bytes; 3: sequence numbers
  unsigned sequence = 0;  // 0: from one; 1: shortly before 2^32; 2: shortly before 2^33
  unsigned window = 64;

  explicit TunnelSetting(Input& input) {
    const auto a = input.u8(), b = input.u8(), c = input.u8();
    const auto bit = [](std::uint8_t byte, unsigned n) { return (byte >> n & 1U) != 0; };
    algorithms = {static_cast<std::uint8_t>(a & 15U), static_cast<std::uint8_t>(a >> 4U)};
    esn = bit(b, 0), udp = bit(b, 1), outer_v6 = bit(b, 2), joined = bit(b, 3), coalesce = bit(b, 4);
    clamp = bit(b, 5), wait = bit(b, 6);
    df = static_cast<policy::DfBit>((c & 3U) % 3);
    limits = c >> 2U & 3U, sequence = (c >> 4U & 3U) % 3, window = bit(c, 6) ? 1024 : 64;
  }
};

inline policy::EspAlgorithms algorithms_of(std::uint8_t which, bool esn) {
  constexpr policy::EspAlgorithms kAll[] = {
      {EncrId::kAesGcm16, 128, IntegId::kNone, false},
      {EncrId::kAesGcm16, 256, IntegId::kNone, false},
      {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128, false},
      {EncrId::kChacha20Poly1305, 256, IntegId::kNone, false},
      {EncrId::kAesCtr, 128, IntegId::kHmacSha1_96, false},
      {EncrId::kAesCcm16, 128, IntegId::kNone, false},
      {EncrId::kNull, 0, IntegId::kHmacSha2_512_256, false},
      {EncrId::kNullAuthAesGmac, 128, IntegId::kNone, false},
      {EncrId::kAesGcm8, 128, IntegId::kNone, false},
      {EncrId::kAesCbc, 256, IntegId::kHmacSha2_384_192, false},
  };
  auto made = kAll[which % std::size(kAll)];
  made.esn = esn;
  return made;
}

// One direction of a Child SA, as the fuzzer knows it.
struct Direction {
  policy::ChildSaPtr sender, receiver;
  std::unique_ptr<crypto::PacketCipher> cipher;
  std::uint64_t last_sequence = 0;  // that the sender used
  std::set<Bytes> ivs;
  bool at_sender = false, at_receiver = false;  // installed

  // Opens a copy of an ESP packet with this sequence number; nothing where it is not authentic.
  [[nodiscard]] std::optional<Bytes> open(ByteView esp, std::uint64_t sequence) const {
    const std::size_t around = 8 + cipher->iv_size() + cipher->icv_size();
    if (esp.size() <= around) return std::nullopt;
    Bytes copy = to_bytes(esp);
    auto job = job_for(copy, sequence);
    cipher->open({&job, 1});
    if (!job.ok) return std::nullopt;
    const std::uint8_t* const data = job.iv() + cipher->iv_size();
    return Bytes(data, data + job.length);
  }
  // The plaintext (whole blocks, trailer and all) as an ESP packet.
  [[nodiscard]] Bytes seal(ByteView plaintext, std::uint64_t sequence) const {
    Bytes esp(8 + cipher->iv_size());
    wire::write_esp_header(esp, {receiver->inbound_spi, static_cast<std::uint32_t>(sequence)});
    for (std::size_t i = 8; i < esp.size(); ++i) esp[i] = static_cast<std::uint8_t>(sequence >> (i & 7U));
    append(esp, plaintext);
    esp.resize(esp.size() + cipher->icv_size());
    auto job = job_for(esp, sequence);
    cipher->seal({&job, 1});
    return esp;
  }

 private:
  [[nodiscard]] crypto::PacketJob job_for(Bytes& esp, std::uint64_t sequence) const {
    crypto::PacketJob job;
    job.header = esp.data();
    job.sequence_high = static_cast<std::uint32_t>(sequence >> 32U);
    job.length = static_cast<std::uint32_t>(esp.size() - 8 - cipher->iv_size() - cipher->icv_size());
    return job;
  }
};

// What came from TUN as one: a packet, or a super-packet in segments. It is carried, or dropped as one or piece by piece.
struct FromTun {
  std::size_t parts = 0, carried = 0;
  bool cut = false;  // a part of it went out in fragments
};

// A gateway, with what its surroundings must remember.
struct Gateway {
  Gateway(std::uint64_t seed, const esp::EngineConfig& config)
      : rng(seed), pool(100, 9216), engine(config, pool, rng) {}

  // Drops of all reasons, or of those that come after an authentic ICV.
  [[nodiscard]] std::uint64_t drops(bool authentic_only = false) const {
    using enum esp::DropReason;
    std::uint64_t sum = 0;
    if (authentic_only) {
      for (const auto reason :
           {kPadding, kNextHeader, kDummy, kMalformedDecrypted, kSelectorMismatch, kEcnInvalid, kNoBuffer})
        sum += engine.drops(reason);
      return sum;
    }
    for (std::size_t i = 0; i < esp::kDropReasons; ++i) sum += engine.drops(static_cast<esp::DropReason>(i));
    return sum;
  }
  [[nodiscard]] esp::SaStats totals() const {
    esp::SaStats sum;
    for (const auto id : engine.installed()) {
      const auto stats = engine.stats(id);
      require(stats.has_value(), "what is installed has figures");
      sum.inbound.packets += stats->inbound.packets;
      sum.outbound.packets += stats->outbound.packets;
      sum.outbound.bytes += stats->outbound.bytes;
    }
    return sum;
  }

  SeededRng rng;
  packet::PacketPool pool;
  esp::DataPlane engine;
  std::shared_ptr<const policy::Spd> spd;
  std::vector<FromTun> from_tun;
  // Essences of what came from TUN and has not been seen in ESP yet, and of what each is a part.
  std::map<Bytes, std::vector<std::size_t>> wanted;
  std::vector<std::pair<Bytes, std::size_t>>
      read_from_tun;  // whole, to recognise fragments, and of what it is a part
  std::uint64_t outbound_drops = 0;
  bool read_anything = false;             // packets whose outcome is not foretold
  std::map<Bytes, int> may_come_out;      // essences, of ESP packets that were handed over whole
  std::set<Bytes> handed_over;            // those ESP packets
  std::map<std::uint64_t, unsigned> mtu;  // of SAs, where it was set
  unsigned largest_mtu = 1500;            // that any SA ever had
};

}  // namespace merlon::fuzz
