#include <gmock/gmock.h>
#include <rapidcheck.h>

#include "packet/burst.h"
#include "packet/pool.h"

namespace merlon::packet {
namespace {

using ::testing::ElementsAre;

TEST(Packet, GrowsAndShrinksAtBothEnds) {
  PacketPool pool(1, 100);
  PacketPtr packet = pool.copy_of(Bytes{3, 4, 5});
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->headroom(), kDefaultHeadroom);
  EXPECT_GE(packet->tailroom(), kDefaultTailroom);
  MutableByteView front = packet->prepend(2);
  front[0] = 1;
  front[1] = 2;
  packet->extend(1)[0] = 6;
  EXPECT_THAT(to_bytes(packet->bytes()), ElementsAre(1, 2, 3, 4, 5, 6));
  packet->trim_front(1);
  packet->trim_back(2);
  EXPECT_THAT(to_bytes(packet->bytes()), ElementsAre(2, 3, 4));
}

// Whatever is in them: what is received begins a cache line, and so does the ESP header in front of an inner packet.
TEST(Pool, EspBeginsACacheLine) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{2048}, kLargestPacket}) {
    PacketPool pool(3, size);
    const auto line_offset = [](const std::uint8_t* at) { return reinterpret_cast<std::uintptr_t>(at) % 64; };
    for (int i = 0; i < 3; ++i) {
      const PacketPtr received = pool.allocate();
      EXPECT_EQ(line_offset(received->receive_area().data()), 0U);
      const PacketPtr inner = pool.allocate_inner();
      EXPECT_GE(inner->receive_area().size(), size);
      EXPECT_EQ(line_offset(inner->prepend(kEspHeaderRoom).data()), 0U);
      EXPECT_GE(inner->headroom(), kDefaultHeadroom);
    }
  }
}

TEST(Packet, NarrowsToAPartAndGrowsFromThere) {
  PacketPool pool(1, 100);
  PacketPtr packet = pool.copy_of(Bytes{1, 2, 3, 4, 5, 6});
  packet->narrow_to(packet->bytes().subspan(2, 2));
  EXPECT_THAT(to_bytes(packet->bytes()), ElementsAre(3, 4));
  packet->extend(1);
  EXPECT_THAT(to_bytes(packet->bytes()), ElementsAre(3, 4, 5));
  packet->prepend(1);
  EXPECT_THAT(to_bytes(packet->bytes()), ElementsAre(2, 3, 4, 5));
}

TEST(Packet, RefusesWhatDoesNotFit) {
  PacketPool pool(1, 100);
  EXPECT_FALSE(pool.copy_of(Bytes(pool.packet_size() + 64)));
  EXPECT_TRUE(pool.copy_of(Bytes(pool.packet_size())));
  EXPECT_EQ(pool.in_use(), 0U);
}

TEST(Packet, ReceiveAreaHoldsTheLongestPacket) {
  PacketPool pool(1, 1500);
  PacketPtr packet = pool.allocate();
  EXPECT_GE(packet->receive_area().size(), 1500U);
  packet->set_length(packet->receive_area().size());
  EXPECT_GE(packet->tailroom(), kDefaultTailroom);
}

TEST(PacketPool, CountsExhaustionAndHandsOutCleanPackets) {
  PacketPool pool(2, 64);
  PacketPtr first = pool.allocate();
  PacketPtr second = pool.allocate();
  EXPECT_FALSE(pool.allocate());
  EXPECT_EQ(pool.exhausted(), 1U);
  first->meta.tos = 3;
  first->meta.segment_size = 7;
  first->prepend(5);
  first.reset();
  PacketPtr again = pool.allocate();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->meta.tos, 0);
  EXPECT_EQ(again->meta.segment_size, 0);
  EXPECT_EQ(again->size(), 0U);
  EXPECT_EQ(again->headroom(), kDefaultHeadroom);
}

TEST(PacketPool, PacketsNeverOverlap) {
  EXPECT_TRUE(rc::check([](std::vector<std::uint8_t> sizes) {
    PacketPool pool(sizes.size(), 255);
    std::vector<PacketPtr> packets;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      packets.push_back(pool.copy_of(Bytes(sizes[i], static_cast<std::uint8_t>(i))));
      packets.back()->prepend(packets.back()->headroom());
      packets.back()->extend(packets.back()->tailroom());
    }
    for (std::size_t i = 0; i < sizes.size(); ++i)
      for (std::uint8_t& byte : packets[i]->bytes()) byte = static_cast<std::uint8_t>(i);
    for (std::size_t i = 0; i < sizes.size(); ++i)
      for (std::uint8_t byte : packets[i]->bytes()) RC_ASSERT(byte == static_cast<std::uint8_t>(i));
  }));
}

TEST(Burst, HoldsSixtyFourAndFreesThem) {
  PacketPool pool(100, 64);
  Burst burst;
  while (!burst.full()) burst.push(pool.allocate());
  EXPECT_EQ(burst.size(), kBurstCapacity);
  EXPECT_EQ(pool.in_use(), kBurstCapacity);
  PacketPtr taken = std::move(burst[3]);
  burst.clear();
  EXPECT_TRUE(burst.empty());
  EXPECT_EQ(pool.in_use(), 1U);
}

}  // namespace
}  // namespace merlon::packet
