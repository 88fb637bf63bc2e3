// The benchmark "handshake": IKE SAs with a Child SA each, initiator and responder in one process, their CPU time apart.
//
//   rate KE PROOF BATCHES BATCH  -> "rate": microseconds of CPU a set-up, for each batch: initiator, responder, bare OpenSSL
//   memory KE PROOF COUNT        -> "memory": bytes of the IKE engine for an established IKE SA: initiator, responder
#include <iostream>
#include <sstream>

#include "bench/handshake/floor.h"
#include "bench/trouble.h"

namespace merlon::bench {
namespace {

Kind kind_from(std::istringstream& words) {
  std::string ke, proof;
  words >> ke >> proof;
  return {ke, proof == "psk" ? Proof::kPsk : proof == "rsa-2048" ? Proof::kRsa2048 : Proof::kEcdsaP256};
}

void rate(std::istringstream& words) {
  const Kind kind = kind_from(words);
  std::size_t batches = 0, batch = 0;
  words >> batches >> batch;
  World world(kind, (batches + 1) * batch);
  world.set_up(batch);  // caches and tables of the process
  std::printf("rate");
  for (std::size_t i = 0; i < batches; ++i) {
    const double initiator = world.initiator().cpu_s(), responder = world.responder().cpu_s();
    world.set_up(batch);
    const double scale = 1e6 / static_cast<double>(batch);
    std::printf(" %.2f %.2f %.2f", (world.initiator().cpu_s() - initiator) * scale,
                (world.responder().cpu_s() - responder) * scale, floor_s(kind, batch) * 1e6);
  }
  std::printf("\n");
}

void memory(std::istringstream& words) {
  const Kind kind = kind_from(words);
  std::size_t count = 0;
  words >> count;
  World world(kind, count);
  const std::int64_t initiator = world.initiator().engine_bytes(),
                     responder = world.responder().engine_bytes();
  world.set_up(count);
  world.settle();
  const auto each = static_cast<double>(count);
  std::printf("memory %.0f %.0f\n", static_cast<double>(world.initiator().engine_bytes() - initiator) / each,
              static_cast<double>(world.responder().engine_bytes() - responder) / each);
}

}  // namespace
}  // namespace merlon::bench

int main() {
  merlon::bench::count_openssl();
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "rate") {
      merlon::bench::rate(words);
    } else if (verb == "memory") {
      merlon::bench::memory(words);
    } else {
      merlon::bench::give_up("what is \"" + line + "\"?");
    }
    std::fflush(stdout);
  }
}
