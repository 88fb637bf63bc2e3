// One that speaks IKE as far as an attacker on the path can: it sends from any address and sees what is answered. It is our
// own engine, so what it sends is as good as an honest peer's, up to where it stops.
#pragma once

#include <memory>
#include <vector>

#include "base/ip_address.h"
#include "base/rng.h"
#include "ikev2/engine.h"

namespace merlon::flood {

class Attacker {
 public:
  // `identity_size`: of its own identity, in bytes. A large one makes a large IKE_AUTH.
  Attacker(const IpAddress& source, const IpAddress& gateway, std::size_t identity_size, std::uint64_t seed);

  // Begins an IKE SA. Each message as it would stand in a UDP datagram from port 500.
  [[nodiscard]] std::vector<Bytes> begin();
  // An answer of the gateway's, and what an honest peer sends then.
  [[nodiscard]] std::vector<Bytes> hear(ByteView answer, const Endpoint& to);
  [[nodiscard]] const IpAddress& source() const { return source_; }

 private:
  class NoSpis final : public ike::SpiAllocator {
   public:
    Result<Spi> allocate() override { return Spi{++last_}; }
    void release(Spi) override {}

   private:
    std::uint32_t last_ = 0x10000;
  };
  [[nodiscard]] std::vector<Bytes> take();

  IpAddress source_, gateway_;
  SeededRng rng_;
  NoSpis spis_;
  ikev2::Engine engine_;
};

}  // namespace merlon::flood
