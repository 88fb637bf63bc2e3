// merlond: IKE and ESP in user space.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <asio/signal_set.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>

#include "daemon/control_server.h"
#include "daemon/gateway.h"
#include "daemon/metrics.h"
#include "daemon/version.h"
#include "io/privileges.h"
#include "io/sd_notify.h"

namespace merlon::daemon {
namespace {

constexpr int kExitConfig = 2, kExitSystem = 1;

void set_up_log() {
  auto logger =
      std::make_shared<spdlog::logger>("merlond", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  // systemd's journal has its own time stamps.
  logger->set_pattern(std::getenv("JOURNAL_STREAM") != nullptr ? "%l: %v" : "%Y-%m-%d %H:%M:%S.%e %l: %v");
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

std::optional<control::Config> load(const std::string& path) {
  control::LoadedConfig loaded = control::load_config(path);
  for (const control::Diagnostic& diagnostic : loaded.diagnostics) {
    if (diagnostic.warning) {
      spdlog::warn("{}", diagnostic.to_string());
    } else {
      spdlog::error("{}", diagnostic.to_string());
    }
  }
  return std::move(loaded.config);
}

// A sentence that needs no memory, and the end.
[[noreturn]] void end_at_once(const char* why) {
  std::fprintf(stderr, "merlond ends: %s; guards stay in place\n", why);
  std::_Exit(kExitSystem);
}

class Daemon {
 public:
  int run(const std::string& config_path) {
    auto config = load(config_path);
    if (!config) return kExitConfig;
    static constexpr io::Capability kNeeded[] = {io::Capability::kNetAdmin, io::Capability::kNetRaw,
                                                 io::Capability::kNetBindService};
    if (const auto may = io::require_capabilities(kNeeded); !may) return give_up(may.error());
    auto gateway = Gateway::create(context_, std::move(*config), config_path);
    if (!gateway) return give_up(gateway.error());
    gateway_ = std::move(*gateway);
    if (const auto opened = open_services(); !opened) return give_up(opened.error());
    gateway_->on_settled([this] { server_->settled(); });
    // Whoever started us starts us again (merlond.service), and then everything is set up anew; until then nothing passes in clear.
    gateway_->on_broken([](const std::string& why) { end_at_once(why.c_str()); });
    handle_signals();
    keep_watchdog();
    static_cast<void>(io::sd_notify("READY=1"));
    spdlog::info("merlond {} is ready: {} connections", kVersion, gateway_->config().connections.size());
    context_.run();
    spdlog::info("merlond has stopped");
    return 0;
  }

 private:
  static int give_up(const Error& error) {
    spdlog::error("{}", error.message);
    return error.code == ErrorCode::kInvalidArgument ? kExitConfig : kExitSystem;
  }

  Result<> open_services() {
    const control::DaemonConfig& daemon = gateway_->config().daemon;
    MERLON_TRY(server_, ControlServer::open(
                            context_, *gateway_, daemon.control_socket, [this] { stop(); },
                            [this] { return metrics_text(*gateway_); }));
    if (!daemon.metrics_listen.empty()) {
      MERLON_TRY(metrics_, MetricsServer::open(context_, *gateway_, daemon.metrics_listen));
    }
    return {};
  }

  void handle_signals() {
    signals_.async_wait([this](const asio::error_code& error, int signal) {
      if (error) return;
      if (signal == SIGHUP) {
        reload();
      } else {
        stop();
      }
      handle_signals();
    });
  }

  void reload() {
    static_cast<void>(io::sd_notify_reloading());
    const auto reloaded = gateway_->reload();
    if (!reloaded) {
      spdlog::error("{}", reloaded.error().message);
    } else {
      for (const std::string& warning : *reloaded) spdlog::warn("{}", warning);
      spdlog::info("configuration reloaded");
    }
    static_cast<void>(io::sd_notify("READY=1"));
  }

  void stop() {
    static_cast<void>(io::sd_notify("STOPPING=1"));
    gateway_->shut_down([this] {
      metrics_.reset();
      server_->close();
      signals_.cancel();
      watchdog_.cancel();
      context_.stop();
    });
  }

  void keep_watchdog() {
    const auto interval = io::sd_watchdog_interval();
    if (!interval) return;
    static_cast<void>(io::sd_notify("WATCHDOG=1"));
    watchdog_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(*interval / 2));
    watchdog_.async_wait([this](const asio::error_code& error) {
      if (!error) keep_watchdog();
    });
  }

  asio::io_context context_{1};
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<MetricsServer> metrics_;
  asio::signal_set signals_{context_, SIGTERM, SIGINT, SIGHUP};
  asio::steady_timer watchdog_{context_};
};

}  // namespace
}  // namespace merlon::daemon

int main(int argc, char** argv) {
  CLI::App app(
      "merlond joins networks and people over a network nobody trusts: IKEv2 and ESP in user space.");
  std::string config = "/etc/merlon/merlon.toml";
  app.add_option("-c,--config", config, "Configuration file")->capture_default_str();
  app.set_version_flag("--version", std::string("merlond ") + merlon::daemon::kVersion);
  CLI11_PARSE(app, argc, argv);
  merlon::daemon::set_up_log();
  // Only what the machine under us has run out of gets here: memory, descriptors. No destructor may ask for more of it; the kernel
  // takes back what is ours, and the guards stay as after a crash.
  try {
    merlon::daemon::Daemon daemon;
    return daemon.run(config);
  } catch (const std::bad_alloc&) {
    merlon::daemon::end_at_once("out of memory");
  } catch (const std::exception& error) {
    merlon::daemon::end_at_once(error.what());
  }
}
