// The second half of outbound: ESP packets around inner ones, back to back in outgoing buffers ("trains") that
// one send can take (RFC 4303 3.3). One a worker.
#pragma once

#include <array>
#include <vector>

#include "base/rng.h"
#include "esp/config.h"
#include "esp/reporter.h"
#include "esp/sa.h"
#include "packet/burst.h"
#include "packet/pool.h"
#include "wire/ip/segment.h"

namespace merlon::esp {

// What the way through the tunnel depends on beside the flow.
struct InnerTraits {
  IpFamily family = IpFamily::kIpv4;
  std::uint8_t tos = 0;
  bool dont_fragment = false;
  bool may_say_mss = false;  // TCP, and SYN as far as that was looked at
};

// An inner packet of the burst.
struct InnerPacket {
  packet::PacketPtr packet;
  InnerTraits traits;
};
static_assert(sizeof(InnerPacket) == 16);

class Encapsulator {
 public:
  // All outlive it; `rng` gives the IVs of CBC.
  Encapsulator(const EngineConfig& config, packet::PacketPool& pool, Rng& rng, Reporter& reporter);

  // What an ESP packet is made with. Goes by value, in two registers.
  struct Frame {
    const OutboundSa* sa = nullptr;
    IpFamily family = IpFamily::kIpv4;  // of the inner packet
    std::uint8_t tos = 0;               // inner
    bool may_fragment_outer = false;
    bool fits_path = true;  // else it will be fragmented outside, and travels alone
    std::uint32_t mark = 0;
  };
  static_assert(sizeof(Frame) == 16);

  // What is made is appended to `transmit` at once, but is whole only after finish().

  // May outer packets around inner ones be fragmented, by the inner DF?
  struct OuterFragments {
    bool without_df = false, with_df = false;
  };
  // Whole inner packets that fit the path, `bytes` in all.
  void add_all(Instant now, const OutboundSa& sa, std::span<InnerPacket> packets, std::size_t bytes,
               OuterFragments may_fragment, packet::PacketList& transmit);
  // A whole inner packet: in place where it opens a train, copied behind the train's last else.
  void add(Instant now, packet::PacketPtr packet, Frame frame, packet::PacketList& transmit);
  // Every segment of a super-packet, written straight into its place.
  void add_segments(Instant now, const wire::SegmentCutter& cutter, Frame frame,
                    packet::PacketList& transmit);
  // Encrypts what is left. To be called before the SAs may go.
  void finish();

 private:
  struct Train {
    packet::Packet* packet = nullptr;  // in `transmit`
    Frame frame;
    std::size_t segment_size = 0;  // of the first ESP packet
    unsigned count = 0;
    bool is_closed = false;  // the last one is shorter: nothing may follow
  };

  [[nodiscard]] Train* train_for(Frame frame, std::size_t esp_size);
  // Without UDP every ESP packet is a send of its own, and joining them would only copy.
  [[nodiscard]] bool joins(const OutboundSa& sa) const {
    return sa.udp_encapsulation && config_.max_joined > 1;
  }
  void open_train(packet::PacketPtr packet, Frame frame, std::size_t esp_size, packet::PacketList& transmit);
  static MutableByteView append_to(Train& train, std::size_t esp_size);
  [[nodiscard]] bool take_sequence(Instant now, const OutboundSa& sa, std::size_t size,
                                   SequenceNumber& sequence);
  [[nodiscard]] bool take_watched_sequence(Instant now, const OutboundSa& sa, std::size_t size,
                                           SequenceNumber& sequence);
  [[nodiscard]] static bool claim(Instant now, const OutboundSa& sa, std::size_t count, std::size_t bytes,
                                  SequenceNumber& first);
  void add_alone(Instant now, packet::PacketPtr packet, Frame frame, packet::PacketList& transmit);
  void add_claimed(const OutboundSa& sa, std::span<InnerPacket> packets, SequenceNumber first,
                   OuterFragments may_fragment, packet::PacketList& transmit);
  void add_claimed(const OutboundSa& sa, InnerPacket& one, SequenceNumber sequence,
                   OuterFragments may_fragment, packet::PacketList& transmit);
  void wrap(std::uint8_t* esp, std::size_t inner_size, const OutboundSa& sa, TunnelSizes sizes,
            IpFamily family, SequenceNumber sequence);
  void seal();
  static void address(packet::PacketMeta& meta, Frame frame);

  const EngineConfig& config_;
  packet::PacketPool& pool_;
  Rng& rng_;
  Reporter& reporter_;
  std::vector<Train> trains_;  // of this call, in order; reused, so that its memory is allocated once
  std::array<crypto::PacketJob, packet::kBurstCapacity> jobs_;
  std::array<crypto::PacketCipher*, packet::kBurstCapacity> ciphers_;  // of the jobs
  std::size_t job_count_ = 0, job_bytes_ = 0;
};

}  // namespace merlon::esp
