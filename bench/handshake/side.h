// One end of the handshakes: an IKE engine with a packet engine behind it, as the daemon joins them, and the CPU time that
// was spent in them.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "bench/allocations.h"
#include "esp/engine.h"
#include "ike/credentials.h"
#include "ikev2/engine.h"

namespace merlon::bench {

using Wire = std::deque<ike::Transmit>;  // what was sent and has not arrived

class Side final : public ike::SpiAllocator {
 public:
  Side(Owner owner, std::size_t sas);

  void configure(Now now, std::vector<policy::ConnectionPtr> connections,
                 std::shared_ptr<const ike::Credentials> credentials);
  // Each runs until the engine wants nothing more, and puts what it sends on the wire.
  void initiate(Now now, const std::string& connection, const Endpoint& local, const Endpoint& remote,
                Wire& wire);
  void receive(Now now, const ike::Transmit& sent, Wire& wire);
  void advance(Now now, Wire& wire);

  [[nodiscard]] double cpu_s() const { return cpu_s_; }  // of this thread, so far
  [[nodiscard]] std::size_t established() const { return established_; }
  [[nodiscard]] std::int64_t engine_bytes() const { return bytes_in_use(owner_); }

 private:
  Result<Spi> allocate() override { return data_plane_.allocate_spi(rng_); }
  void release(Spi spi) override { data_plane_.release_spi(spi); }
  void carry_out(Now now, Wire& wire);

  Owner owner_;
  SeededRng rng_;
  packet::PacketPool pool_;
  esp::DataPlane data_plane_;
  std::unique_ptr<ikev2::Engine> engine_;
  double cpu_s_ = 0;
  std::size_t established_ = 0;
};

}  // namespace merlon::bench
