#include "ikev2/fragmentation.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <set>

#include "ikev2/test_support.h"

namespace merlon::ikev2 {
namespace {

constexpr Instant kNow{std::chrono::hours(1)};

using Outcome = Reassembly::Outcome;
using wire::PayloadType;

// A whole message's worth of payloads: several of them, each up to `size` bytes.
std::vector<wire::Payload> payloads_of(SeededRng& rng, std::size_t count, std::size_t size) {
  std::vector<wire::Payload> payloads;
  for (std::size_t i = 0; i < count; ++i)
    payloads.emplace_back(wire::VendorIdPayload{rng.bytes(rng.below(size + 1)), false});
  return payloads;
}

OpenedFragment opened(MessageProtection& receiver, const Bytes& datagram) {
  const auto message = wire::parse_message(datagram);
  if (!message) throw std::runtime_error(message.error().error.message);
  auto fragment = receiver.open_fragment(datagram, *message);
  if (!fragment) throw std::runtime_error(fragment.error().parse.error.message);
  return std::move(*fragment);
}

OpenedFragment fragment_of(std::uint16_t number, std::uint16_t total, Bytes content) {
  return {number, total, number == 1 ? PayloadType::kVendorId : PayloadType::kNone, std::move(content)};
}

TEST(Fragmentation, EveryDatagramKeepsTheLimitAndAnyOrderWithDuplicatesGivesTheMessageBack) {
  for (const auto& suite : test::suites()) {
    EXPECT_TRUE(rc::check([&](std::uint64_t seed) {
      SeededRng rng(seed);
      auto [sender, receiver] = test::protections(suite, rng);
      const auto payloads = payloads_of(rng, 1 + rng.below(5), 900);
      const DatagramLimit limit{200 + rng.below(1300), rng.below(2) == 0 ? IpFamily::kIpv4 : IpFamily::kIpv6,
                                rng.below(2) == 0};
      const auto header = test::header(rng, wire::ExchangeType::kIkeAuth);
      const auto datagrams = seal_fragmented(sender, header, payloads, limit, true, rng);
      RC_ASSERT(datagrams.has_value());
      const std::size_t headers = (limit.family == IpFamily::kIpv4 ? 20 : 40) + 8 + (limit.natt ? 4 : 0);
      for (const auto& datagram : *datagrams) RC_ASSERT(datagram.size() + headers <= limit.bytes);
      if (datagrams->size() == 1) {
        RC_ASSERT(receiver.open((*datagrams)[0], *wire::parse_message((*datagrams)[0]))->payloads ==
                  payloads);
        return;
      }
      // All but the last are filled (as far as whole blocks go), so there are no more of them than needed.
      for (std::size_t i = 0; i + 1 < datagrams->size(); ++i)
        RC_ASSERT((*datagrams)[i].size() == (*datagrams)[0].size());

      std::vector<std::size_t> order;
      for (std::size_t i = 0; i < datagrams->size(); ++i) order.insert(order.end(), 1 + rng.below(3), i);
      for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
      Reassembly reassembly;
      std::set<std::size_t> seen;
      std::size_t completed = 0;
      for (const auto i : order) {
        const auto outcome = reassembly.add(header.message_id, opened(receiver, (*datagrams)[i]), kNow);
        const bool is_new = seen.insert(i).second;
        RC_ASSERT((outcome == Outcome::kDuplicate) == !is_new);
        if (outcome == Outcome::kComplete) {
          ++completed;
          const auto whole = reassembly.take();
          RC_ASSERT(whole.has_value());
          RC_ASSERT(*wire::parse_payloads(whole->first, whole->content) == payloads);
          RC_ASSERT(whole->fragments == datagrams->size());
        }
      }
      RC_ASSERT(completed == 1U);
      RC_ASSERT(reassembly.is_complete(header.message_id));
      RC_ASSERT(!reassembly.take().has_value());
      RC_ASSERT(reassembly.stored_bytes() == 0U);
    })) << name(suite.encr);
  }
}

TEST(Fragmentation, AMessageWithALostFragmentIsNeverComplete) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng rng(seed);
    auto [sender, receiver] = test::protections(test::suites()[0], rng);
    std::vector<wire::Payload> payloads = {wire::VendorIdPayload{rng.bytes(2000), false}};
    const auto header = test::header(rng);
    const auto datagrams =
        seal_fragmented(sender, header, payloads, {400, IpFamily::kIpv4, false}, true, rng);
    RC_ASSERT(datagrams.has_value() && datagrams->size() > 2);
    const auto lost = rng.below(datagrams->size());
    Reassembly reassembly;
    for (std::size_t i = 0; i < datagrams->size(); ++i) {
      if (i == lost) continue;
      RC_ASSERT(reassembly.add(header.message_id, opened(receiver, (*datagrams)[i]), kNow) ==
                Outcome::kStored);
    }
    RC_ASSERT(!reassembly.take().has_value());
    RC_ASSERT(reassembly.add(header.message_id, opened(receiver, (*datagrams)[lost]), kNow) ==
              Outcome::kComplete);
  }));
}

TEST(Fragmentation, OnlyTheFirstFragmentNamesTheFirstPayload) {
  SeededRng rng(4);
  auto [sender, receiver] = test::protections(test::suites()[3], rng);
  const std::vector<wire::Payload> payloads = {wire::VendorIdPayload{rng.bytes(1500), false}};
  const auto datagrams =
      seal_fragmented(sender, test::header(rng), payloads, {576, IpFamily::kIpv4, true}, true, rng);
  ASSERT_TRUE(datagrams);
  ASSERT_GT(datagrams->size(), 2U);
  for (std::size_t i = 0; i < datagrams->size(); ++i) {
    const auto fragment = opened(receiver, (*datagrams)[i]);
    EXPECT_EQ(fragment.number, i + 1);
    EXPECT_EQ(fragment.total, datagrams->size());
    EXPECT_EQ(fragment.first, i == 0 ? PayloadType::kVendorId : PayloadType::kNone);
  }
}

TEST(Fragmentation, WithoutThePeersConsentAMessageStaysWhole) {
  SeededRng rng(4);
  auto [sender, receiver] = test::protections(test::suites()[0], rng);
  const std::vector<wire::Payload> payloads = {wire::VendorIdPayload{rng.bytes(3000), false}};
  const auto datagrams = seal_fragmented(sender, test::header(rng), payloads, {}, false, rng);
  ASSERT_TRUE(datagrams);
  ASSERT_EQ(datagrams->size(), 1U);
  EXPECT_EQ(receiver.open((*datagrams)[0], *wire::parse_message((*datagrams)[0]))->payloads, payloads);
}

TEST(Fragmentation, ALimitThatHoldsNothingBecomesTheFamilysMinimum) {
  SeededRng rng(4);
  auto [sender, receiver] = test::protections(test::suites()[0], rng);
  const std::vector<wire::Payload> payloads = {wire::VendorIdPayload{rng.bytes(3000), false}};
  const auto v4 =
      seal_fragmented(sender, test::header(rng), payloads, {10, IpFamily::kIpv4, false}, true, rng);
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->front().size(), 576U - 28U);
  const auto v6 = seal_fragmented(sender, test::header(rng), payloads, {0, IpFamily::kIpv6, true}, true, rng);
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->front().size(), 1280U - 52U);
}

TEST(Fragmentation, MoreFragmentsThanAnybodyAcceptsIsAnError) {
  SeededRng rng(4);
  auto [sender, receiver] = test::protections(test::suites()[0], rng);
  const std::vector<wire::Payload> payloads = {wire::VendorIdPayload{rng.bytes(60000), false}};
  const auto datagrams =
      seal_fragmented(sender, test::header(rng), payloads, {120, IpFamily::kIpv4, false}, true, rng);
  ASSERT_FALSE(datagrams);
  EXPECT_EQ(datagrams.error().code, ErrorCode::kExhausted);
}

TEST(Fragmentation, ATamperedFragmentNeverGetsToTheSet) {
  SeededRng rng(9);
  auto [sender, receiver] = test::protections(test::suites()[0], rng);
  const std::vector<wire::Payload> payloads = {wire::VendorIdPayload{rng.bytes(1000), false}};
  const auto datagrams =
      seal_fragmented(sender, test::header(rng), payloads, {400, IpFamily::kIpv4, false}, true, rng);
  ASSERT_TRUE(datagrams);
  for (const std::size_t offset :
       {std::size_t{32}, std::size_t{33}, std::size_t{34}, std::size_t{35}, std::size_t{60}}) {
    Bytes changed = (*datagrams)[1];
    changed[offset] = static_cast<std::uint8_t>(changed[offset] ^ 1U);  // fragment number, total, ciphertext
    const auto message = wire::parse_message(changed);
    if (!message) continue;
    const auto fragment = receiver.open_fragment(changed, *message);
    ASSERT_FALSE(fragment);
    EXPECT_EQ(fragment.error().kind, OpenFailure::kBadIcv);
  }
}

TEST(Reassembly, ALargerTotalReplacesASmallerOneIsDropped) {
  Reassembly reassembly;
  const MessageId id{1};
  EXPECT_EQ(reassembly.add(id, fragment_of(1, 2, {1}), kNow), Outcome::kStored);
  EXPECT_EQ(reassembly.add(id, fragment_of(2, 3, {22}), kNow),
            Outcome::kStored);  // RFC 7383 2.6.1: made anew, smaller
  EXPECT_EQ(reassembly.stored_bytes(), 1U);
  EXPECT_EQ(reassembly.add(id, fragment_of(2, 2, {2}), kNow), Outcome::kDropped);
  EXPECT_EQ(reassembly.add(id, fragment_of(3, 3, {33}), kNow), Outcome::kStored);
  EXPECT_EQ(reassembly.add(id, fragment_of(1, 3, {11}), kNow), Outcome::kComplete);
  EXPECT_EQ(reassembly.take()->content, (Bytes{11, 22, 33}));
  EXPECT_EQ(reassembly.add(id, fragment_of(1, 3, {11}), kNow), Outcome::kDuplicate);
  EXPECT_EQ(reassembly.add(id, fragment_of(1, 4, {11}), kNow), Outcome::kDuplicate);
}

TEST(Reassembly, AnotherMessageIdBeginsAnew) {
  Reassembly reassembly;
  EXPECT_EQ(reassembly.add({1}, fragment_of(1, 2, {1}), kNow), Outcome::kStored);
  EXPECT_EQ(reassembly.add({2}, fragment_of(2, 2, {4}), kNow), Outcome::kStored);
  EXPECT_EQ(reassembly.add({2}, fragment_of(1, 2, {3}), kNow), Outcome::kComplete);
  EXPECT_EQ(reassembly.take()->content, (Bytes{3, 4}));
  EXPECT_FALSE(reassembly.is_complete({1}));
  EXPECT_TRUE(reassembly.is_complete({2}));
}

TEST(Reassembly, AnUnprovenPeerGetsLess) {
  Reassembly reassembly;
  EXPECT_EQ(reassembly.add({1}, fragment_of(1, 9, Bytes(kMaxUnprovenBytes)), kNow), Outcome::kStored);
  EXPECT_EQ(reassembly.add({1}, fragment_of(2, 9, {1}), kNow), Outcome::kDropped);
  reassembly.set_limit(kMaxReassembledBytes);
  EXPECT_EQ(reassembly.add({1}, fragment_of(2, 9, {1}), kNow), Outcome::kStored);
}

TEST(Reassembly, WhatIsIncompleteHasADeadline) {
  Reassembly reassembly;
  EXPECT_EQ(reassembly.deadline(), kNever);
  EXPECT_EQ(reassembly.add({1}, fragment_of(1, 3, {1}), kNow), Outcome::kStored);
  EXPECT_EQ(reassembly.add({1}, fragment_of(2, 3, {1}), kNow + kFragmentPatience / 2), Outcome::kStored);
  EXPECT_EQ(reassembly.deadline(), kNow + kFragmentPatience);
  EXPECT_EQ(reassembly.add({1}, fragment_of(3, 3, {1}), kNow), Outcome::kComplete);
  ASSERT_TRUE(reassembly.take());
  EXPECT_EQ(reassembly.deadline(), kNever);
}

TEST(Reassembly, LimitsHoldEvenForWhatIsAuthentic) {
  Reassembly reassembly;
  reassembly.set_limit(kMaxReassembledBytes);
  EXPECT_EQ(reassembly.add({1}, fragment_of(1, 256, {1}), kNow), Outcome::kDropped);
  EXPECT_EQ(reassembly.add({1}, fragment_of(0, 4, {1}), kNow), Outcome::kDropped);
  EXPECT_EQ(reassembly.add({1}, fragment_of(5, 4, {1}), kNow), Outcome::kDropped);
  std::uint16_t number = 1;
  while (reassembly.add({2}, fragment_of(number, 255, Bytes(60000)), kNow) == Outcome::kStored) ++number;
  EXPECT_LE(reassembly.stored_bytes(), kMaxReassembledBytes);
  EXPECT_LT(number, 10);
}

// Whatever numbers and totals a peer makes up: bounded, never complete without every part, and always the
// parts of one total.
TEST(Reassembly, AnyAuthenticNonsenseStaysBoundedAndConsistent) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng rng(seed);
    Reassembly reassembly;
    for (int step = 0; step < 400; ++step) {
      const auto total = static_cast<std::uint16_t>(rng.below(8));
      const auto number = static_cast<std::uint16_t>(rng.below(9));
      const MessageId id{static_cast<std::uint32_t>(rng.below(2))};
      // The content says which fragment of which total it was.
      const auto outcome = reassembly.add(
          id,
          fragment_of(number, total, {static_cast<std::uint8_t>(number), static_cast<std::uint8_t>(total)}),
          kNow);
      RC_ASSERT(reassembly.stored_bytes() <= 2U * 8U);
      if (outcome != Outcome::kComplete) continue;
      const auto whole = reassembly.take();
      RC_ASSERT(whole.has_value());
      RC_ASSERT(whole->content.size() == std::size_t{2} * whole->fragments);
      for (std::size_t i = 0; i < whole->fragments; ++i) {
        RC_ASSERT(whole->content[2 * i] == i + 1);
        RC_ASSERT(whole->content[2 * i + 1] == whole->fragments);
      }
      RC_ASSERT(whole->first == PayloadType::kVendorId);
    }
  }));
}

}  // namespace
}  // namespace merlon::ikev2
