#include "daemon/sockets.h"

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

std::optional<io::UdpSocket> open_udp(const control::DaemonConfig& config, IpFamily family,
                                      std::uint16_t port, std::vector<std::string>& warnings) {
  auto options = common<io::UdpSocketOptions>(config);
  options.accept_zero_checksum = true;  // RFC 3948 2.1, RFC 6935
  options.receive_segments = port == config.natt_port && config.offload;
  options.local = {IpAddress::any(family), port};
  return keep(io::UdpSocket::open(options),
              fmt::format("UDP port {} over {}", port, family == IpFamily::kIpv4 ? "IPv4" : "IPv6"),
              warnings);
}

std::optional<io::RawEspSocket> open_esp(const control::DaemonConfig& config, IpFamily family,
                                         std::vector<std::string>& warnings) {
  auto options = common<io::RawEspSocketOptions>(config);
  options.local = IpAddress::any(family);
  return keep(io::RawEspSocket::open(options),
              fmt::format("native ESP over {}", family == IpFamily::kIpv4 ? "IPv4" : "IPv6"), warnings);
}

}  // namespace

Result<Sockets> Sockets::open(const control::DaemonConfig& config, std::vector<std::string>& warnings) {
  Sockets out;
  out.ike_v4 = open_udp(config, IpFamily::kIpv4, config.ike_port, warnings);
  out.ike_v6 = open_udp(config, IpFamily::kIpv6, config.ike_port, warnings);
  out.natt_v4 = open_udp(config, IpFamily::kIpv4, config.natt_port, warnings);
  out.natt_v6 = open_udp(config, IpFamily::kIpv6, config.natt_port, warnings);
  out.esp_v4 = open_esp(config, IpFamily::kIpv4, warnings);
  out.esp_v6 = open_esp(config, IpFamily::kIpv6, warnings);
  const bool v4 = out.ike_v4 && out.natt_v4;
  const bool v6 = out.ike_v6 && out.natt_v6;
  if (!v4 && !v6) {
    std::string all;
    for (const std::string& warning : warnings) all += (all.empty() ? "" : "; ") + warning;
    return fail(ErrorCode::kSystem, "no socket for IKE (does another IKE daemon run?): {}", all);
  }
  return out;
}

}  // namespace merlon::daemon
