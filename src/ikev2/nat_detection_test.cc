#include "ikev2/nat_detection.h"

#include <gtest/gtest.h>

namespace merlon::ikev2 {
namespace {

const IkeSaId kSpis{{0x0102030405060708}, {0x1112131415161718}};
const Endpoint kLocal{IpAddress::v4(0xc0000201), 500}, kRemote{IpAddress::v4(0xcb007102), 500};

std::vector<wire::Payload> as_payloads(const std::vector<wire::NotifyPayload>& notifies) {
  return {notifies.begin(), notifies.end()};
}
// What the peer sends when it believes in these addresses.
std::vector<wire::Payload> from_peer(const Endpoint& its_local, const Endpoint& its_remote,
                                     bool hide = false) {
  return as_payloads(nat_detection_notifies(kSpis, its_local, its_remote, hide));
}

TEST(NatDetection, DigestIsSha1OfSpisAddressAndPort) {
  // python3: hashlib.sha1(spi_i + spi_r + bytes([192, 0, 2, 1]) + bytes([1, 244])).hexdigest()
  EXPECT_EQ(to_hex(nat_detection_digest(kSpis, kLocal)), "d798d986143f878f70765e0e869c80bbc375f701");
}

TEST(NatDetection, NobodyBehindANat) {
  EXPECT_EQ(detect_nat(kSpis, kLocal, kRemote, from_peer(kRemote, kLocal)),
            (NatDetection{true, false, false}));
}

TEST(NatDetection, EachSideIsTold) {
  const Endpoint inner{IpAddress::v4(0x0a000005), 500};
  EXPECT_EQ(detect_nat(kSpis, kLocal, kRemote, from_peer(inner, kLocal)), (NatDetection{true, false, true}));
  // The peer addresses our public side, and we see our inner address.
  EXPECT_EQ(detect_nat(kSpis, inner, kRemote, from_peer(kRemote, kLocal)), (NatDetection{true, true, false}));
  EXPECT_EQ(detect_nat(kSpis, inner, kRemote, from_peer(inner, kLocal)), (NatDetection{true, true, true}));
  // A NAT that only changes the port.
  const Endpoint mapped{kRemote.address, 1024};
  EXPECT_EQ(detect_nat(kSpis, kLocal, mapped, from_peer(kRemote, kLocal)), (NatDetection{true, false, true}));
}

TEST(NatDetection, OneMatchingSourceOfSeveralIsEnough) {
  const Endpoint elsewhere{IpAddress::v4(0x0a000005), 500};
  auto payloads = from_peer(elsewhere, kLocal);
  payloads.emplace_back(wire::make_nat_detection(wire::NotifyType::kNatDetectionSourceIp,
                                                 nat_detection_digest(kSpis, kRemote)));
  EXPECT_FALSE(detect_nat(kSpis, kLocal, kRemote, payloads).any());
}

TEST(NatDetection, APeerWithoutItSaysNothing) {
  EXPECT_EQ(detect_nat(kSpis, kLocal, kRemote, {}), (NatDetection{false, false, false}));
  auto only_source = from_peer(kRemote, kLocal);
  only_source.pop_back();
  EXPECT_FALSE(detect_nat(kSpis, kLocal, kRemote, only_source).supported);
}

TEST(NatDetection, HidingAndUnknownAddressesLookLikeANat) {
  EXPECT_TRUE(detect_nat(kSpis, kLocal, kRemote, from_peer(kRemote, kLocal, true)).remote_behind_nat);
  EXPECT_TRUE(detect_nat(kSpis, kLocal, kRemote, from_peer({IpAddress::any(IpFamily::kIpv4), 500}, kLocal))
                  .remote_behind_nat);
}

TEST(NatDetection, DigestsOfTheWrongSizeMatchNothing) {
  const std::vector<wire::Payload> payloads = {
      wire::make_notify(wire::NotifyType::kNatDetectionSourceIp, Bytes(3)),
      wire::make_notify(wire::NotifyType::kNatDetectionDestinationIp, {})};
  EXPECT_EQ(detect_nat(kSpis, kLocal, kRemote, payloads), (NatDetection{true, true, true}));
}

}  // namespace
}  // namespace merlon::ikev2
