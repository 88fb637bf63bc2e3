// The control socket from a client's side, with a real gateway behind it.
#include "daemon/control_session.h"

#include "daemon/test_gateway.h"

namespace merlon::daemon {
namespace {

using namespace daemon::test;
using nlohmann::json;
using testing::HasSubstr;

class Control : public TestWithGateway {
 protected:
  static void expect_refused(const json& answer, const std::string& part) {
    ASSERT_TRUE(answer.is_object()) << answer;
    EXPECT_EQ(answer.value("ok", true), false);
    EXPECT_THAT(answer.value("error", ""), HasSubstr(part));
  }
  // A link towards the peer, where nobody answers.
  static void give_a_road() {
    io::test::shell(
        "ip link add out type veth peer name nowhere; ip link set out up; ip link set nowhere up");
    io::test::shell(
        "ip address add 192.0.2.1/24 dev out; ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev out");
    io::test::links_settle();
  }
  // A session of somebody else than root: what the kernel says of a peer is given by hand.
  static TestClient client_of(TestGateway& gateway, uid_t uid) {
    int pair[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    gateway.server->serve(io::Fd(pair[0]), io::PeerCredentials{1, uid, uid});
    return TestClient(gateway, io::Fd(pair[1]));
  }
};

TEST_F(Control, AnswersEachRequestWithOneLine) {
  with_gateway([](TestGateway& gateway) {
    TestClient client(gateway);
    const json status = client.ask(R"({"command": "status"})");
    EXPECT_EQ(status["ok"], true);
    ASSERT_EQ(status["connections"].size(), 1U);
    EXPECT_EQ(status["connections"][0]["name"], "paris");
    // Two in one piece, then one in several.
    client.write("{\"command\": \"status\"}\n{\"command\": \"metrics\"}\n");
    EXPECT_TRUE(client.answer().contains("connections"));
    EXPECT_THAT(client.answer().value("text", ""), HasSubstr("merlon_ike_sas 0"));
    client.write("{\"comm");
    gateway.run_for(std::chrono::milliseconds(20));
    client.write("and\": \"reload\"");
    gateway.run_for(std::chrono::milliseconds(20));
    client.write("}\n");
    EXPECT_EQ(client.answer()["ok"], true);
  });
}

TEST_F(Control, ABadRequestIsRefusedAndTheClientMayAskAgain) {
  with_gateway([](TestGateway& gateway) {
    TestClient client(gateway);
    for (const std::string bad :
         {"", "status", "{", "[]", "7", R"({"command": 3})", R"({"command": "explode"})",
          "{\"command\": \"\xff\"}", R"({"command": "down", "connection": {}})"}) {
      SCOPED_TRACE(bad);
      expect_refused(client.ask(bad), "");
    }
    expect_refused(client.ask(R"({"command": "up", "connection": "rome"})"), "rome");
    expect_refused(client.ask(R"({"command": "up", "connection": "paris", "child": "no"})"), "no");
    EXPECT_EQ(client.ask(R"({"command": "status"})")["ok"], true);
  });
}

TEST_F(Control, AnEndlessLineEndsTheClientAndNobodyElse) {
  with_gateway([](TestGateway& gateway) {
    TestClient client(gateway), other(gateway);
    const std::string endless(control::kMaxRequestBytes + 1, 'x');
    client.write(endless);
    EXPECT_TRUE(client.hung_up());
    EXPECT_EQ(other.ask(R"({"command": "status"})")["ok"], true);
  });
}

TEST_F(Control, UpWaitsUntilItIsKnownHowItWent) {
  with_gateway([](TestGateway& gateway) {
    give_a_road();
    TestClient waiting(gateway), other(gateway);
    EXPECT_EQ(other.ask(R"({"command": "up", "connection": "paris", "wait": false})")["ok"], true);
    EXPECT_EQ(other.ask(R"({"command": "down", "connection": "paris"})")["ok"], true);
    waiting.write("{\"command\": \"up\", \"connection\": \"paris\"}\n");
    gateway.run_for(std::chrono::milliseconds(50));
    expect_refused(waiting.ask(R"({"command": "status"})"), "already waits");
    EXPECT_EQ(other.ask(R"({"command": "down", "connection": "paris"})")["ok"], true);
    expect_refused(waiting.answer(), "");
    EXPECT_EQ(waiting.ask(R"({"command": "status"})")["ok"], true);
  });
}

TEST_F(Control, ClientsThatGoAwayTakeTheirSubscriptionsWithThem) {
  with_gateway([](TestGateway& gateway) {
    TestClient monitor(gateway), tracer(gateway), waiting(gateway), half(gateway), last(gateway);
    EXPECT_EQ(monitor.ask(R"({"command": "monitor"})")["ok"], true);
    EXPECT_EQ(tracer.ask(R"({"command": "trace", "connection": "paris"})")["ok"], true);
    waiting.write("{\"command\": \"up\", \"connection\": \"paris\"}\n");
    half.write("{\"command\": ");
    gateway.run_for(std::chrono::milliseconds(50));
    for (TestClient* client : {&monitor, &tracer, &waiting, &half}) client->leave();
    // Events go on meanwhile: the attempt, its messages, its end.
    EXPECT_EQ(last.ask(R"({"command": "down", "connection": "paris"})")["ok"], true);
    EXPECT_EQ(last.ask(R"({"command": "up", "connection": "paris", "wait": false})")["ok"], true);
    gateway.run_for(std::chrono::milliseconds(100));
    EXPECT_EQ(last.ask(R"({"command": "status"})")["ok"], true);
  });
}

TEST_F(Control, ATracerSeesTheMessagesOfItsConnection) {
  with_gateway([](TestGateway& gateway) {
    give_a_road();
    TestClient tracer(gateway), other(gateway);
    EXPECT_EQ(tracer.ask(R"({"command": "trace", "connection": "paris"})")["ok"], true);
    EXPECT_EQ(other.ask(R"({"command": "up", "connection": "paris", "wait": false})")["ok"], true);
    const json event = tracer.answer();
    ASSERT_TRUE(event.is_object());
    EXPECT_THAT(event.dump(), HasSubstr("IKE_SA_INIT"));
    expect_refused(tracer.ask(R"({"command": "status"})"), "already waits");
  });
}

TEST_F(Control, KeysAreForRootOnly) {
  with_gateway([](TestGateway& gateway) {
    struct stat file {};
    ASSERT_EQ(stat(gateway.socket_path().c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 07U, 0U) << "others may not even connect";
    TestClient member = client_of(gateway, 1000), root = client_of(gateway, 0);
    expect_refused(member.ask(R"({"command": "trace", "connection": "paris", "keys": true})"), "root");
    EXPECT_EQ(member.ask(R"({"command": "trace", "connection": "paris"})")["ok"], true);
    EXPECT_EQ(root.ask(R"({"command": "trace", "connection": "paris", "keys": true})")["ok"], true);
  });
}

TEST_F(Control, OnlySoManyAtOnce) {
  with_gateway([](TestGateway& gateway) {
    std::vector<TestClient> clients;
    clients.reserve(128);
    for (int i = 0; i < 128; ++i) clients.push_back(client_of(gateway, 0));
    TestClient late = client_of(gateway, 0);
    EXPECT_TRUE(late.hung_up());
    EXPECT_EQ(clients.back().ask(R"({"command": "status"})")["ok"], true);
    clients.front().leave();
    gateway.run_for(std::chrono::milliseconds(20));
    TestClient next = client_of(gateway, 0);
    EXPECT_EQ(next.ask(R"({"command": "status"})")["ok"], true);
  });
}

TEST_F(Control, StopIsAnsweredAndPassedOnOnce) {
  with_gateway([](TestGateway& gateway) {
    TestClient client(gateway);
    EXPECT_EQ(client.ask(R"({"command": "stop"})")["ok"], true);
    EXPECT_EQ(gateway.stops, 1);
    gateway.server->close();
    EXPECT_TRUE(client.hung_up());
  });
}

// Answers that nobody fetches are kept up to a limit; then the client is dropped.
TEST_F(Control, AClientThatDoesNotReadCannotMakeTheDaemonGrow) {
  with_gateway([](TestGateway& gateway) {
    TestClient client(gateway), other(gateway);
    int asked = 0;
    while (asked < 100'000 && client.write("{\"command\": \"x\"}\n")) {
      if (++asked % 100 == 0) gateway.run_for(std::chrono::milliseconds(1));
    }
    EXPECT_LT(asked, 100'000);
    EXPECT_EQ(other.ask(R"({"command": "status"})")["ok"], true);
  });
}

}  // namespace
}  // namespace merlon::daemon
