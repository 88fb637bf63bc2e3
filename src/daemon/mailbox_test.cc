#include "daemon/mailbox.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace merlon::daemon {
namespace {

bool readable(const Mailbox& box) {
  pollfd entry{box.fd(), POLLIN, 0};
  return poll(&entry, 1, 0) == 1;
}

Mail message(std::uint8_t number) {
  IkeMessageArrived out;
  out.payload = {number};
  return out;
}

TEST(Mailbox, ReadableWhileThereIsMail) {
  const auto box = Mailbox::open().value();
  EXPECT_FALSE(readable(*box));
  EXPECT_TRUE(box->take_all().empty());
  EXPECT_TRUE(box->post(message(1)));
  EXPECT_TRUE(box->post(PathTooSmall{{}, 1400, {}}));
  EXPECT_TRUE(readable(*box));
  const auto mail = box->take_all();
  ASSERT_EQ(mail.size(), 2U);
  EXPECT_EQ(std::get<IkeMessageArrived>(mail[0]).payload, Bytes{1});
  EXPECT_EQ(std::get<PathTooSmall>(mail[1]).mtu, 1400U);
  EXPECT_FALSE(readable(*box));
}

TEST(Mailbox, FullBoxDropsTheNewestAndCounts) {
  const auto box = Mailbox::open().value();
  std::size_t taken = 0;
  while (box->post(message(static_cast<std::uint8_t>(taken)))) ++taken;
  EXPECT_EQ(box->dropped(), 1U);
  EXPECT_FALSE(box->post(message(0)));
  EXPECT_EQ(box->dropped(), 2U);
  const auto mail = box->take_all();
  EXPECT_EQ(mail.size(), taken);
  EXPECT_EQ(std::get<IkeMessageArrived>(mail.front()).payload, Bytes{0});
  EXPECT_TRUE(box->post(message(0)));
}

TEST(Mailbox, NothingIsLostBetweenThreads) {
  const auto box = Mailbox::open().value();
  constexpr std::size_t kCount = 3000;  // below the capacity: none may be dropped
  std::thread poster([&] {
    for (std::size_t i = 0; i < kCount; ++i) box->post(message(0));
  });
  std::size_t got = 0;
  while (got < kCount) {
    pollfd entry{box->fd(), POLLIN, 0};
    ASSERT_EQ(poll(&entry, 1, 10'000), 1) << "mail waits, but nobody was woken";
    got += box->take_all().size();
  }
  poster.join();
  EXPECT_EQ(got, kCount);
}

// A forged ICMP error costs its sender nothing: thousands of reports must neither pile up nor take the room of messages.
TEST(Mailbox, PathReportsNeitherPileUpNorCrowdMessagesOut) {
  const auto opened = Mailbox::open();
  ASSERT_TRUE(opened);
  Mailbox& box = **opened;
  const IpAddress one = IpAddress::v4(0xc0000201);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(box.post(PathTooSmall{one, i % 2 == 0 ? 0U : 1400U, {}}));
  for (std::uint32_t i = 0; i < 100'000; ++i) box.post(PathTooSmall{IpAddress::v4(0x0a000000 + i), 1400, {}});
  for (std::uint32_t i = 0; i < 100'000; ++i) box.post(PathTooSmall{one, 1400, Spi{i}});
  EXPECT_TRUE(box.post(message(1)));
  const auto mail = box.take_all();
  EXPECT_LE(mail.size(), 65U);
  ASSERT_TRUE(std::holds_alternative<IkeMessageArrived>(mail.front()));
  EXPECT_EQ(std::count_if(mail.begin(), mail.end(),
                          [&](const Mail& piece) {
                            const auto* report = std::get_if<PathTooSmall>(&piece);
                            return report != nullptr && report->destination == one && report->mtu == 1400;
                          }),
            1);
}

// Where more ways refuse than a socket remembers, each burst tells of them again.
TEST(Mailbox, RefusalsNeitherPileUpNorCrowdMessagesOut) {
  const auto opened = Mailbox::open();
  ASSERT_TRUE(opened);
  Mailbox& box = **opened;
  for (std::uint32_t i = 0; i < 10'000; ++i)
    box.post(SegmentsRefused{{IpAddress::v4(0x0a000000 + i % 200), 4500}, EIO});
  EXPECT_TRUE(box.post(message(1)));
  const auto mail = box.take_all();
  EXPECT_EQ(mail.size(), 65U);
  EXPECT_TRUE(std::holds_alternative<IkeMessageArrived>(mail.front()));
  EXPECT_EQ(std::get<SegmentsRefused>(mail.back()).error_number, EIO);
  EXPECT_TRUE(box.take_all().empty());
}

// Whatever the number of messages, a flood of large ones stays within some megabytes.
TEST(Mailbox, IsBoundedInBytes) {
  const auto opened = Mailbox::open();
  ASSERT_TRUE(opened);
  std::size_t bytes = 0;
  IkeMessageArrived large;
  large.payload.resize(60'000);
  while ((*opened)->post(large)) bytes += large.payload.size();
  EXPECT_LE(bytes, std::size_t{8} << 20U);
  EXPECT_GE(bytes, std::size_t{1} << 20U);
}

}  // namespace
}  // namespace merlon::daemon
