// Which remote address of a connection the next attempt goes to: the configured ones in their order, each
// address of a host name in turn, and then from the beginning.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ip_address.h"
#include "policy/connection.h"

namespace merlon::ike {

class RemoteTargets {
 public:
  RemoteTargets() = default;
  explicit RemoteTargets(const policy::Connection& connection);

  struct Path {
    Endpoint local, remote;
  };
  struct NeedsName {
    std::string host;
  };
  // What to do for the next attempt: call a path, or look a name up first. kPolicy when no configured remote
  // address can be called (only prefixes, or none), or none has the family of a local address.
  [[nodiscard]] Result<std::variant<Path, NeedsName>> current();
  // After NeedsName: the path among what the name stands for now. kNotFound when none is of use.
  [[nodiscard]] Result<Path> pick(const std::vector<IpAddress>& resolved);
  // The attempt failed: the next address.
  void advance();

 private:
  [[nodiscard]] std::optional<Path> path_to(const IpAddress& remote) const;
  void next_entry();

  std::string connection_, source_;
  std::vector<std::variant<IpAddress, std::string>> entries_;
  std::vector<IpAddress> locals_;  // empty: the route decides
  std::uint16_t local_port_ = 500, remote_port_ = 500;
  std::size_t entry_ = 0;
  std::size_t address_ = 0;        // among those of a host name
  std::size_t address_count_ = 0;  // at the last look-up
};

}  // namespace merlon::ike
