// For tests that need a whole gateway: one in a network namespace of its own, with one connection, "paris", that nobody answers.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "daemon/control_server.h"
#include "daemon/metrics.h"
#include "daemon/test_support.h"
#include "io/test_namespace.h"

namespace merlon::daemon::test {

class TestGateway {
 public:
  TestGateway() {
    std::string name = (std::filesystem::temp_directory_path() / "merlon-gateway-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    write("psk", "a long enough secret of this test\n");
    write("merlon.toml", fmt::format(R"(
[daemon]
control_socket = "{}"
log_level = "error"
[connection.paris]
remote = "192.0.2.2"
local_id = "berlin.example"
remote_id = "paris.example"
psk_file = "psk"
local_ts = "10.1.0.0/16"
remote_ts = "10.2.0.0/16"
start = "wait"
)",
                                     socket_path()));
    const std::string config = (folder_ / "merlon.toml").string();
    auto loaded = control::load_config(config);
    for (const auto& diagnostic : loaded.diagnostics) ADD_FAILURE() << diagnostic.to_string();
    if (!loaded.config) return;
    auto made = Gateway::create(context, std::move(*loaded.config), config);
    if (!made) {
      ADD_FAILURE() << made.error().message;
      return;
    }
    gateway = std::move(*made);
    auto opened = ControlServer::open(
        context, *gateway, socket_path(), [this] { ++stops; }, [this] { return metrics_text(*gateway); });
    if (!opened) {
      ADD_FAILURE() << opened.error().message;
      return;
    }
    server = std::move(*opened);
    gateway->on_settled([this] { server->settled(); });
  }
  ~TestGateway() {
    if (gateway) gateway->on_settled([] {});
    server.reset();
    run_for(std::chrono::milliseconds(20));  // what was cancelled hears of it while its owner is alive
    gateway.reset();
    std::filesystem::remove_all(folder_);
  }
  TestGateway(const TestGateway&) = delete;
  TestGateway& operator=(const TestGateway&) = delete;

  [[nodiscard]] bool ready() const { return server != nullptr; }
  [[nodiscard]] std::string socket_path() const { return (folder_ / "merlond.sock").string(); }
  void run_for(std::chrono::milliseconds time) { context.run_for(time); }
  // Runs the control thread's loop until the condition holds; false after ten seconds.
  template <class Condition>
  bool run_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      context.run_one_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  asio::io_context context{1};
  std::unique_ptr<Gateway> gateway;
  std::unique_ptr<ControlServer> server;
  int stops = 0;

 private:
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    ASSERT_EQ(chmod((folder_ / name).c_str(), 0600), 0);
  }
  std::filesystem::path folder_;
};

// A client of the control socket, on the same thread: what it waits for, the gateway's loop runs for.
class TestClient {
 public:
  explicit TestClient(TestGateway& gateway)
      : gateway_(gateway), fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    gateway.socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  TestClient(TestGateway& gateway, io::Fd connected) : gateway_(gateway), fd_(std::move(connected)) {}

  // What fits into the socket now; false when the daemon has hung up.
  bool write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(fd_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) return false;
      if (sent > 0) text.remove_prefix(static_cast<std::size_t>(sent));
      if (!text.empty()) gateway_.context.run_one_for(std::chrono::milliseconds(10));
    }
    return true;
  }
  // The next line, as JSON; null when the daemon hung up or nothing came.
  nlohmann::json answer() {
    const bool came = gateway_.run_until([this] {
      read();
      return closed_ || input_.find('\n') != std::string::npos;
    });
    const std::size_t end = input_.find('\n');
    if (!came || end == std::string::npos) return nullptr;
    const std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    return nlohmann::json::parse(line);
  }
  nlohmann::json ask(std::string_view request) {
    write(std::string(request) + "\n");
    return answer();
  }
  bool hung_up() {
    return gateway_.run_until([this] {
      read();
      return closed_;
    });
  }
  void leave() { fd_.reset(); }

 private:
  void read() {
    char chunk[65536];
    ssize_t size = 0;
    while ((size = recv(fd_.get(), chunk, sizeof chunk, MSG_DONTWAIT)) > 0)
      input_.append(chunk, static_cast<std::size_t>(size));
    if (size == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) closed_ = true;
  }

  TestGateway& gateway_;
  io::Fd fd_;
  std::string input_;
  bool closed_ = false;
};

// Tests that have a gateway, in a network namespace of its own.
class TestWithGateway : public io::test::NamespaceTest {
 protected:
  template <class Body>
  static void with_gateway(Body body) {
    in_namespace([&body] {
      TestGateway gateway;
      ASSERT_TRUE(gateway.ready());
      body(gateway);
    });
  }
};

}  // namespace merlon::daemon::test
