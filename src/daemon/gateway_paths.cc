// How large outer packets may be: from the first link, from ICMP, and from probes where routers say nothing.
#include <algorithm>

#include "daemon/gateway.h"
#include "io/system_clock.h"

namespace merlon::daemon {

// Anyone can send us ICMP in a router's name: it counts where it quotes a packet of ours towards that peer, as RFC 4301 8.2.1 and
// RFC 8899 4.6.1 ask. (Routers that quote too little for that leave the path to the search.)
bool Gateway::is_about_ours(const PathTooSmall& report) {
  if (!path_searches_.contains(report.destination) || report_looks_ == kReportLooks) return false;
  ++report_looks_;
  return std::ranges::any_of(child_sas_, [&](const auto& entry) {
    const policy::ChildSa& sa = *entry.second;
    return sa.outbound_spi == report.spi && sa.path.remote.address == report.destination;
  });
}

void Gateway::path_too_small(const PathTooSmall& report) {
  if (report.mtu != 0 && !is_about_ours(report)) return;
  unsigned mtu = report.mtu;
  if (mtu == 0)
    if (const auto path = network_->path_to(report.destination, config_.daemon.fwmark)) mtu = path->mtu;
  if (mtu == 0) return;
  const auto [known, is_new] = path_mtu_.try_emplace(report.destination, mtu);
  if (!is_new && known->second <= mtu) return;
  known->second = mtu;
  set_path_mtu_towards(report.destination);
}

unsigned Gateway::known_path_mtu(const IpAddress& remote) {
  if (const auto known = path_mtu_.find(remote); known != path_mtu_.end()) return known->second;
  const auto path = network_->path_to(remote, config_.daemon.fwmark);
  return path ? path->mtu : 0;
}

void Gateway::set_path_mtu(const policy::ChildSa& sa) {
  const IpAddress& remote = sa.path.remote.address;
  unsigned mtu = known_path_mtu(remote);
  if (mtu != 0) {
    const auto search = path_searches_.try_emplace(remote, remote.family(), mtu).first;
    mtu = std::min(mtu, search->second.usable());
  }
  workers_->data_plane().set_path_mtu(sa.id, mtu);
}

void Gateway::set_path_mtu_towards(const IpAddress& remote) {
  for (const auto& [id, sa] : child_sas_)
    if (sa->path.remote.address == remote) set_path_mtu(*sa);
}

bool Gateway::sends_to(const IpAddress& remote, Instant since) const {
  return std::ranges::any_of(child_sas_, [&](const auto& entry) {
    if (entry.second->path.remote.address != remote) return false;
    const auto stats = workers_->data_plane().stats(entry.first);
    return stats && stats->outbound.last_used != kNever && stats->outbound.last_used >= since;
  });
}

void Gateway::ask_paths() {
  const Now now = io::system_now();
  for (auto& [remote, search] : path_searches_) {
    if (!search.is_due(now.monotonic)) continue;
    const auto size = search.next(now.monotonic, sends_to(remote, now.monotonic - PathSearch::kConfirmation));
    if (size && !engine_->probe_path(now, remote, *size)) search.postpone(now.monotonic);
  }
}

// A probe on the new IKE SA could overtake the answer that makes it known to the peer, and on the old one it may die with it:
// neither says anything about the path.
void Gateway::hold_path_search(const ike::IkeSaEstablished& event) {
  const auto search = path_searches_.find(event.remote.address);
  if (event.rekeyed && search != path_searches_.end())
    search->second.hold(io::monotonic_now() + PathSearch::kAfterRekey);
}

void Gateway::read_path_answers() {
  for (const ike::PathProbed& probed : engine_->drain_path_probes()) {
    const auto search = path_searches_.find(probed.remote);
    if (search == path_searches_.end()) continue;
    const unsigned before = search->second.usable();
    search->second.answer(io::monotonic_now(), probed.datagram_size, probed.arrived);
    const unsigned after = search->second.usable();
    if (after == before) continue;
    log_.info(fmt::format("the path to {} carries packets of {} bytes", probed.remote, after));
    set_path_mtu_towards(probed.remote);
  }
}

// Routes have changed, or time has passed: a path may carry more than it did (RFC 8201 4).
void Gateway::look_at_paths_again() {
  path_mtu_.clear();
  std::erase_if(path_searches_, [&](const auto& entry) {
    return std::ranges::none_of(
        child_sas_, [&](const auto& child) { return child.second->path.remote.address == entry.first; });
  });
  for (auto& [remote, search] : path_searches_)
    if (const unsigned top = known_path_mtu(remote); top != 0) search.look_again(io::monotonic_now(), top);
}

}  // namespace merlon::daemon
