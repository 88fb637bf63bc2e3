#include "ike/remote_targets.h"

#include <algorithm>

namespace merlon::ike {

namespace {

// "any", "%any", prefixes and ranges say whom we answer; nobody can call them.
bool is_callable_name(const std::string& text) {
  return !text.empty() && text != "any" && text.front() != '%' && text.find('/') == std::string::npos &&
         !IpPrefix::parse(text);
}

}  // namespace

RemoteTargets::RemoteTargets(const policy::Connection& connection)
    : connection_(connection.name),
      source_(connection.source),
      local_port_(connection.local_port),
      remote_port_(connection.remote_port) {
  for (const auto& text : connection.remote_addresses) {
    if (const auto address = IpAddress::parse(text)) {
      if (!address->is_unspecified()) entries_.emplace_back(*address);
    } else if (is_callable_name(text)) {
      entries_.emplace_back(text);
    }
  }
  for (const auto& text : connection.local_addresses)
    if (const auto address = IpAddress::parse(text); address && !address->is_unspecified())
      locals_.push_back(*address);
}

std::optional<RemoteTargets::Path> RemoteTargets::path_to(const IpAddress& remote) const {
  const Endpoint to{remote, remote_port_};
  if (locals_.empty()) return Path{{IpAddress::any(remote.family()), local_port_}, to};
  const auto same_family = std::find_if(locals_.begin(), locals_.end(), [&](const IpAddress& local) {
    return local.family() == remote.family();
  });
  if (same_family == locals_.end()) return std::nullopt;
  return Path{{*same_family, local_port_}, to};
}

Result<std::variant<RemoteTargets::Path, RemoteTargets::NeedsName>> RemoteTargets::current() {
  if (entries_.empty())
    return fail(ErrorCode::kPolicy,
                "connection '{}' ({}) has no remote address or host name to call: add one to "
                "remote_addresses, or set start to "
                "\"wait\"",
                connection_, source_);
  for (std::size_t tried = 0; tried < entries_.size(); ++tried) {
    const auto& entry = entries_[entry_];
    if (const auto* host = std::get_if<std::string>(&entry)) return NeedsName{*host};
    if (const auto path = path_to(std::get<IpAddress>(entry))) return *path;
    next_entry();
  }
  return fail(ErrorCode::kPolicy,
              "connection '{}' ({}): no remote address is of the same family (IPv4 or IPv6) as a local one",
              connection_, source_);
}

Result<RemoteTargets::Path> RemoteTargets::pick(const std::vector<IpAddress>& resolved) {
  std::vector<Path> usable;
  for (const auto& address : resolved)
    if (const auto path = path_to(address)) usable.push_back(*path);
  address_count_ = usable.size();
  if (usable.empty())
    return fail(ErrorCode::kNotFound, "{}",
                resolved.empty()
                    ? "the name has no address"
                    : "the name has no address of the same family (IPv4 or IPv6) as a local one");
  return usable[address_ % usable.size()];
}

void RemoteTargets::next_entry() {
  entry_ = entries_.empty() ? 0 : (entry_ + 1) % entries_.size();
  address_ = 0;
  address_count_ = 0;
}

void RemoteTargets::advance() {
  if (++address_ >= address_count_) next_entry();
}

}  // namespace merlon::ike
