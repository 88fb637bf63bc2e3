// The names that logs and traces show are IANA's ("IKEv2 Exchange Types", "IKEv2 Payload Types", RFC 7296 3.15).
#include <gtest/gtest.h>

#include <set>

#include "wire/ike/cp.h"
#include "wire/ike/exchange_type.h"
#include "wire/ike/payload_type.h"
#include "wire/ip/packet_error.h"

namespace merlon::wire {
namespace {

TEST(Names, Ikev2Exchanges) {
  EXPECT_EQ(name(static_cast<ExchangeType>(34)), "IKE_SA_INIT");
  EXPECT_EQ(name(static_cast<ExchangeType>(35)), "IKE_AUTH");
  EXPECT_EQ(name(static_cast<ExchangeType>(36)), "CREATE_CHILD_SA");
  EXPECT_EQ(name(static_cast<ExchangeType>(37)), "INFORMATIONAL");
  EXPECT_EQ(name(static_cast<ExchangeType>(38)), "IKE_SESSION_RESUME");
  EXPECT_EQ(name(static_cast<ExchangeType>(43)), "IKE_INTERMEDIATE");
  EXPECT_EQ(name(static_cast<ExchangeType>(44)), "IKE_FOLLOWUP_KE");
  EXPECT_EQ(name(static_cast<ExchangeType>(240)), "UNKNOWN(240)");
}

// RFC 2408 3.1, RFC 2409: an old peer's message should be recognised by who reads the log.
TEST(Names, Ikev1ExchangesDifferFromAllOthers) {
  std::set<std::string> names;
  unsigned known = 0;
  for (unsigned number = 1; number < 256; ++number) {
    const std::string text = name(static_cast<ExchangeType>(number));
    EXPECT_TRUE(names.insert(text).second) << text;
    if (!text.starts_with("UNKNOWN(")) ++known;
  }
  EXPECT_EQ(known, 15U);
}

TEST(Names, ConfigurationTypes) {
  EXPECT_EQ(name(static_cast<CfgType>(1)), "CFG_REQUEST");
  EXPECT_EQ(name(static_cast<CfgType>(2)), "CFG_REPLY");
  EXPECT_EQ(name(static_cast<CfgType>(3)), "CFG_SET");
  EXPECT_EQ(name(static_cast<CfgType>(4)), "CFG_ACK");
}

TEST(Names, PayloadsDiffer) {
  std::set<std::string> names;
  for (unsigned number = 33; number < 256; ++number)
    EXPECT_TRUE(names.insert(std::string(name(static_cast<PayloadType>(number)))).second) << number;
  EXPECT_EQ(name(static_cast<PayloadType>(53)), "SKF");
}

TEST(Names, EveryPacketErrorHasOneOfItsOwn) {
  std::set<std::string_view> names;
  for (unsigned i = 0; i <= static_cast<unsigned>(PacketError::kBadPadding); ++i)
    EXPECT_TRUE(names.insert(name(static_cast<PacketError>(i))).second) << i;
  EXPECT_FALSE(names.contains("unknown"));
}

}  // namespace
}  // namespace merlon::wire
