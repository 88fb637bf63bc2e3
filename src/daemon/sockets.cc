#include "daemon/sockets.h"

#include "esp/steering.h"
#include "io/spi_steering.h"

namespace merlon::daemon {
namespace {

constexpr unsigned kSocketBuffer = 4U << 20U;  // bytes: bursts must not be lost while a thread is busy

template <class Options>
Options common(const control::DaemonConfig& config) {
  Options options;
  options.mark = config.fwmark;
  options.receive_buffer = options.send_buffer = kSocketBuffer;
  // The kernel checks ICMP errors against the socket before it believes them, and then refuses what is too big.
  options.path_mtu_mode = io::PathMtuMode::kDo;
  return options;
}

template <class Socket>
std::optional<Socket> keep(Result<Socket> opened, std::string_view what, std::vector<std::string>& warnings) {
  if (opened) return std::move(*opened);
  warnings.push_back(fmt::format("{}: {}", what, opened.error().message));
  return std::nullopt;
}

std::string_view name(IpFamily family) {
  return family == IpFamily::kIpv4 ? "IPv4" : "IPv6";
}

std::optional<io::UdpSocket> open_udp(const control::DaemonConfig& config, IpFamily family,
                                      std::uint16_t port, bool shared, std::vector<std::string>& warnings) {
  auto options = common<io::UdpSocketOptions>(config);
  options.accept_zero_checksum = true;  // RFC 3948 2.1, RFC 6935
  options.receive_segments = port == config.natt_port && config.offload;
  options.reuse_port = shared;
  options.local = {IpAddress::any(family), port};
  return keep(io::UdpSocket::open(options), fmt::format("UDP port {} over {}", port, name(family)), warnings);
}

std::optional<io::RawEspSocket> open_esp(const control::DaemonConfig& config, IpFamily family, bool send_only,
                                         std::vector<std::string>& warnings) {
  auto options = common<io::RawEspSocketOptions>(config);
  options.send_only = send_only;
  options.local = IpAddress::any(family);
  return keep(io::RawEspSocket::open(options), fmt::format("native ESP over {}", name(family)), warnings);
}

// Each worker's UDP sockets get what its SAs need, from the first packet on; native ESP goes to a reader, and where that is
// not the owner the packet crosses inside the engine.
Result<> steer(Sockets& sockets) {
  const io::SpiSteering steering{esp::kOwnerBits, static_cast<unsigned>(sockets.workers.size())};
  const io::SpiSteering native{esp::kOwnerBits, esp_readers(steering.count)};
  for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6}) {
    if (io::UdpSocket* socket = sockets.natt(family)) MERLON_TRY_VOID(io::steer_by_spi(*socket, steering));
    for (unsigned i = 0; native.count > 1 && i < native.count; ++i)
      if (io::RawEspSocket* socket = sockets.workers[i].esp(family))
        MERLON_TRY_VOID(io::keep_own_spis(*socket, native, i));
  }
  return {};
}

// Opens a family's UDP sockets; false where some are missing.
bool open_family(Sockets& out, const control::DaemonConfig& config, IpFamily family,
                 std::vector<std::string>& warnings) {
  const bool v4 = family == IpFamily::kIpv4, shared = out.workers.size() > 1;
  // The port that nobody shares comes first: a second daemon ends here and has taken nothing of the first one's.
  std::optional<io::UdpSocket>& ike = v4 ? out.ike_v4 : out.ike_v6;
  ike = open_udp(config, family, config.ike_port, false, warnings);
  for (WorkerSockets& worker : out.workers) {
    std::optional<io::UdpSocket>& natt = v4 ? worker.natt_v4 : worker.natt_v6;
    if (shared && !ike) break;
    natt = open_udp(config, family, config.natt_port, shared, warnings);
    if (!natt) break;
  }
  const bool complete = (v4 ? out.workers.back().natt_v4 : out.workers.back().natt_v6).has_value();
  if (!complete)  // all or none, since the kernel counts them
    for (WorkerSockets& worker : out.workers) (v4 ? worker.natt_v4 : worker.natt_v6).reset();
  return ike && complete;
}

}  // namespace

Result<Sockets> Sockets::open(const control::DaemonConfig& config, unsigned worker_count,
                              std::vector<std::string>& warnings) {
  Sockets out;
  out.workers.resize(worker_count);
  const bool v4 = open_family(out, config, IpFamily::kIpv4, warnings);
  const bool v6 = open_family(out, config, IpFamily::kIpv6, warnings);
  if (!v4 && !v6) {
    std::string all;
    for (const std::string& warning : warnings) all += (all.empty() ? "" : "; ") + warning;
    return fail(ErrorCode::kSystem, "no socket for IKE (does another IKE daemon run?): {}", all);
  }
  for (unsigned i = 0; i < worker_count; ++i) {
    WorkerSockets& worker = out.workers[i];
    const bool send_only = i >= esp_readers(worker_count);
    worker.esp_v4 = open_esp(config, IpFamily::kIpv4, send_only, warnings);
    worker.esp_v6 = open_esp(config, IpFamily::kIpv6, send_only, warnings);
    if (!worker.esp_v4 && !worker.esp_v6) break;  // said once
  }
  if (worker_count > 1) MERLON_TRY_VOID(steer(out));
  return out;
}

}  // namespace merlon::daemon
