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

  // A whole inner packet: in place where it opens a train, copied behind the train's last else.
  void add(Instant now, packet::PacketPtr packet, Frame frame);
  // Every segment of a super-packet, written straight into its place.
  void add_segments(Instant now, const wire::SegmentCutter& cutter, Frame frame);
  // Encrypts what is left and hands all trains on, in order. To be called before the SAs may go.
  void finish(packet::PacketList& transmit);

 private:
  struct Train {
    packet::PacketPtr packet;
    Frame frame;
    std::size_t segment_size = 0;  // of the first ESP packet
    unsigned count = 0;
    bool is_closed = false;  // the last one is shorter: nothing may follow
  };

  [[nodiscard]] Train* train_for(Frame frame, std::size_t esp_size);
  Train& open_train(packet::PacketPtr packet, Frame frame, std::size_t esp_size);
  static MutableByteView append_to(Train& train, std::size_t esp_size);
  [[nodiscard]] bool take_sequence(Instant now, const OutboundSa& sa, std::size_t size,
                                   SequenceNumber& sequence);
  [[nodiscard]] bool take_watched_sequence(Instant now, const OutboundSa& sa, std::size_t size,
                                           SequenceNumber& sequence);
  void wrap(MutableByteView esp, std::size_t inner_size, Frame frame, SequenceNumber sequence);
  void seal();
  static void address(Train& train);

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
