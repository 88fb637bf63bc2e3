// How the two gateways of ike_sa_fuzzer and ike_pair_fuzzer are configured: three bytes of an input.
#pragma once

#include "fuzz/certificate_keys.h"
#include "fuzz/ike_sa_fuzzer_host.h"
#include "policy/proposal.h"

namespace merlon::fuzz {

inline constexpr const char* kOffice = "office";  // the connection's name

struct IkeSetting {
  bool initiator, wrong_secret, small_fragments, nat, pfs, slow;      // of the first byte
  bool cookies, two_children, lifetimes, liveness, keep, cbc, trace;  // of the second
  bool several_methods, unfragmented, esn;                            // of the third
  unsigned parallel;  // of the third: Child SAs that each end wants for the same selectors (RFC 9611), 1 to 4
  policy::AuthKind auth;
  unsigned stage;
  explicit IkeSetting(Input& input) {
    const auto a = input.u8(), b = input.u8(), c = input.u8();
    const auto bit = [](std::uint8_t byte, unsigned n) { return (byte >> n & 1U) != 0; };
    initiator = bit(a, 0), wrong_secret = bit(a, 3), small_fragments = bit(a, 4), nat = bit(a, 5),
    pfs = bit(a, 6), slow = bit(a, 7);
    cookies = bit(b, 0), two_children = bit(b, 1), lifetimes = bit(b, 2), liveness = bit(b, 3),
    keep = bit(b, 4), cbc = bit(b, 5), trace = bit(b, 6);
    using enum policy::AuthKind;
    constexpr policy::AuthKind kAuth[] = {kPsk, kCertificate, kRawPublicKey, kPsk};
    auth = kAuth[c & 3U];
    several_methods = bit(c, 2), unfragmented = bit(c, 3), esn = bit(c, 4);
    parallel = 1 + (c >> 5U & 3U);
    stage = (a >> 1U & 3U) ^ 3U;  // zeros stand for a handshake that is complete
  }
};

// The first gateway has the networks 10.1 and 10.3, the second 10.2 and 10.4.
inline std::shared_ptr<policy::Connection> connection_of(const IkeSetting& setting, bool first) {
  auto made = std::make_shared<policy::Connection>();
  made->name = kOffice;
  made->source = "merlon.toml:1";
  std::string ike = setting.cbc ? "aes128-sha256-x25519" : "aes256gcm16-prfsha256-x25519";
  // Each prefers another one, so that the first try meets INVALID_KE_PAYLOAD.
  if (setting.several_methods)
    ike = (setting.cbc ? "aes128-sha256-" : "aes256gcm16-prfsha256-") +
          std::string(first ? "x25519-ecp256" : "ecp256-x25519");
  made->ike_proposals = {value(policy::parse_ike_proposal(ike))};
  policy::LocalAuth local;
  policy::RemoteAuth remote;
  local.kind = remote.kind = setting.auth;
  local.id = value(Identity::parse(first ? "target.example" : "peer.example"));
  remote.id = value(Identity::parse(first ? "peer.example" : "target.example"));
  made->local_auth = {local};
  made->remote_auth = {remote};
  for (int i = 0; i <= (setting.two_children ? 1 : 0); ++i) {
    policy::ChildConfig child;
    child.name = i == 0 ? "net" : "dmz";
    child.local_ts = value(policy::parse_traffic_selectors(i == 0 ? "10.1.0.0/16" : "10.3.0.0/16"));
    child.remote_ts = value(policy::parse_traffic_selectors(i == 0 ? "10.2.0.0/16" : "10.4.0.0/16"));
    if (!first) std::swap(child.local_ts, child.remote_ts);
    const std::string words = std::string(setting.pfs ? "aes256gcm16-x25519" : "aes128gcm16");
    child.proposals = {value(policy::parse_esp_proposal(words + (setting.esn ? "-esn-noesn" : "-noesn")))};
    child.parallel = setting.parallel;
    if (setting.lifetimes) child.lifetime = {10s, 40s, 2s, 0, 0, 0, 0};
    made->children.push_back(child);
  }
  if (setting.lifetimes) made->ike_lifetime = {25s, 90s, 5s, 0, 0, 0, 0};
  made->liveness_interval = setting.liveness ? 5s : 0s;
  made->retransmit_tries = 4;
  made->unique =
      setting.keep ? policy::Connection::Uniqueness::kKeep : policy::Connection::Uniqueness::kReplace;
  if (setting.small_fragments) made->fragment_size = 200;
  made->fragmentation = !setting.unfragmented;
  return made;
}

// Of one gateway, made once a process. `stranger`: proves who it says it is to nobody.
struct Proof {
  KeyPtr key;
  pki::Certificate root, leaf;

  static Proof make(bool first, bool stranger) {
    const KeyPtr authority = key_of(stranger ? 9 : 1), key = key_of(stranger ? 8 : first ? 2 : 3);
    auto root = root_of(*authority);
    auto leaf = leaf_of(root, *authority, *key, first ? "target.example" : "peer.example");
    return {key, std::move(root), std::move(leaf)};
  }
  static const Proof& of(bool first, bool stranger) {
    static const Proof kAll[] = {make(false, false), make(false, true), make(true, false), make(true, true)};
    return kAll[(first ? 2U : 0U) + (stranger ? 1U : 0U)];
  }
};

inline std::shared_ptr<const ike::Credentials> credentials_of(const IkeSetting& setting, bool first) {
  auto made = std::make_shared<ike::Credentials>();
  auto& entry = made->by_connection[kOffice];
  const bool stranger = !first && setting.wrong_secret;
  if (setting.auth == policy::AuthKind::kPsk) {
    const std::string_view psk = stranger ? "another one" : "the pre-shared key";
    entry.local_psk = Secret::copy_of(as_bytes(psk));
    entry.remote_psk = Secret::copy_of(as_bytes(psk));
    return made;
  }
  const auto &own = Proof::of(first, stranger), &other = Proof::of(!first, false);
  entry.private_key = own.key;
  if (setting.auth == policy::AuthKind::kRawPublicKey) {
    entry.public_keys = {other.key->public_key()};
    return made;
  }
  entry.certificates = {own.leaf};
  pki::TrustStore store;
  require(store.add_anchor(other.root).has_value(), "the fuzzer's own setting is right");
  entry.trust = std::make_shared<const pki::TrustStore>(std::move(store));
  return made;
}

inline ikev2::EngineOptions options_of(const IkeSetting& setting, std::uint64_t shard) {
  ikev2::EngineOptions options;
  options.shard = shard;
  options.shard_count = 2;
  options.ike_sa_limit = 100;
  options.half_open_limit = 40;
  if (setting.cookies) options.cookie_threshold = 0;
  return options;
}

}  // namespace merlon::fuzz
