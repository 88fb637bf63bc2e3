#include "esp/flow_cache.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>

#include "base/rng.h"

namespace merlon::esp {
namespace {

wire::PacketView flow(std::uint32_t destination, std::uint16_t port = 80) {
  wire::PacketView view;
  view.source = IpAddress::v4(0x0a000001);
  view.destination = IpAddress::v4(destination);
  view.protocol = IpProtocol::kTcp;
  view.upper = wire::UpperFields::kPorts;
  view.source_port = 1024;
  view.destination_port = port;
  return view;
}

IpAddress value_of(const char* text) {
  return IpAddress::parse(text).value();
}

// The decisions are told apart by pointers that nobody follows.
OutboundDecision decision(std::uintptr_t number) {
  return {nullptr, reinterpret_cast<const OutboundSa*>(number * 64)};
}

const OutboundSa* find(const FlowCache& cache, const wire::PacketView& view, std::uint64_t generation) {
  const FlowKey key(view);
  const auto found = cache.find(key, key.hash(), generation);
  return found ? found->sa : nullptr;
}
void put(FlowCache& cache, const wire::PacketView& view, std::uint64_t generation, std::uintptr_t number) {
  const FlowKey key(view);
  cache.put(key, key.hash(), generation, decision(number));
}

TEST(FlowCache, KnowsAFlowForOneGeneration) {
  FlowCache cache;
  EXPECT_EQ(find(cache, flow(1), 5), nullptr);
  put(cache, flow(1), 5, 7);
  EXPECT_EQ(find(cache, flow(1), 5), decision(7).sa);
  EXPECT_EQ(find(cache, flow(1), 6), nullptr);
  EXPECT_EQ(find(cache, flow(1, 81), 5), nullptr);
  put(cache, flow(1), 6, 8);
  EXPECT_EQ(find(cache, flow(1), 6), decision(8).sa);
}

// Both families in one generation, SAs and policies: what is found is what was put last, or nothing.
TEST(FlowCache, FindsWhatWasPut) {
  EXPECT_TRUE(rc::check([] {
    FlowCache cache;
    std::map<std::pair<std::uint32_t, bool>, std::pair<std::uint64_t, OutboundDecision>> model;
    std::uint64_t generation = 1;
    std::size_t found_ones = 0;
    const int steps = *rc::gen::inRange(1, 3000);
    SeededRng rng(*rc::gen::arbitrary<std::uint64_t>());
    for (int i = 0; i < steps; ++i) {
      if (rng.below(500) == 0) ++generation;
      const auto number = static_cast<std::uint32_t>(rng.below(600));
      const bool v6 = rng.below(2) == 0;
      wire::PacketView view = flow(number);
      if (v6) {
        view.family = IpFamily::kIpv6;
        view.source = value_of("2001:db8::1");
        view.destination = IpAddress::any(IpFamily::kIpv6);
        for (std::uint32_t n = 0; n < number % 7; ++n) view.destination = view.destination.next();
        view.destination_port = static_cast<std::uint16_t>(number);
      }
      const FlowKey key(view);
      const auto known = cache.find(key, key.hash(), generation);
      const auto expected = model.find({number, v6});
      if (known) {
        ++found_ones;
        RC_ASSERT(expected != model.end() && expected->second.first == generation);
        RC_ASSERT(known->sa == expected->second.second.sa && known->entry == expected->second.second.entry);
        continue;
      }
      OutboundDecision made = decision(rng.below(3) == 0 ? 0 : number + 1);
      if (made.sa == nullptr && rng.below(2) == 0)
        made.entry = reinterpret_cast<const policy::SpdEntry*>((std::uintptr_t{number} + 1) * 8);
      cache.put(key, key.hash(), generation, made);
      model[{number, v6}] = {generation, made};
    }
    RC_ASSERT(steps < 2500 || found_ones > 100U);
  }));
}

TEST(FlowCache, GrowsWithTheFlowsUpToItsLimit) {
  FlowCache cache;
  put(cache, flow(0), 1, 1);
  EXPECT_EQ(cache.size(), FlowCache::kLeastSize);
  constexpr std::uint32_t kFlows = 100'000;
  for (int round = 0; round < 2; ++round)
    for (std::uint32_t i = 0; i < kFlows; ++i)
      if (find(cache, flow(i), 1) == nullptr) put(cache, flow(i), 1, i + 1);
  std::size_t known = 0;
  for (std::uint32_t i = 0; i < kFlows; ++i) {
    const OutboundSa* const found = find(cache, flow(i), 1);
    if (found == nullptr) continue;
    EXPECT_EQ(found, decision(i + 1).sa);
    ++known;
  }
  EXPECT_GT(known, kFlows * 99 / 100);
  for (std::uint32_t i = 0; i < 1'000'000; ++i) put(cache, flow(i, 443), 1, 1);
  EXPECT_EQ(cache.size(), FlowCache::kMaxSize);
}

// Two packets have one key only where no selector can tell them apart.
TEST(FlowKey, HoldsWhatSelectorsSee) {
  const auto any_view = [] {
    const auto byte = [] { return *rc::gen::element<std::uint8_t>(0, 1, 0x80, 0xff); };
    wire::PacketView view;
    view.family = byte() < 2 ? IpFamily::kIpv4 : IpFamily::kIpv6;
    for (IpAddress* address : {&view.source, &view.destination}) {
      Bytes bytes(view.family == IpFamily::kIpv4 ? 4 : 16);
      for (std::uint8_t& one : bytes) one = byte();
      *address = IpAddress::from_bytes(bytes).value();
    }
    view.protocol = IpProtocol{byte()};
    view.is_protocol_opaque = byte() == 0;
    view.upper =
        *rc::gen::element(wire::UpperFields::kNone, wire::UpperFields::kPorts, wire::UpperFields::kIcmp,
                          wire::UpperFields::kMobility, wire::UpperFields::kOpaque);
    if (view.upper == wire::UpperFields::kPorts) {
      view.source_port = static_cast<std::uint16_t>(byte() << 8U | byte());
      view.destination_port = static_cast<std::uint16_t>(byte() << 8U | byte());
    }
    if (view.upper == wire::UpperFields::kIcmp) {
      view.icmp_type = byte();
      view.icmp_code = byte();
    }
    if (view.upper == wire::UpperFields::kMobility) view.mobility_type = byte();
    return view;
  };
  EXPECT_TRUE(rc::check([&] {
    const wire::PacketView a = any_view();
    wire::PacketView b = a;
    b.ttl = 9;
    b.total_length = 1000;
    RC_ASSERT(FlowKey(a) == FlowKey(b));
    const wire::PacketView other = any_view();
    // Where nothing but one field differs.
    const wire::PacketView before = b;
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
        if (a.family == other.family) b.source = other.source;
        break;
      case 1:
        if (a.family == other.family) b.destination = other.destination;
        break;
      case 2:
        b.protocol = other.protocol;
        break;
      case 3:
        if (a.upper == other.upper) {
          b.source_port = other.source_port;
          b.destination_port = other.destination_port;
          b.icmp_type = other.icmp_type;
          b.icmp_code = other.icmp_code;
          b.mobility_type = other.mobility_type;
        }
        break;
      default:
        b.is_protocol_opaque = other.is_protocol_opaque;
    }
    RC_ASSERT((FlowKey(b) == FlowKey(a)) == (b == before));
    if (FlowKey(a) == FlowKey(b)) RC_ASSERT(FlowKey(a).hash() == FlowKey(b).hash());
  }));
}

}  // namespace
}  // namespace merlon::esp
