#include "wire/ike/notify_data.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

NotifyPayload with_data(std::string_view text) {
  return make_notify(NotifyType{40960}, hex(text));
}

TEST(NotifyData, Cookie) {
  EXPECT_EQ(read_cookie(make_cookie(hex("aabb"))), hex("aabb"));
  // RFC 7296 2.6: 1 to 64 bytes
  EXPECT_FALSE(read_cookie(make_cookie({})));
  EXPECT_TRUE(read_cookie(make_cookie(Bytes(64))));
  EXPECT_FALSE(read_cookie(make_cookie(Bytes(65))));
}

TEST(NotifyData, NatDetection) {
  NatDetectionDigest digest{};
  digest.fill(7);
  const auto notify = make_nat_detection(NotifyType::kNatDetectionSourceIp, digest);
  EXPECT_EQ(notify.type, NotifyType::kNatDetectionSourceIp);
  EXPECT_EQ(read_nat_detection(notify), digest);
  EXPECT_FALSE(read_nat_detection(with_data("aabb")));
  // RFC 7296 2.23: SPIs, address, port
  EXPECT_EQ(to_hex(nat_detection_input({{0x0102030405060708}, {0x1112131415161718}}, hex("c0000201"), 500)),
            "01020304050607081112131415161718c000020101f4");
}

TEST(NotifyData, InvalidKePayload) {
  EXPECT_EQ(to_hex(make_invalid_ke_payload(KeMethod::kEcp384).data), "0014");
  EXPECT_EQ(read_invalid_ke_payload(make_invalid_ke_payload(KeMethod::kEcp384)), KeMethod::kEcp384);
  EXPECT_FALSE(read_invalid_ke_payload(with_data("14")));
  EXPECT_FALSE(read_invalid_ke_payload(with_data("001400")));
}

TEST(NotifyData, SignatureHashAlgorithms) {
  const std::vector<HashId> hashes{HashId::kSha2_256, HashId::kIdentity, HashId{99}};
  EXPECT_EQ(to_hex(make_signature_hash_algorithms(hashes).data), "000200050063");
  EXPECT_EQ(read_signature_hash_algorithms(make_signature_hash_algorithms(hashes)), hashes);
  EXPECT_FALSE(read_signature_hash_algorithms(with_data("000200")));
}

TEST(NotifyData, ChildSaNames) {
  const ChildSaName child{.protocol = SecurityProtocol::kEsp, .spi = {0xc0ffee01}};
  EXPECT_EQ(to_hex(test::body_of(make_rekey_sa(child))), "03044009c0ffee01");
  EXPECT_EQ(read_child_sa_name(make_rekey_sa(child)), child);
  EXPECT_EQ(read_child_sa_name(make_child_sa_not_found(child)), child);
  EXPECT_EQ(make_child_sa_not_found(child).type, NotifyType::kChildSaNotFound);
  auto wrong_size = make_rekey_sa(child);
  wrong_size.spi.push_back(0);
  EXPECT_FALSE(read_child_sa_name(wrong_size));
  auto wrong_protocol = make_rekey_sa(child);
  wrong_protocol.protocol = SecurityProtocol::kIke;
  EXPECT_FALSE(read_child_sa_name(wrong_protocol));
  const auto selectors = make_invalid_selectors(child, hex("4500"));
  EXPECT_EQ(read_child_sa_name(selectors), child);
  EXPECT_EQ(to_hex(selectors.data), "4500");
}

TEST(NotifyData, Numbers) {
  EXPECT_EQ(read_set_window_size(make_set_window_size(5)), 5U);
  EXPECT_FALSE(read_set_window_size(make_set_window_size(0)));
  EXPECT_FALSE(read_set_window_size(with_data("000005")));
  EXPECT_EQ(to_hex(make_unsupported_critical_payload(PayloadType{99}).data), "63");
  EXPECT_EQ(read_unsupported_critical_payload(with_data("63")), PayloadType{99});
  EXPECT_FALSE(read_unsupported_critical_payload(with_data("")));
  EXPECT_EQ(read_invalid_spi(make_invalid_spi({7})), Spi{7});
  EXPECT_FALSE(read_invalid_spi(with_data("00")));
  EXPECT_EQ(read_invalid_message_id(make_invalid_message_id({7})), MessageId{7});
  EXPECT_EQ(read_auth_lifetime(make_auth_lifetime(3600)), 3600U);
}

}  // namespace
}  // namespace merlon::wire
