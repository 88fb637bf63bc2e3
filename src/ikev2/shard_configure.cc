// A new configuration, without touching what it does not change.
#include <algorithm>

#include "ikev2/established.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/peer_validity.h"
#include "ikev2/shard.h"

namespace merlon::ikev2 {

namespace {

bool same(const policy::LocalAuth& a, const policy::LocalAuth& b) {
  return a.kind == b.kind && a.id_text == b.id_text && a.id == b.id &&
         a.certificate_file == b.certificate_file && a.private_key_file == b.private_key_file &&
         a.psk_file == b.psk_file && a.psk == b.psk && a.eap_method == b.eap_method;
}
bool same(const policy::RemoteAuth& a, const policy::RemoteAuth& b) {
  return a.kind == b.kind && a.id_text == b.id_text && a.id == b.id && a.id_pattern == b.id_pattern &&
         a.ca_files == b.ca_files && a.public_keys == b.public_keys && a.psk_file == b.psk_file &&
         a.psk == b.psk && a.eap_method == b.eap_method && a.revocation == b.revocation;
}
template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const T& one, const T& other) { return same(one, other); });
}

// What an IKE SA was negotiated by. Lifetimes, timers, retransmission, liveness, backoff and the like are
// taken over while running.
bool same_peer(const policy::Connection& a, const policy::Connection& b) {
  return a.ike_version == b.ike_version && a.local_addresses == b.local_addresses &&
         a.remote_addresses == b.remote_addresses && a.local_port == b.local_port &&
         a.remote_port == b.remote_port && a.ike_proposals == b.ike_proposals &&
         same(a.local_auth, b.local_auth) && same(a.remote_auth, b.remote_auth) && a.pools == b.pools &&
         a.virtual_ips == b.virtual_ips && a.encapsulation == b.encapsulation && a.mobike == b.mobike;
}

// What a Child SA was negotiated by, and what the packet engine was told with it.
bool same_child(const policy::ChildConfig& a, const policy::ChildConfig& b) {
  const auto& x = a.lifetime;
  const auto& y = b.lifetime;
  return a.name == b.name && a.action == b.action && a.mode == b.mode && a.local_ts == b.local_ts &&
         a.remote_ts == b.remote_ts && a.proposals == b.proposals && a.replay_window == b.replay_window &&
         a.copy_dscp == b.copy_dscp && a.df == b.df && a.tcp_mss_clamp == b.tcp_mss_clamp &&
         a.tunnel_mtu == b.tunnel_mtu && a.mark_in == b.mark_in && a.mark_out == b.mark_out &&
         x.soft_bytes == y.soft_bytes && x.hard_bytes == y.hard_bytes && x.soft_packets == y.soft_packets &&
         x.hard_packets == y.hard_packets;
}

std::optional<std::size_t> index_of(const policy::Connection& connection, const policy::ChildConfig& child) {
  for (std::size_t i = 0; i < connection.children.size(); ++i)
    if (same_child(connection.children[i], child)) return i;
  return std::nullopt;
}

// The new index of every old child; none where it is gone or changed.
std::vector<std::optional<std::size_t>> renumber(const policy::Connection& before,
                                                 const policy::Connection& after) {
  std::vector<std::optional<std::size_t>> indices;
  for (const auto& child : before.children) indices.push_back(index_of(after, child));
  return indices;
}

}  // namespace

void Shard::take_over(IkeSa& sa, const policy::ConnectionPtr& connection) {
  auto& established = *sa.established();
  const auto indices = renumber(*sa.connection, *connection);
  std::erase_if(established.tasks, [&](Task& task) {
    auto* create = std::get_if<NewChildTask>(&task.what);
    if (!create) return false;
    const auto index = indices[create->intent.child_index];
    if (index) create->intent.child_index = *index;
    return !index;
  });
  for (auto& record : established.children) {
    if (const auto index = indices[record.child_index]) {
      record.child_index = *index;
    } else {
      record.child_index = 0;
      queue_delete_child(*this, established, record, "the configuration changed");
    }
  }
  sa.connection = connection;
  touch(sa);
}

void Shard::configure(Now now, std::vector<policy::ConnectionPtr> connections,
                      std::shared_ptr<const ike::Credentials> credentials) {
  begin(now);
  connections_ = std::move(connections);
  credentials_ = std::move(credentials);
  std::size_t rechecked = 0;
  for (auto* sa : sorted()) {
    if (!sa->connection) continue;
    if (auto* standing = sa->established(); standing && !standing->peer.chain().empty()) {
      // Signatures cost time: the first few at once, many spread out.
      constexpr std::size_t kAtOnce = 64;
      constexpr auto kEach = std::chrono::milliseconds(2);
      recheck_peer_at(*standing, time() + (rechecked < kAtOnce ? Duration{} : kEach * (rechecked - kAtOnce)));
      ++rechecked;
      touch(*sa);
    }
    const auto after = connection(sa->connection->name);
    if (after == sa->connection) continue;
    // An exchange in flight knows children by their old numbers, and so does a predecessor whose children may still
    // come (RFC 7296 2.8.2).
    const auto* established = sa->established();
    const bool quiet = established && std::holds_alternative<std::monostate>(established->own) &&
                       std::holds_alternative<std::monostate>(established->answering) &&
                       !established->predecessor;
    const bool children_same =
        after && renumber(*sa->connection, *after) == renumber(*sa->connection, *sa->connection);
    if (after && same_peer(*after, *sa->connection) && established && (quiet || children_same))
      take_over(*sa, after);
    else
      close_for_configuration(*sa, after ? "the configuration changed" : "the configuration has it no more");
  }
  settle();
}

}  // namespace merlon::ikev2
