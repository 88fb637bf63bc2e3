// The inbound half of the packet engine (RFC 4303 3.4, RFC 4301 5.2). One a worker.
#pragma once

#include <array>

#include "esp/engine.h"
#include "esp/published.h"
#include "esp/reporter.h"
#include "wire/esp.h"

namespace merlon::esp {

class Inbound {
 public:
  Inbound(Published& published, Reporter& reporter) : published_(published), reporter_(reporter) {}
  void process(Instant now, packet::Burst& in, InboundResult& out);

 private:
  struct Item {  // a packet on its way through the burst, beside its job
    packet::PacketPtr packet;
    const InboundSa* sa = nullptr;
    SequenceNumber sequence;
  };

  void admit(Instant now, packet::PacketPtr packet);
  void open();
  void deliver(Instant now, Item& item, InboundResult& out);
  [[nodiscard]] bool strip(Instant now, Item& item, const wire::EspTrailer& trailer);
  void refuse(Instant now, const Item& item, DropReason reason);
  void note_authentic(Instant now, Item& item, bool is_newest, std::size_t payload_size);
  void drop(Instant now, const packet::Packet& packet, const InboundSa* sa, DropReason reason);

  Published& published_;
  Reporter& reporter_;
  std::array<Item, packet::kBurstCapacity> items_;
  std::array<crypto::PacketJob, packet::kBurstCapacity> jobs_;
  std::size_t count_ = 0;
};

}  // namespace merlon::esp
