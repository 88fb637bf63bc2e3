#include "esp/plain_v4.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/rng.h"
#include "esp/flow_key.h"
#include "wire/ip/plain_packet.h"

namespace merlon::esp {
namespace {

// Mostly a plain packet; some bytes may be anything.
Bytes some_packet(Rng& rng) {
  constexpr std::uint8_t kProtocols[] = {1, 6, 17, 17, 50, 58};
  Bytes packet = rng.bytes(rng.below(60) + (rng.below(4) == 0 ? 0 : 28));
  const auto put = [&](std::size_t at, std::size_t value) {
    if (at < packet.size()) packet[at] = static_cast<std::uint8_t>(value);
  };
  put(0, 0x45);
  const std::size_t length =
      rng.below(4) == 0 ? rng.below(200) : packet.size() - std::min<std::size_t>(packet.size(), rng.below(3));
  put(2, length >> 8U);
  put(3, length);
  put(6, rng.below(8) == 0 ? rng.below(256) : rng.below(4) << 6U);
  put(7, rng.below(8) == 0 ? 1 : 0);
  put(9, kProtocols[rng.below(std::size(kProtocols))]);
  if (rng.below(4) == 0) put(rng.below(40), rng.below(256));
  return packet;
}

// wire/ip is what says how a packet is read; this must not say anything else, and not less of plain packets.
TEST(PlainV4, SaysWhatTheParserSays) {
  std::size_t read = 0;
  EXPECT_TRUE(rc::check([&](std::uint64_t seed) {
    SeededRng rng(seed);
    for (int i = 0; i < 100; ++i) {
      const Bytes packet = some_packet(rng);
      wire::PacketView view;
      PlainV4 plain;
      const bool is_plain = wire::read_plain_packet(packet, view) && view.family == IpFamily::kIpv4;
      RC_ASSERT(plain.read(packet) == is_plain);
      if (!is_plain) continue;
      ++read;
      RC_ASSERT(FlowKey(plain) == FlowKey(view));
      RC_ASSERT(plain.total_length == view.total_length);
      RC_ASSERT(plain.tos == view.tos && plain.dont_fragment == view.dont_fragment);
      RC_ASSERT(plain.addresses ==
                (std::uint64_t{view.source.v4_host_order()} << 32U | view.destination.v4_host_order()));
      const bool is_syn =
          view.protocol == IpProtocol::kTcp && view.total_length > 33 && (packet[33] & 2U) != 0;
      RC_ASSERT(plain.is_syn == is_syn);
    }
  }));
  EXPECT_GT(read, 1000U);
}

}  // namespace
}  // namespace merlon::esp
