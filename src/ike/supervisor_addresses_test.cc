#include "ike/supervisor.h"
#include "ike/supervisor_test_bench.h"

namespace merlon::ike {
namespace {

using std::chrono::seconds;
using test::connection_named;
using testing::HasSubstr;

class SupervisorAddresses : public test::SupervisorBench {};

TEST_F(SupervisorAddresses, EveryAddressIsTriedInTurnAndNamesAreResolvedAnew) {
  configure(connection_named("office", {"192.0.2.1", "gw.example.com", "198.51.100.0/24"}));
  EXPECT_EQ(initiates().at(0).remote.address.to_string(), "192.0.2.1");
  const std::vector<IpAddress> two = {*IpAddress::parse("203.0.113.1"), *IpAddress::parse("2001:db8::1")};
  const std::vector<IpAddress> moved = {*IpAddress::parse("203.0.113.99")};
  for (const auto* expected : {"203.0.113.1", "2001:db8::1"}) {
    failed();
    wait(seconds(60));
    const auto asked = take<ResolveName>();
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(asked[0].host, "gw.example.com");
    EXPECT_EQ(status().phase, SupervisorPhase::kResolving);
    supervisor_.resolved(now_, asked[0].request, two);
    EXPECT_EQ(initiates().at(0).remote.address.to_string(), expected);
  }
  failed();
  wait(seconds(60));
  EXPECT_EQ(initiates().at(0).remote.address.to_string(), "192.0.2.1");
  failed();
  wait(seconds(60));
  supervisor_.resolved(now_, take<ResolveName>().at(0).request, moved);
  EXPECT_EQ(initiates().at(0).remote.address.to_string(), "203.0.113.99");
}

TEST_F(SupervisorAddresses, ANameThatDoesNotResolveIsAFailureLikeAnyOther) {
  configure(connection_named("office", {"gw.example.com"}));
  const auto asked = take<ResolveName>();
  ASSERT_EQ(asked.size(), 1U);
  supervisor_.resolved(now_, asked[0].request, fail(ErrorCode::kNotFound, "no such name"));
  EXPECT_EQ(status().last_error->kind, FailureKind::kUnreachable);
  EXPECT_THAT(status().last_error->sentence, HasSubstr("gw.example.com"));
  wait(seconds(2));
  const auto again = take<ResolveName>();
  ASSERT_EQ(again.size(), 1U);
  supervisor_.resolved(now_, asked[0].request, std::vector<IpAddress>{IpAddress::v4(1)});  // the old question
  EXPECT_TRUE(initiates().empty());
  wait(seconds(61));  // the resolver never answers
  EXPECT_THAT(status().last_error->sentence, HasSubstr("60 s"));
}

TEST_F(SupervisorAddresses, LocalAddressesChooseTheFamily) {
  auto connection = connection_named("office", {"gw.example.com"});
  connection.local_addresses = {"2001:db8::2"};
  configure(std::move(connection));
  supervisor_.resolved(
      now_, take<ResolveName>().at(0).request,
      std::vector<IpAddress>{*IpAddress::parse("203.0.113.1"), *IpAddress::parse("2001:db8::1")});
  const auto begun = initiates();
  ASSERT_EQ(begun.size(), 1U);
  EXPECT_EQ(begun[0].remote.to_string(), "[2001:db8::1]:500");
  EXPECT_EQ(begun[0].local.to_string(), "[2001:db8::2]:500");
}

TEST_F(SupervisorAddresses, NobodyToCallIsSaidAndDoesNotSpin) {
  configure(connection_named("office", {"198.51.100.0/24"}));
  wait(std::chrono::hours(1));
  EXPECT_TRUE(initiates().empty());
  EXPECT_LT(status().attempts, 200U);
  EXPECT_THAT(status().last_error->sentence, HasSubstr("remote_addresses"));
}

}  // namespace
}  // namespace merlon::ike
