// The keys of [daemon].
#include <algorithm>
#include <charconv>

#include "control/schema.h"
#include "control/value.h"

namespace merlon::control {
namespace {

template <auto Member, std::uint64_t Least, std::uint64_t Most>
Result<> set_number(DaemonConfig& daemon, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const std::uint64_t value, number_value(node, Least, Most));
  daemon.*Member = static_cast<std::remove_reference_t<decltype(daemon.*Member)>>(value);
  return {};
}

template <auto Member>
Result<> set_bool(DaemonConfig& daemon, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(daemon.*Member, bool_value(node));
  return {};
}

template <auto Member>
Result<> set_files(DaemonConfig& daemon, const toml::node& node, const SchemaContext& context) {
  MERLON_TRY(daemon.*Member, text_list(node));
  for (std::string& file : daemon.*Member) file = in_directory(file, context.directory);
  return {};
}

Result<> set_interface(DaemonConfig& daemon, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(daemon.interface, text_value(node));
  // IFNAMSIZ leaves 15 characters. The kernel refuses '/' and blanks, and takes '%' for a pattern to fill in.
  const std::string& name = daemon.interface;
  const bool good = !name.empty() && name.size() <= 15 && name != "." && name != ".." &&
                    std::ranges::all_of(name, [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                             c == '-' || c == '_' || c == '.';
                    });
  if (!good)
    return fail(ErrorCode::kInvalidArgument,
                "expected an interface name of 1 to 15 letters, digits, '-', '_' and '.', got \"{}\"", name);
  return {};
}

Result<> set_routing_table(DaemonConfig& daemon, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const std::uint64_t value, number_value(node, 1, 0xffffffff));
  // A route to a protected network there would hold for the whole host, outer packets included.
  if (value >= 253 && value <= 255)
    return fail(ErrorCode::kPolicy,
                "tables 253 to 255 are the system's own (default, main, local): expected another");
  daemon.routing_table = static_cast<std::uint32_t>(value);
  return {};
}

Result<> set_control_socket(DaemonConfig& daemon, const toml::node& node, const SchemaContext& context) {
  MERLON_TRY(const std::string file, text_value(node));
  daemon.control_socket = in_directory(file, context.directory);
  // unix(7): sun_path holds 108 bytes, the last of them zero.
  if (file.empty() || daemon.control_socket.size() > 107)
    return fail(ErrorCode::kInvalidArgument,
                "expected the path of a socket, at most 107 bytes long, got \"{}\"", daemon.control_socket);
  return {};
}

Result<> set_metrics_listen(DaemonConfig& daemon, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(daemon.metrics_listen, text_value(node));
  const std::string_view text = daemon.metrics_listen;
  if (text.empty()) return {};
  const auto colon = text.rfind(':');
  std::string_view host = colon == std::string_view::npos ? std::string_view() : text.substr(0, colon);
  const std::string_view digits =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  unsigned port = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (!address || failed != std::errc() || end != digits.data() + digits.size() || port < 1 || port > 65535)
    return fail(ErrorCode::kInvalidArgument,
                "expected an address and a port such as \"127.0.0.1:9101\" or \"[::1]:9101\", got \"{}\"",
                text);
  return {};
}

Result<> set_log_level(DaemonConfig& daemon, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<const char*> kLevels[] = {
      {"error", "error"}, {"warning", "warning"}, {"info", "info"}, {"debug", "debug"}};
  MERLON_TRY(daemon.log_level, choice_value(node, kLevels));
  return {};
}

using D = DaemonConfig;
constexpr Key<DaemonConfig> kKeys[] = {
    {"interface", "string", "\"merlon0\"",
     "Name of the TUN device through which protected packets leave and enter.", set_interface},
    {"interface_mtu", "bytes", "1500",
     "MTU of that device. The tunnels' own limits are told to senders by ICMP and TCP MSS.",
     set_number<&D::interface_mtu, 1280, 65535>},
    {"ike_port", "port", "500", "UDP port for IKE.", set_number<&D::ike_port, 1, 65535>},
    {"natt_port", "port", "4500", "UDP port for IKE and ESP behind a NAT (RFC 3948).",
     set_number<&D::natt_port, 1, 65535>},
    {"workers", "number", "half as many as CPUs, 1 to 16",
     "Threads that carry packets (1 to 64), each with its own sockets and TUN queue. A Child SA belongs to "
     "one. The kernel's part of the work wants CPUs as well.",
     set_number<&D::workers, 1, 64>},
    {"offload", "true | false", "true",
     "Exchange many packets at once with the kernel where it can (TSO, USO, GSO, GRO). Off for tests.",
     set_bool<&D::offload>},
    {"fwmark", "number", "19781", "Mark on outer packets that keeps them out of Merlon's routing table.",
     set_number<&D::fwmark, 1, 0xffffffff>},
    {"routing_table", "number", "4500", "Routing table that holds the routes to protected networks.",
     set_routing_table},
    {"rule_priority", "number", "4500",
     "Priority of the `ip rule` that asks that table; some below it are used, too.",
     set_number<&D::rule_priority, 100, 32765>},
    {"control_socket", "path", "\"/run/merlon/merlond.sock\"", "Where `merlon` talks to the daemon.",
     set_control_socket},
    {"metrics_listen", "address:port", "\"\" (off)",
     "Local HTTP address for Prometheus, such as \"127.0.0.1:9101\".", set_metrics_listen},
    {"log_level", "\"error\" | \"warning\" | \"info\" | \"debug\"", "\"info\"",
     "How much the daemon tells its log.", set_log_level},
    {"ca", "path or list of paths", "[]",
     "Certificates (PEM) of the authorities that every connection may trust.", set_files<&D::ca_files>},
    {"crl", "path or list of paths", "[]", "Certificate revocation lists (PEM or DER).",
     set_files<&D::crl_files>},
    {"cookie_threshold", "number", "64",
     "Half-open IKE SAs from which on a new initiator must return a cookie first (RFC 7296 2.6).",
     set_number<&D::cookie_threshold, 0, 1000000>},
    {"half_open_limit", "number", "4096", "Half-open IKE SAs beyond which new ones are refused.",
     set_number<&D::half_open_limit, 1, 1000000>},
    {"half_open_limit_per_source", "number", "16",
     "The same for one address (IPv6: one /64); from half of it on that source needs a cookie, too.",
     set_number<&D::half_open_limit_per_source, 1, 1000000>},
    {"guard", "true | false", "true",
     "Drop in the kernel what a policy protects but arrives or leaves in clear.", set_bool<&D::guard>},
    {"keep_guard_on_stop", "true | false", "false",
     "Leave blackhole routes and guard in place after a clean stop.", set_bool<&D::keep_guard_on_stop>},
    {"sequence_limit", "number", "0 (the protocol's)",
     "Lower limit for outbound ESP sequence numbers. For tests of rekeying only.",
     set_number<&D::sequence_limit, 0, 0xffffffff>},
};

}  // namespace

std::span<const Key<DaemonConfig>> daemon_keys() {
  return kKeys;
}

std::string in_directory(const std::string& file, const std::string& directory) {
  return file.empty() || file.front() == '/' || directory.empty() ? file : directory + "/" + file;
}

}  // namespace merlon::control
