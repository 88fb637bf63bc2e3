#include "esp/outbound_set.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>

#include "base/rng.h"
#include "esp/test_peers.h"

namespace merlon::esp {
namespace {

// SAs without keys, each with rules of its own.
class Sas {
 public:
  const OutboundSa& make(std::uint64_t id, policy::TrafficSelectors remote_ts, std::uint8_t peer = 1) {
    Made& made = made_[id];
    made.remote_ts = std::move(remote_ts);
    made.rules.local_ts = made.local_ts;
    made.rules.remote_ts = made.remote_ts;
    made.material = SaMaterial::make(64);
    made.material->outbound_state.rules = &made.rules;
    OutboundSa& sa = made.material->outbound;
    sa.id = {id};
    sa.remote = CompactEndpoint(test::at(fmt::format("192.0.2.{}", peer)));
    return sa;
  }
  // As the control side does after a grace period.
  void forget(std::uint64_t id) { made_.erase(id); }
  const SaMaterial& material(std::uint64_t id) { return *made_.at(id).material; }

 private:
  struct Made {
    policy::TrafficSelectors local_ts = test::ts("10.1.0.0/16"), remote_ts;
    SaRules rules;
    std::unique_ptr<SaMaterial> material;
  };
  std::map<std::uint64_t, Made> made_;
};

policy::PacketSelectors packet_to(const IpAddress& destination, std::uint16_t port) {
  policy::PacketSelectors packet;
  packet.family = destination.family();
  packet.source = test::ip("10.1.0.7");
  packet.destination = destination;
  packet.protocol = IpProtocol::kUdp;
  packet.upper = wire::UpperFields::kPorts;
  packet.source_port = 1;
  packet.destination_port = port;
  return packet;
}

policy::TrafficSelectors any_remote(Rng& rng) {
  const auto host = fmt::format("10.2.{}.{}", rng.below(3), rng.below(6));
  switch (rng.below(6)) {
    case 0:
      return test::ts(fmt::format("10.2.{}.0/24", rng.below(3)));
    case 1:
      return test::ts(host + "[udp/53]");
    case 2: {  // not one prefix
      auto two = test::ts(host);
      two.push_back(test::ts("10.2.9.0/30")[0]);
      return two;
    }
    case 3:
      return test::ts("10.2.0.1-10.2.0.4");
    case 4:
      return test::ts("10.0.0.0/8");
    default:
      return test::ts(host);
  }
}

// SAs that come, go, move and change their use, few and many: the set chooses as a look at all of them would, newest first,
// and a worker's own before others (RFC 9611).
TEST(OutboundSet, ChoosesAsALookAtAllWould) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng rng(seed);
    Grace grace;
    Sas sas;
    OutboundSet set;
    std::vector<const OutboundSa*> oldest_first;
    std::map<std::uint64_t, std::unique_ptr<OutboundSa>> moved_ones;
    std::uint64_t next_id = 1;
    const std::uint64_t growth = 2 + rng.below(4);  // some worlds stay small
    for (int step = 0; step < 250; ++step) {
      if (oldest_first.empty() || rng.below(growth) != 0) {
        const OutboundSa& sa = sas.make(next_id++, any_remote(rng));
        const_cast<OutboundSa&>(sa).use_outbound = rng.below(8) != 0;
        const_cast<OutboundSa&>(sa).is_bound = rng.below(6) == 0;
        const_cast<OutboundSa&>(sa).owner = WorkerIndex{static_cast<std::uint8_t>(rng.below(2))};
        set.insert(sa, grace);
        oldest_first.push_back(&sa);
      } else {
        const std::size_t at = rng.below(oldest_first.size());
        const OutboundSa& sa = *oldest_first[at];
        const std::uint64_t id = sa.id.value;
        RC_ASSERT(&set.find(sas.material(id)) == &sa);
        if (rng.below(3) == 0) {
          auto next = moved(sa, {test::at("192.0.2.9"), test::at("192.0.2.10"), true}, rng.below(4) != 0);
          set.replace(sa, *next, grace);
          oldest_first[at] = next.get();
          moved_ones[id] = std::move(next);
        } else {
          set.erase(sa, grace);
          oldest_first.erase(oldest_first.begin() + static_cast<std::ptrdiff_t>(at));
          grace.reclaim();
          moved_ones.erase(id);
          sas.forget(id);
        }
      }
      RC_ASSERT(set.empty() == oldest_first.empty());
      const auto packet = packet_to(test::ip(fmt::format("10.2.{}.{}", rng.below(4), rng.below(8))),
                                    rng.below(2) == 0 ? 53 : 80);
      const WorkerIndex self{static_cast<std::uint8_t>(rng.below(3))};
      const OutboundSa* expected = nullptr;
      int best = 0;
      for (const OutboundSa* sa : oldest_first) {
        if (!sa->use_outbound || !policy::matches(sa->rules().local_ts, sa->rules().remote_ts, packet,
                                                  policy::Direction::kOutbound))
          continue;
        const int rank = !sa->is_bound ? 2 : sa->owner == self ? 3 : 1;
        if (rank < best) continue;
        best = rank;
        expected = sa;
      }
      RC_ASSERT(set.select(packet, self) == expected);
    }
    while (!oldest_first.empty()) {
      set.erase(*oldest_first.back(), grace);
      oldest_first.pop_back();
    }
    RC_ASSERT(set.empty());
    grace.reclaim();
  }));
}

// A child that answers very many peers: what comes, goes or is looked for does not look at all of them.
TEST(OutboundSet, TakesAHundredThousandSas) {
  Grace grace;
  Sas sas;
  OutboundSet set;
  constexpr std::uint32_t kSas = 100'000;
  const auto address = [](std::uint32_t i) { return IpAddress::v4(0x0a020000U + i); };
  for (std::uint32_t i = 0; i < kSas; ++i) {
    const OutboundSa& sa = sas.make(i, {policy::selector_for(address(i), address(i))});
    EXPECT_EQ(set.predecessor(sa), nullptr);
    set.insert(sa, grace);
    grace.reclaim();
  }
  for (std::uint32_t i = 0; i < kSas; ++i) {
    const OutboundSa* found = set.select(packet_to(address(i), 80));
    ASSERT_TRUE(found != nullptr && found->id.value == i);
  }
  EXPECT_EQ(set.select(packet_to(address(kSas), 80)), nullptr);
  const OutboundSa& again = sas.make(kSas, {policy::selector_for(address(7), address(7))});
  const OutboundSa* before = set.predecessor(again);
  ASSERT_NE(before, nullptr);
  EXPECT_EQ(before->id.value, 7U);
  for (std::uint32_t i = 0; i < kSas; ++i) {
    set.erase(set.find(sas.material(i)), grace);
    grace.reclaim();
  }
  EXPECT_TRUE(set.empty());
}

TEST(CompactEndpoint, GivesBackWhatItTook) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::"}) {
    for (const std::uint16_t port : {std::uint16_t{0}, std::uint16_t{4500}, std::uint16_t{65535}}) {
      const Endpoint endpoint{test::ip(text), port};
      const CompactEndpoint compact(endpoint);
      CompactEndpoint copy(compact), assigned;
      assigned = copy;
      EXPECT_EQ(compact.get(), endpoint);
      EXPECT_TRUE(assigned == endpoint && copy == endpoint);
    }
  }
}

}  // namespace
}  // namespace merlon::esp
