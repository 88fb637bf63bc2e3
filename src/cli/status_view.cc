#include "cli/status_view.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "cli/printable.h"

namespace merlon::cli {
namespace {

using nlohmann::json;

std::string text(const json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || !at->is_string() ? std::string() : printable(at->get<std::string>());
}

std::string in_duration(const json& object, const char* key, const char* words) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number()) return {};
  return fmt::format("{} {}", words, duration_text(at->get<long long>()));
}

unsigned long long number(const json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || !at->is_number() ? 0 : at->get<unsigned long long>();
}

std::string joined(std::initializer_list<std::string> parts) {
  std::string out;
  for (const std::string& part : parts)
    if (!part.empty()) out += (out.empty() ? "" : ", ") + part;
  return out;
}

class View {
 public:
  View(bool colour, std::string only) : colour_(colour), only_(std::move(only)) {}

  std::string build(const json& status) {
    for (const json& connection : status.value("connections", json::array()))
      if (only_.empty() || text(connection, "name") == only_) show_connection(connection);
    if (only_.empty())
      for (const json& sa : status.value("unconfigured_ike_sas", json::array())) show_ike_sa(sa);
    if (only_.empty()) show_drops(status.value("drops", json::object()));
    if (out_.empty()) out_ = "No connections are configured: `merlon pair`, or docs/configuration.md.\n";
    if (only_.empty()) show_workers(status.value("workers", json::array()));
    return std::move(out_);
  }

 private:
  std::string paint(const char* code, const std::string& words) const {
    return colour_ ? fmt::format("\033[{}m{}\033[0m", code, words) : words;
  }

  void show_connection(const json& connection) {
    const std::string phase = text(connection, "phase");
    const char* code = phase == "up" ? "32" : phase == "idle" ? "0" : "33";
    out_ += fmt::format("{}  {}", paint("1", text(connection, "name")),
                        paint(code, phase.empty() ? "policy" : phase));
    if (const auto next = in_duration(connection, "next_attempt_in_s", "next attempt in"); !next.empty())
      out_ += "  " + next;
    out_ += "\n";
    if (phase.empty()) show_policies(connection);
    if (const auto error = connection.find("last_error"); error != connection.end()) {
      const bool over = error->value("over", false);
      out_ += fmt::format("  {} {}\n", over ? "last error (over):" : paint("31", "last error:"),
                          text(*error, "sentence"));
    }
    for (const json& sa : connection.value("ike_sas", json::array())) show_ike_sa(sa);
    for (const json& name : connection.value("children_missing", json::array()))
      out_ += fmt::format("  child {} is not up\n", name.get<std::string>());
  }

  void show_policies(const json& connection) {
    for (const json& child : connection.value("children", json::array()))
      out_ += fmt::format("  {} {} === {}\n", text(child, "action"), text(child, "local_ts"),
                          text(child, "remote_ts"));
  }

  void show_ike_sa(const json& sa) {
    out_ += fmt::format("  IKE SA {}_i {}_r  {}\n", text(sa, "spi_i"), text(sa, "spi_r"), text(sa, "phase"));
    out_ += fmt::format("    {} [{}] === {} [{}]{}\n", text(sa, "local"), text(sa, "local_id"),
                        text(sa, "remote"), text(sa, "remote_id"), sa.value("natt", false) ? "  (NAT)" : "");
    const std::string times =
        joined({in_duration(sa, "age_s", "established"), in_duration(sa, "rekey_in_s", "rekey in"),
                in_duration(sa, "expires_in_s", "ends in"), in_duration(sa, "last_heard_s", "last heard")});
    out_ += fmt::format("    {}{}{}\n", text(sa, "algorithms"), times.empty() ? "" : "; ", times);
    for (const json& child : sa.value("child_sas", json::array())) show_child_sa(child);
  }

  void show_child_sa(const json& child) {
    out_ +=
        fmt::format("  Child SA {}  {} in  {} out  ESP{}{}\n", text(child, "child"), text(child, "spi_in"),
                    text(child, "spi_out"), child.value("udp_encapsulation", false) ? " in UDP" : "",
                    child.value("rekeying", false) ? ", being rekeyed" : "");
    out_ += fmt::format("    {} === {}\n", text(child, "local_ts"), text(child, "remote_ts"));
    const std::string times =
        joined({in_duration(child, "age_s", "established"), in_duration(child, "rekey_in_s", "rekey in"),
                in_duration(child, "expires_in_s", "ends in")});
    out_ += fmt::format("    {}{}{}\n", text(child, "algorithms"), times.empty() ? "" : "; ", times);
    out_ += fmt::format("    in {} in {} packets, out {} in {} packets, MTU {}\n",
                        size_text(number(child, "bytes_in")), number(child, "packets_in"),
                        size_text(number(child, "bytes_out")), number(child, "packets_out"),
                        number(child, "mtu"));
  }

  // Where there are several, or one that stands still.
  void show_workers(const json& workers) {
    std::string sas;
    for (const json& worker : workers) {
      sas += fmt::format("{}{}", sas.empty() ? "" : ", ", number(worker, "sas"));
      if (const auto stalled = in_duration(worker, "stalled_s", "has not moved for"); !stalled.empty())
        out_ += paint("31", fmt::format("Data worker {} {}", number(worker, "worker"), stalled)) + "\n";
    }
    if (workers.size() > 1) out_ += fmt::format("Data workers: {}, with {} Child SAs\n", workers.size(), sas);
  }

  void show_drops(const json& drops) {
    if (drops.empty()) return;
    out_ += "Packets dropped:";
    for (const auto& [reason, count] : drops.items())
      out_ += fmt::format(" {} {}", reason, count.get<unsigned long long>());
    out_ += "\n";
  }

  bool colour_;
  std::string only_, out_;
};

}  // namespace

std::string duration_text(long long seconds) {
  if (seconds < 0) seconds = 0;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7200) return fmt::format("{} min", seconds / 60);
  if (seconds < 2 * 86400) return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} days", seconds / 86400);
}

std::string size_text(unsigned long long bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return bytes < 1000 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string status_text(const json& status, const std::string& only_connection, bool colour) {
  return View(colour, only_connection).build(status);
}

}  // namespace merlon::cli
