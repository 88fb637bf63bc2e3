// The configuration: TOML files into plain values, with errors that say file, line, column, what was expected
// and the nearest valid key. Reads files and nothing else: secrets and certificates named in it are loaded by
// the daemon.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/connection.h"

namespace merlon::control {

struct DaemonConfig {
  std::string interface = "merlon0";
  unsigned interface_mtu = 1500;  // bytes; the tunnels' own limits are told to senders by ICMP and by the MSS
  std::uint16_t ike_port = 500, natt_port = 4500;
  std::uint32_t fwmark = 0x4d45;  // on outer packets: keeps them out of our routing table
  std::uint32_t routing_table = 4500;
  std::uint32_t rule_priority = 4500;
  std::string control_socket = "/run/merlon/merlond.sock";
  std::string metrics_listen;  // "127.0.0.1:9101"; empty = off
  std::string log_level = "info";
  std::vector<std::string> ca_files, crl_files;
  std::size_t cookie_threshold = 64;
  std::size_t half_open_limit = 4096, half_open_limit_per_source = 16;
  unsigned workers = 0;  // threads that carry packets; 0: half as many as there are CPUs to run on
  bool offload = true;   // exchange super-packets with the kernel where it can
  bool guard = true;     // "Nothing in clear": drop in the kernel what a policy protects
  bool keep_guard_on_stop = false;
  std::uint32_t sequence_limit =
      0;  // lowered hard limit of outbound sequence numbers, for tests; 0 = the protocol's
};

struct Diagnostic {
  std::string file;
  unsigned line = 0, column = 0;  // 0 = the file as a whole
  bool warning = false;
  std::string message;

  // "merlon.toml:12:3: error: ..."
  [[nodiscard]] std::string to_string() const;
};

struct Config {
  DaemonConfig daemon;
  std::vector<policy::ConnectionPtr>
      connections;  // in the order of the files; [[policy]] entries as a connection of their own
};

struct LoadedConfig {
  std::optional<Config> config;  // nothing when there was an error
  std::vector<Diagnostic> diagnostics;
};

struct ConfigText {
  std::string file;  // its name, for diagnostics
  std::string text;
  // Whether others than the owner may read the file: then it must not hold a secret.
  bool readable_by_others = false;
};

// Relative paths in a configuration are taken from `directory`.
[[nodiscard]] LoadedConfig parse_config(const std::vector<ConfigText>& texts, const std::string& directory);
// `path` and, beside it, every *.toml in conf.d/, in the order of their names.
[[nodiscard]] LoadedConfig load_config(const std::string& path);

// The name of the pseudo connection that holds the [[policy]] entries.
inline constexpr const char* kPolicyConnection = "(policy)";

// Every key with its type, default, unit and meaning, as the Markdown tables of docs/configuration.md.
[[nodiscard]] std::string configuration_reference();

}  // namespace merlon::control
