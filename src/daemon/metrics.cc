#include "daemon/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/text_serializer.h>

#include <asio/post.hpp>
#include <future>
#include <nlohmann/json.hpp>

#include "io/system_clock.h"

namespace merlon::daemon {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

class Page {
 public:
  void counter(const std::string& name, const std::string& help, Labels labels, double value) {
    ClientMetric metric;
    metric.counter.value = value;
    add(name, help, MetricType::Counter, std::move(labels), std::move(metric));
  }
  void gauge(const std::string& name, const std::string& help, Labels labels, double value) {
    ClientMetric metric;
    metric.gauge.value = value;
    add(name, help, MetricType::Gauge, std::move(labels), std::move(metric));
  }
  std::vector<MetricFamily> take() {
    std::vector<MetricFamily> out;
    for (auto& [name, family] : families_) out.push_back(std::move(family));
    return out;
  }

 private:
  void add(const std::string& name, const std::string& help, MetricType type, Labels labels,
           ClientMetric metric) {
    MetricFamily& family = families_[name];
    family.name = name;
    if (family.help.empty()) family.help = help;
    family.type = type;
    metric.label = std::move(labels);
    family.metric.push_back(std::move(metric));
  }
  std::map<std::string, MetricFamily> families_;
};

double number(std::uint64_t value) {
  return static_cast<double>(value);
}

void add_connections(Page& page, Gateway& gateway) {
  for (const ike::SupervisorStatus& status : gateway.supervisor().status()) {
    page.gauge("merlon_connection_up", "1 while everything that the connection should have is there",
               {{"connection", status.connection}}, status.phase == ike::SupervisorPhase::kUp ? 1 : 0);
    page.counter("merlon_connection_attempts_total", "Negotiations begun",
                 {{"connection", status.connection}}, number(status.attempts));
  }
}

void add_sas(Page& page, Gateway& gateway, Instant now) {
  const auto age = [now](Instant since) { return std::chrono::duration<double>(now - since).count(); };
  for (const ike::IkeSaStatus& sa : gateway.engine().status()) {
    if (sa.established != Instant{})
      page.gauge("merlon_ike_sa_age_seconds", "Age of an established IKE SA",
                 {{"connection", sa.connection}, {"spi_i", fmt::format("{}", sa.id.initiator)}},
                 age(sa.established));
    for (const ike::ChildSaStatus& child : sa.children) {
      const Labels labels{{"connection", sa.connection},
                          {"child", child.child},
                          {"spi_in", fmt::format("{}", child.inbound_spi)}};
      page.gauge("merlon_child_sa_age_seconds", "Age of a Child SA", labels, age(child.established));
      const auto stats = gateway.workers().data_plane().stats(child.id);
      if (!stats) continue;
      const auto traffic = [&](const char* direction, const esp::TrafficTotals& totals) {
        Labels with = labels;
        with.push_back({"direction", direction});
        page.counter("merlon_child_sa_packets_total", "Inner packets carried", with, number(totals.packets));
        page.counter("merlon_child_sa_bytes_total", "Bytes of inner packets carried", with,
                     number(totals.bytes));
      };
      traffic("in", stats->inbound);
      traffic("out", stats->outbound);
    }
  }
}

void add_engine(Page& page, Gateway& gateway) {
  page.gauge("merlon_ike_sas", "IKE SAs, half-open ones included", {},
             number(gateway.engine().ike_sa_count()));
  page.gauge("merlon_ike_sas_half_open", "IKE SAs whose peer is not authenticated", {},
             number(gateway.engine().half_open_count()));
  gateway.engine().counters().for_each([&](const ike::CounterSample& sample) {
    Labels labels;
    for (const auto& [label, value] : sample.labels) labels.push_back({std::string(label), value});
    page.counter("merlon_" + std::string(sample.metric) + "_total",
                 "IKE engine: " + std::string(sample.metric), std::move(labels), number(sample.value));
  });
}

void add_data_plane(Page& page, Gateway& gateway) {
  for (std::size_t i = 0; i < esp::kDropReasons; ++i) {
    const auto reason = static_cast<esp::DropReason>(i);
    page.counter("merlon_packets_dropped_total", "Packets dropped, by reason",
                 {{"reason", std::string(esp::name(reason))}},
                 number(gateway.workers().data_plane().drops(reason)));
  }
  const DataWorkers& workers = gateway.workers();
  const auto failed = [&](const char* kind, std::uint64_t count) {
    page.counter("merlon_io_failures_total",
                 "Packets that the kernel did not take from us, or dropped before we took them",
                 {{"kind", kind}}, number(count));
  };
  const auto failures = [&](const char* kind, std::atomic<std::uint64_t> WorkerCounters::*counter) {
    failed(kind, workers.sum(counter));
  };
  failures("tun", &WorkerCounters::tun_write_failed);
  failures("send", &WorkerCounters::send_failed);
  failures("send_blocked", &WorkerCounters::send_blocked);
  failures("invalid_datagram", &WorkerCounters::invalid_datagrams);
  failures("odd_tun_packet", &WorkerCounters::odd_tun_packets);
  const EdgeCounts& edge = gateway.edge_drops();
  failed("ike_receive_overflow", edge.ike);
  failed("receive_overflow", edge.esp);
  failed("tun_overflow", edge.tun);
  page.counter("merlon_mailbox_dropped_total", "IKE messages dropped before the control thread", {},
               number(gateway.mail_dropped()));
  page.counter("merlon_buffers_exhausted_total", "Times that no packet buffer was free", {},
               number(workers.sum(&WorkerCounters::buffers_exhausted)));
}

void add_workers(Page& page, Gateway& gateway, Instant now) {
  const esp::DataPlane& data_plane = gateway.workers().data_plane();
  for (std::size_t i = 0; i < data_plane.worker_count(); ++i) {
    const auto stats = data_plane.worker_stats({static_cast<std::uint8_t>(i)});
    const Labels labels{{"worker", std::to_string(i)}};
    page.gauge("merlon_worker_sas", "Child SAs that belong to a data worker", labels, number(stats.sas));
    page.gauge("merlon_worker_stalled_seconds", "For how long a data worker has not moved; 0: it runs",
               labels, static_cast<double>(gateway.worker_watch().silent(now, i).count()));
    page.counter("merlon_worker_stalls_total", "Times that a data worker stood still", labels,
                 number(gateway.worker_watch().stalls(i)));
    page.counter("merlon_worker_crossed_packets_total",
                 "Packets (or super-packets) that a data worker handed to the owner of their SA", labels,
                 number(stats.crossed_out));
  }
}

std::vector<MetricFamily> collect(Gateway& gateway) {
  Page page;
  add_connections(page, gateway);
  add_sas(page, gateway, io::monotonic_now());
  add_engine(page, gateway);
  add_data_plane(page, gateway);
  add_workers(page, gateway, io::monotonic_now());
  return page.take();
}

// Called on a thread of the HTTP server: the page is made on the control thread, and a server that is too
// busy to make it within two seconds answers with nothing rather than holding the scraper.
class Collector final : public prometheus::Collectable {
 public:
  Collector(asio::io_context& context, Gateway& gateway) : context_(context), gateway_(gateway) {}
  std::vector<MetricFamily> Collect() const override {
    const auto promise = std::make_shared<std::promise<std::vector<MetricFamily>>>();
    auto future = promise->get_future();
    // It may run when this collector is gone, so it holds nothing of it.
    asio::post(context_, [&gateway = gateway_, promise] { promise->set_value(collect(gateway)); });
    if (future.wait_for(std::chrono::seconds(2)) != std::future_status::ready) return {};
    return future.get();
  }

 private:
  asio::io_context& context_;
  Gateway& gateway_;
};

}  // namespace

std::string metrics_text(Gateway& gateway) {
  return prometheus::TextSerializer().Serialize(collect(gateway));
}

class MetricsServer::Impl {
 public:
  Impl(asio::io_context& context, Gateway& gateway, const std::string& listen)
      : exposer_(listen, 1), collector_(std::make_shared<Collector>(context, gateway)) {
    exposer_.RegisterCollectable(collector_);
  }

 private:
  prometheus::Exposer exposer_;
  std::shared_ptr<Collector> collector_;
};

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricsServer::~MetricsServer() = default;

Result<std::unique_ptr<MetricsServer>> MetricsServer::open(asio::io_context& context, Gateway& gateway,
                                                           const std::string& listen) {
  try {
    return std::unique_ptr<MetricsServer>(
        new MetricsServer(std::make_unique<Impl>(context, gateway, listen)));
  } catch (const std::exception& error) {
    return fail(ErrorCode::kSystem, "metrics_listen: cannot listen at {}: {}", listen, error.what());
  }
}

}  // namespace merlon::daemon
