#include "bench/handshake/world.h"

#include <fmt/format.h>

#include "bench/trouble.h"
#include "pki/builder.h"
#include "pki/identity_text.h"

namespace merlon::bench {
namespace {

using namespace std::chrono_literals;

constexpr UnixTime kToday = std::chrono::sys_days{std::chrono::year{2026} / 10 / 4};
constexpr const char* kGateway = "gw.example.com";
constexpr const char* kGatewayAddress = "198.51.100.1";

std::string initiator_name(std::size_t number) {
  return fmt::format("u{}.example.com", number);
}
std::string address_of(std::size_t net, std::size_t number) {
  return fmt::format("{}.{}.{}.{}", net, number >> 16U & 255U, number >> 8U & 255U, number & 255U);
}

policy::AuthKind kind_of(Proof proof) {
  return proof == Proof::kPsk ? policy::AuthKind::kPsk : policy::AuthKind::kCertificate;
}

std::shared_ptr<policy::Connection> connection_of(const Kind& kind, const std::string& name,
                                                  const std::string& local_id) {
  auto made = std::make_shared<policy::Connection>();
  made->name = name;
  made->ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-" + kind.ke))};
  policy::LocalAuth local;
  local.kind = kind_of(kind.proof);
  local.id_text = local_id;
  local.id = value(Identity::parse(local_id));
  made->local_auth = {local};
  policy::RemoteAuth remote;
  remote.kind = kind_of(kind.proof);
  remote.revocation = policy::RemoteAuth::Revocation::kIgnore;
  made->remote_auth = {remote};
  made->unique = policy::Connection::Uniqueness::kKeep;
  made->initial_contact = false;
  made->liveness_interval = 0s;
  return made;
}

policy::ChildConfig child_of(const std::string& local_ts, const std::string& remote_ts) {
  policy::ChildConfig child;
  child.name = "net";
  child.local_ts = value(policy::parse_traffic_selectors(local_ts));
  child.remote_ts = value(policy::parse_traffic_selectors(remote_ts));
  child.proposals = {value(policy::parse_esp_proposal("aes128gcm16-esn"))};
  return child;
}

// Who proves what to whom. All initiators share one key: making 10,000 of RSA would take hours.
class Authority {
 public:
  explicit Authority(Proof proof) : proof_(proof) {
    if (proof_ == Proof::kPsk) return;
    const char* const key_kind = proof_ == Proof::kRsa2048 ? "rsa-2048" : "ecdsa-p256";
    for (auto* key : {&authority_key_, &initiator_key_, &gateway_key_})
      *key = std::make_shared<const crypto::PrivateKey>(value(pki::generate_key(key_kind)));
    root_.emplace(value(pki::make_root(*authority_key_, spec("CN=CA", {}), rng_)));
    pki::TrustStore store;
    if (!store.add_anchor(*root_)) give_up("the CA is not taken");
    trust_ = std::make_shared<const pki::TrustStore>(std::move(store));
  }

  ike::ConnectionCredentials credentials(const std::string& name, bool is_gateway) {
    ike::ConnectionCredentials made;
    if (proof_ == Proof::kPsk) {
      made.local_psk = Secret::copy_of(as_bytes(std::string_view("a shared secret of good length")));
      made.remote_psk = made.local_psk.clone();
      return made;
    }
    made.private_key = is_gateway ? gateway_key_ : initiator_key_;
    made.certificates = {value(pki::make_certificate(*root_, *authority_key_, made.private_key->public_key(),
                                                     spec("CN=" + name, {name}), rng_))};
    made.trust = trust_;
    return made;
  }

 private:
  static pki::CertificateSpec spec(const std::string& subject, std::vector<std::string> dns) {
    pki::CertificateSpec made;
    made.subject_dn = value(pki::dn_from_text(subject));
    made.names.dns = std::move(dns);
    made.not_before = kToday - std::chrono::days{10};
    made.not_after = kToday + std::chrono::days{300};
    return made;
  }

  Proof proof_;
  SeededRng rng_{5};
  std::shared_ptr<const crypto::PrivateKey> authority_key_, initiator_key_, gateway_key_;
  std::optional<pki::Certificate> root_;
  std::shared_ptr<const pki::TrustStore> trust_;
};

}  // namespace

World::World(const Kind& kind, std::size_t sas)
    : initiator_(Owner::kInitiator, sas), responder_(Owner::kResponder, sas), now_(1h), wall_(kToday) {
  configure(kind, sas);
}

void World::configure(const Kind& kind, std::size_t sas) {
  Authority authority(kind.proof);
  auto on_the_road = std::make_shared<ike::Credentials>();
  std::vector<policy::ConnectionPtr> connections;
  for (std::size_t i = 0; i < sas; ++i) {
    auto connection = connection_of(kind, fmt::format("c{}", i), initiator_name(i));
    connection->remote_addresses = {kGatewayAddress};
    connection->remote_auth.front().id_text = kGateway;
    connection->remote_auth.front().id = value(Identity::parse(kGateway));
    connection->children = {child_of(address_of(10, i) + "/32", "192.168.0.0/16")};
    on_the_road->by_connection.emplace(connection->name, authority.credentials(initiator_name(i), false));
    connections.push_back(std::move(connection));
  }
  initiator_.configure(now(), std::move(connections), std::move(on_the_road));

  auto connection = connection_of(kind, "road", kGateway);
  connection->start = policy::StartMode::kWait;
  connection->children = {child_of("192.168.0.0/16", "10.0.0.0/8")};
  auto at_gateway = std::make_shared<ike::Credentials>();
  at_gateway->by_connection.emplace("road", authority.credentials(kGateway, true));
  responder_.configure(now(), {connection}, std::move(at_gateway));
}

void World::set_up(std::size_t count) {
  const IpAddress gateway = value(IpAddress::parse(kGatewayAddress));
  for (std::size_t i = 0; i < count; ++i, ++done_) {
    now_ += 1ms;
    initiator_.initiate(now(), fmt::format("c{}", done_),
                        {value(IpAddress::parse(address_of(20, done_))), 500}, {gateway, 500}, wire_);
    deliver_all();
  }
  if (initiator_.established() != done_ || responder_.established() != done_)
    give_up("IKE SAs did not come up");
}

void World::deliver_all() {
  const IpAddress gateway = value(IpAddress::parse(kGatewayAddress));
  while (!wire_.empty()) {
    const ike::Transmit sent = std::move(wire_.front());
    wire_.pop_front();
    (sent.remote.address == gateway ? responder_ : initiator_).receive(now(), sent, wire_);
  }
}

void World::settle() {
  for (int second = 0; second < 60; ++second) {
    now_ += 1s;
    initiator_.advance(now(), wire_);
    responder_.advance(now(), wire_);
    deliver_all();
  }
}

}  // namespace merlon::bench
