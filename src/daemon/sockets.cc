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

// Without IKE's own sockets, where they cannot be told apart from the ESP's.
void leave_ike_with_esp(Sockets& sockets, const Error& why, std::vector<std::string>& warnings) {
  sockets.workers.front().natt_ike_v4.reset();
  sockets.workers.front().natt_ike_v6.reset();
  warnings.push_back(fmt::format("IKE shares the receive buffer of ESP: {}", why.message));
}

// Each worker's UDP sockets get what its SAs need, from the first packet on; native ESP goes to a reader, and where that is
// not the owner the packet crosses inside the engine.
Result<> steer(Sockets& sockets) {
  const auto count = static_cast<unsigned>(sockets.workers.size());
  const io::SpiSteering native{esp::kOwnerBits, esp_readers(count), 0};
  for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6}) {
    WorkerSockets& first = sockets.workers.front();
    const io::SpiSteering steering{esp::kOwnerBits, count, first.natt_ike(family) != nullptr ? count : 0};
    if (io::UdpSocket* socket = first.natt(family)) MERLON_TRY_VOID(io::steer_by_spi(*socket, steering));
    for (unsigned i = 0; native.count > 1 && i < native.count; ++i)
      if (io::RawEspSocket* socket = sockets.workers[i].esp(family))
        MERLON_TRY_VOID(io::keep_own_spis(*socket, native, i));
  }
  return {};
}

// Opens a family's UDP sockets; false where some are missing.
bool open_family(Sockets& out, const control::DaemonConfig& config, IpFamily family,
                 std::vector<std::string>& warnings) {
  const bool v4 = family == IpFamily::kIpv4;
  // The ports that nobody shares come first: a second daemon ends here and has taken nothing of the first one's. The sockets of
  // port 4500 share it among themselves, and would with others of this user.
  std::optional<io::UdpSocket>& ike = v4 ? out.ike_v4 : out.ike_v6;
  ike = open_udp(config, family, config.ike_port, false, warnings);
  if (!ike || !open_udp(config, family, config.natt_port, false, warnings)) return false;
  for (WorkerSockets& worker : out.workers) {
    std::optional<io::UdpSocket>& natt = v4 ? worker.natt_v4 : worker.natt_v6;
    natt = open_udp(config, family, config.natt_port, true, warnings);
    if (!natt) break;
  }
  const bool complete = (v4 ? out.workers.back().natt_v4 : out.workers.back().natt_v6).has_value();
  if (!complete) {  // all or none, since the kernel counts them
    for (WorkerSockets& worker : out.workers) (v4 ? worker.natt_v4 : worker.natt_v6).reset();
    return false;
  }
  WorkerSockets& first = out.workers.front();
  (v4 ? first.natt_ike_v4 : first.natt_ike_v6) = open_udp(config, family, config.natt_port, true, warnings);
  return true;
}

}  // namespace

io::UdpOffloads Sockets::offloads() {
  io::UdpOffloads all{true, true};
  for (WorkerSockets& worker : workers)
    for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6})
      if (const io::UdpSocket* socket = worker.natt(family)) {
        all.segment &= socket->offloads().segment;
        all.gro &= socket->offloads().gro;
      }
  return all;
}

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
  if (auto steered = steer(out); !steered) {
    if (worker_count > 1) return tl::unexpected(steered.error());
    leave_ike_with_esp(out, steered.error(), warnings);
  }
  return out;
}

}  // namespace merlon::daemon
