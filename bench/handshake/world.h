// Many initiators, each with a connection and an address of its own, in one engine; one responder that takes them all, as
// a gateway for people on the road does.
#pragma once

#include "bench/handshake/side.h"

namespace merlon::bench {

enum class Proof { kPsk, kEcdsaP256, kRsa2048 };

struct Kind {
  std::string ke;  // "x25519", "ecp256", "modp2048"
  Proof proof = Proof::kPsk;
};

class World {
 public:
  World(const Kind& kind, std::size_t sas);
  // The next `count` IKE SAs, each with a Child SA.
  void set_up(std::size_t count);
  // Everything that is timed for the next minute has happened: what a set-up leaves behind for a while is gone.
  void settle();

  [[nodiscard]] const Side& initiator() const { return initiator_; }
  [[nodiscard]] const Side& responder() const { return responder_; }

 private:
  void configure(const Kind& kind, std::size_t sas);
  void deliver_all();
  [[nodiscard]] Now now() const { return {now_, wall_}; }

  Side initiator_, responder_;
  Wire wire_;
  std::size_t done_ = 0;
  Instant now_;
  UnixTime wall_;
};

}  // namespace merlon::bench
