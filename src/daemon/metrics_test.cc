// The metrics page, and the HTTP port that serves it.
#include "daemon/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <future>
#include <set>
#include <sstream>

#include "daemon/test_gateway.h"

namespace merlon::daemon {
namespace {

using namespace daemon::test;
using testing::HasSubstr;
using testing::StartsWith;

class Metrics : public TestWithGateway {
 protected:
  static std::string get(std::uint16_t port, const std::string& path) {
    const io::Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return "refused";
    const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
    if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "not sent";
    std::string out;
    char chunk[4096];
    for (ssize_t size = 0; (size = recv(fd.get(), chunk, sizeof chunk, 0)) > 0;)
      out.append(chunk, static_cast<std::size_t>(size));
    return out;
  }
  // Asked by another thread, as a scraper does, while this one runs the control loop.
  static std::string scrape(TestGateway& gateway, const std::string& path) {
    auto answer = std::async(std::launch::async, [&path] { return get(kPort, path); });
    gateway.run_until(
        [&answer] { return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
    return answer.get();
  }
  static constexpr std::uint16_t kPort = 9101;
};

TEST_F(Metrics, ThePageNamesWhatThereIs) {
  with_gateway([](TestGateway& gateway) {
    const std::string page = metrics_text(*gateway.gateway);
    EXPECT_THAT(page, HasSubstr("merlon_connection_up{connection=\"paris\"} 0\n"));
    EXPECT_THAT(page, HasSubstr("merlon_connection_attempts_total{connection=\"paris\"} 0\n"));
    EXPECT_THAT(page, HasSubstr("merlon_ike_sas 0\n"));
    for (std::size_t i = 0; i < esp::kDropReasons; ++i)
      EXPECT_THAT(page, HasSubstr(fmt::format("merlon_packets_dropped_total{{reason=\"{}\"}} ",
                                              esp::name(static_cast<esp::DropReason>(i)))));
    for (std::size_t i = 0; i < gateway.gateway->workers().size(); ++i) {
      EXPECT_THAT(page, HasSubstr(fmt::format("merlon_worker_sas{{worker=\"{}\"}} 0\n", i)));
      EXPECT_THAT(page, HasSubstr(fmt::format("merlon_worker_stalled_seconds{{worker=\"{}\"}} 0\n", i)));
    }
    ASSERT_TRUE(gateway.gateway->up("paris", ""));
    EXPECT_THAT(metrics_text(*gateway.gateway),
                HasSubstr("merlon_connection_attempts_total{connection=\"paris\"} 1\n"));
  });
}

// Where overload really drops: nobody reads, and more comes than the kernel's queues hold.
TEST_F(Metrics, WhatTheKernelDropsUnreadIsNamed) {
  with_gateway([](TestGateway& gateway) {
    const auto count = [&gateway](const std::string& kind) {
      const std::string page = metrics_text(*gateway.gateway),
                        name = "merlon_io_failures_total{kind=\"" + kind + "\"} ";
      const std::size_t at = page.find(name);
      return at == std::string::npos ? -1 : std::stoi(page.substr(at + name.size()));
    };
    io::test::shell("ip addr add 10.1.0.1/32 dev lo");
    gateway.gateway->workers().stop();
    EXPECT_EQ(count("ike_receive_overflow"), 0);
    EXPECT_EQ(count("receive_overflow"), 0);
    EXPECT_EQ(count("tun_overflow"), 0);
    const std::string status = gateway.gateway->status().dump();
    EXPECT_THAT(status, testing::Not(HasSubstr("overflow")));
    const auto flood = [](const char* to, std::uint16_t port, unsigned datagrams) {
      io::UdpSocketOptions options;
      options.local = {io::test::ip("10.1.0.1"), 0};
      auto sender = io::UdpSocket::open(options).value();
      const Bytes payload(1000, 0x77);
      for (unsigned i = 0; i < datagrams; ++i)
        static_cast<void>(sender.send({.payload = payload, .destination = {io::test::ip(to), port}}));
    };
    flood("10.1.0.1", 500, 20'000);  // 8 MB hold some 4,000
    EXPECT_GT(count("ike_receive_overflow"), 10'000);
    EXPECT_EQ(count("receive_overflow"), 0);
    flood("10.1.0.1", 4500, 20'000);
    EXPECT_GT(count("receive_overflow"), 10'000);
    flood("10.2.0.1", 9, 2000);  // the queue holds 500
    EXPECT_GT(count("tun_overflow"), 1000);
    const auto drops = gateway.gateway->status()["drops"];
    for (const char* name : {"ike_receive_overflow", "receive_overflow", "tun_overflow"})
      EXPECT_EQ(drops.value(name, 0), count(name)) << name;
  });
}

// Prometheus's text format: HELP and TYPE once a metric, before its samples; no sample twice.
TEST_F(Metrics, ThePageIsWellFormed) {
  with_gateway([](TestGateway& gateway) {
    std::istringstream page(metrics_text(*gateway.gateway));
    std::set<std::string> typed, samples;
    for (std::string line; std::getline(page, line);) {
      if (line.starts_with("# TYPE ")) {
        EXPECT_TRUE(typed.insert(line.substr(7, line.find(' ', 7) - 7)).second) << line;
      } else if (line.starts_with("# HELP ")) {
        EXPECT_GT(line.size(), line.find(' ', 7) + 1) << "a metric without a word about it: " << line;
      } else {
        EXPECT_TRUE(typed.contains(line.substr(0, line.find_first_of("{ ")))) << line;
        EXPECT_TRUE(samples.insert(line.substr(0, line.rfind(' '))).second) << line;
      }
    }
    EXPECT_GT(samples.size(), 20U);
  });
}

TEST_F(Metrics, IsServedOverHttp) {
  with_gateway([](TestGateway& gateway) {
    auto server = MetricsServer::open(gateway.context, *gateway.gateway, fmt::format("127.0.0.1:{}", kPort));
    ASSERT_TRUE(server) << server.error().message;
    const std::string answer = scrape(gateway, "/metrics");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(answer, HasSubstr("merlon_connection_up{connection=\"paris\"} 0\n"));
    EXPECT_THAT(scrape(gateway, "/"), HasSubstr(" 404 "));
  });
}

// A control thread that is busy keeps nobody waiting for ever, and is not hurt by an answer that comes too late.
TEST_F(Metrics, ABusyDaemonAnswersWithoutSamples) {
  with_gateway([](TestGateway& gateway) {
    auto server = MetricsServer::open(gateway.context, *gateway.gateway, fmt::format("127.0.0.1:{}", kPort));
    ASSERT_TRUE(server) << server.error().message;
    const std::string answer = get(kPort, "/metrics");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(answer, testing::Not(HasSubstr("merlon_connection_up")));
    server->reset();
    gateway.run_for(std::chrono::milliseconds(50));
  });
}

TEST_F(Metrics, AnAddressThatIsTakenOrWrongIsSaidSo) {
  with_gateway([](TestGateway& gateway) {
    const auto first = MetricsServer::open(gateway.context, *gateway.gateway, "127.0.0.1:9101");
    ASSERT_TRUE(first);
    for (const std::string listen : {"127.0.0.1:9101", "198.51.100.7:9101", "nonsense"}) {
      const auto second = MetricsServer::open(gateway.context, *gateway.gateway, listen);
      ASSERT_FALSE(second) << listen;
      EXPECT_THAT(second.error().message, HasSubstr("metrics_listen"));
      EXPECT_THAT(second.error().message, HasSubstr(listen));
    }
  });
}

}  // namespace
}  // namespace merlon::daemon
