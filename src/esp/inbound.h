// The inbound half of the packet engine (RFC 4303 3.4, RFC 4301 5.2). One a worker.
#pragma once

#include <array>

#include "esp/coalescer.h"
#include "esp/engine.h"
#include "esp/published.h"
#include "esp/reporter.h"
#include "wire/esp.h"

namespace merlon::esp {

class Inbound {
 public:
  // All outlive it.
  Inbound(const EngineConfig& config, Published& published, WorkerIndex self, packet::PacketPool& pool,
          Reporter& reporter)
      : published_(published),
        reader_(published.grace.reader(self.value)),
        reporter_(reporter),
        coalescer_(config, pool, reporter) {}
  // ESP packets for SAs of this worker, and for none.
  void process(Instant now, packet::Burst& in, InboundResult& out);

 private:
  struct Item {  // an ESP packet on its way through the burst, beside its job
    // Of the buffer; empty once an earlier packet of the same buffer took it.
    packet::PacketPtr* owner = nullptr;
    const packet::PacketMeta* meta = nullptr;  // the buffer's
    const InboundSa* sa = nullptr;
    SequenceNumber sequence;
  };

  void admit(Instant now, packet::PacketPtr& owner, const packet::PacketMeta& meta, MutableByteView esp,
             InboundResult& out);
  void run(Instant now, InboundResult& out);
  void prefetch(packet::Burst& in) const;
  [[nodiscard]] const InboundSa* find(Spi spi);
  struct Tally {  // of packets of one SA that were authentic
    const InboundSa* sa = nullptr;
    std::uint64_t packets = 0, bytes = 0;
  };
  void count(Instant now, Tally& tally);
  void deliver(Instant now, const Item& item, const crypto::PacketJob& job, Tally& tally, InboundResult& out);
  [[gnu::noinline]] void deliver_any(Instant now, const Item& item, IpProtocol next_header,
                                     MutableByteView inner, InboundResult& out);
  [[nodiscard]] bool is_plainly_right(const Item& item, MutableByteView& inner, PlainV4& plain) const;
  [[nodiscard]] bool strip(Instant now, const Item& item, IpFamily family, MutableByteView& inner,
                           wire::PacketView& view);
  [[gnu::noinline, gnu::cold]] void note_first(const InboundSa& sa);
  [[gnu::noinline]] void note_source(Instant now, const InboundSa& sa, const packet::PacketMeta& meta);
  // Apart: what is rare should not make room for itself among what is not.
  [[gnu::noinline, gnu::cold]] void refuse(Instant now, const Item& item, DropReason reason,
                                           ByteView inner = {});
  void note_authentic(Instant now, const Item& item, bool is_newest);
  [[gnu::noinline, gnu::cold]] void drop(Instant now, ByteView esp, const packet::PacketMeta& meta,
                                         const InboundSa* sa, DropReason reason);

  Published& published_;
  Grace::Reader& reader_;
  Reporter& reporter_;
  Coalescer coalescer_;
  std::array<Item, packet::kBurstCapacity> items_;
  std::array<crypto::PacketJob, packet::kBurstCapacity> jobs_;
  std::array<crypto::PacketCipher*, packet::kBurstCapacity> ciphers_;  // of the jobs
  std::size_t count_ = 0, bytes_ = 0;
  const InboundSa* last_found_ = nullptr;  // in this burst
};

}  // namespace merlon::esp
