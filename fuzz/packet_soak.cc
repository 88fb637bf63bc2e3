// Packets of every shape through two packet engines, and a wire between them that loses, corrupts, delays, marks and replays.
// What went in must come out once, unchanged after the kernel's own cutting, and in order within a flow where the wire kept
// it; nothing else may come out. Everything follows from the seed: a failure names the world that shows it again.
//
//   packet_soak [--minutes N] [--seed N]      CPU minutes; by default one, and seed 1
//   packet_soak --world N                     one world again
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "fuzz/packet_soak_world.h"

namespace {

constexpr unsigned kRoundsInWorld = 400;
std::uint64_t world_now = 0;

}  // namespace

namespace merlon::soak {

void broken(const char* rule, const std::string& detail) {
  fmt::print(stderr, "packet_soak --world {}: broken: {} {}\n", world_now, rule, detail);
  std::abort();
}

}  // namespace merlon::soak

int main(int argc, char** argv) {
  double minutes = 1;
  std::uint64_t seed = 1;
  bool one_world = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--minutes") minutes = std::strtod(argv[i + 1], nullptr);
    if (option == "--seed") seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--world") {
      world_now = std::strtoull(argv[i + 1], nullptr, 10);
      one_world = true;
    }
  }
  do {
    if (!one_world) world_now = seed * 1000000 + merlon::soak::counters.worlds;
    merlon::soak::World world(world_now);
    world.run(kRoundsInWorld);
  } while (!one_world && static_cast<double>(std::clock()) < minutes * 60 * CLOCKS_PER_SEC);
  const merlon::soak::Counters& seen = merlon::soak::counters;
  fmt::print("{}\n", seen.to_string());
  // A rare path counts as soaked when a counter shows that it ran.
  const bool all_ran = seen.corrupted != 0 && seen.lost != 0 && seen.replayed != 0 && seen.delayed != 0 &&
                       seen.marked != 0 && seen.joined != 0 && seen.fragments_out != 0 && seen.too_big != 0 &&
                       seen.rekeys != 0 && seen.moves != 0;
  if (all_ran || one_world) return EXIT_SUCCESS;
  fmt::print(stderr, "too short: some of these never happened\n");
  return EXIT_FAILURE;
}
