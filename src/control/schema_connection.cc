// The keys of [connection.NAME]. The keys of a child may stand here too, for all children of the connection.
#include <algorithm>

#include "control/schema.h"
#include "control/value.h"

namespace merlon::control {
namespace {

using policy::AuthKind;
using policy::Connection;
using policy::LocalAuth;
using policy::RemoteAuth;
using policy::SaLifetime;
using Draft = ConnectionDraft;

constexpr Choice<AuthKind> kAuthKinds[] = {{"psk", AuthKind::kPsk},
                                           {"certificate", AuthKind::kCertificate},
                                           {"public-key", AuthKind::kRawPublicKey}};

template <auto Member>
Result<> set_bool(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(draft.connection.*Member, bool_value(node));
  return {};
}

template <auto Member, std::uint64_t Least, std::uint64_t Most>
Result<> set_number(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const std::uint64_t value, number_value(node, Least, Most));
  draft.connection.*Member = static_cast<std::remove_reference_t<decltype(draft.connection.*Member)>>(value);
  return {};
}

template <auto Member>
Result<> set_duration(Draft& draft, const toml::node& node, const SchemaContext&) {
  if constexpr (std::is_same_v<decltype(draft.connection.*Member), std::chrono::seconds&>) {
    MERLON_TRY(draft.connection.*Member, seconds_value(node));
  } else {
    MERLON_TRY(draft.connection.*Member, duration_value(node));
  }
  return {};
}

template <auto Member>
Result<> set_ike_lifetime(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(draft.connection.ike_lifetime.*Member, seconds_value(node));
  return {};
}

Result<> set_version(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const std::uint64_t version, number_value(node, 1, 2));
  if (version == 1)
    return fail(ErrorCode::kUnsupported, "IKEv1 is not available in this version; expected 2");
  draft.connection.ike_version = 2;
  return {};
}

Result<> set_local(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(draft.connection.local_addresses, text_list(node));
  for (const std::string& text : draft.connection.local_addresses)
    if (const auto address = IpAddress::parse(text); !address) return tl::unexpected<Error>(address.error());
  return {};
}

bool is_host_name(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  // Digits and dots alone are an address with a slip in it, never a name (RFC 1123 2.1).
  return !text.empty() && text.size() <= 253 && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(text, allowed) &&
         text.find_first_not_of("0123456789.") != std::string_view::npos;
}

Result<> set_remote(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(draft.connection.remote_addresses, text_list(node));
  for (const std::string& text : draft.connection.remote_addresses)
    if (text != "any" && text != "%any" && !IpAddress::parse(text) && !IpPrefix::parse(text) &&
        !is_host_name(text))
      return fail(ErrorCode::kInvalidArgument,
                  "expected an address, a prefix, a host name or \"%any\", got \"{}\"", text);
  return {};
}

Result<> set_ike_proposals(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const auto texts, text_list(node));
  draft.connection.ike_proposals.clear();
  for (const std::string& text : texts) {
    MERLON_TRY(auto proposal, policy::parse_ike_proposal(text));
    draft.connection.ike_proposals.push_back(std::move(proposal));
  }
  if (draft.connection.ike_proposals.empty())
    return fail(ErrorCode::kInvalidArgument, "expected at least one proposal");
  return {};
}

template <bool Local, bool Remote>
Result<> set_auth(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(const AuthKind kind, choice_value(node, kAuthKinds));
  // local_auth and remote_auth say more than auth, wherever in the table they stand.
  if (Local && (!Remote || draft.local_auth.kind == AuthKind::kNull)) draft.local_auth.kind = kind;
  if (Remote && (!Local || draft.remote_auth.kind == AuthKind::kNull)) draft.remote_auth.kind = kind;
  return {};
}

Result<> set_local_id(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(draft.local_auth.id_text, text_value(node));
  return {};
}

Result<> set_remote_id(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(draft.remote_auth.id_text, text_value(node));
  return {};
}

template <auto Member>
Result<> set_local_file(Draft& draft, const toml::node& node, const SchemaContext& context) {
  MERLON_TRY(const std::string file, text_value(node));
  draft.local_auth.*Member = in_directory(file, context.directory);
  return {};
}

Result<> set_psk(Draft& draft, const toml::node& node, const SchemaContext& context) {
  // No copy but the one that wipes itself; the parser wipes the table.
  const auto* psk = node.as_string();
  if (psk == nullptr) return tl::unexpected<Error>(text_value(node).error());
  if (context.readable_by_others)
    return fail(ErrorCode::kPolicy,
                "this file holds a pre-shared key but others can read it: chmod 600 it, or use psk_file");
  if ((*psk)->empty()) return fail(ErrorCode::kInvalidArgument, "a pre-shared key must not be empty");
  draft.local_auth.psk = draft.remote_auth.psk = SharedSecret(Secret::copy_of(as_bytes(**psk)));
  return {};
}

Result<> set_psk_file(Draft& draft, const toml::node& node, const SchemaContext& context) {
  MERLON_TRY(const std::string file, text_value(node));
  draft.local_auth.psk_file = draft.remote_auth.psk_file = in_directory(file, context.directory);
  return {};
}

Result<> set_ca(Draft& draft, const toml::node& node, const SchemaContext& context) {
  MERLON_TRY(draft.remote_auth.ca_files, text_list(node));
  for (std::string& file : draft.remote_auth.ca_files) file = in_directory(file, context.directory);
  return {};
}

Result<> set_remote_public_key(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(draft.remote_auth.public_keys, text_list(node));
  for (const std::string& key : draft.remote_auth.public_keys)
    if (!from_base64(key))
      return fail(ErrorCode::kInvalidArgument,
                  "expected a public key in base64 (as `merlon keygen` prints it), got \"{}\"", key);
  return {};
}

Result<> set_revocation(Draft& draft, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<RemoteAuth::Revocation> kChoices[] = {
      {"if-present", RemoteAuth::Revocation::kIfPresent},
      {"required", RemoteAuth::Revocation::kRequired},
      {"ignore", RemoteAuth::Revocation::kIgnore}};
  MERLON_TRY(draft.remote_auth.revocation, choice_value(node, kChoices));
  return {};
}

Result<> set_factor(Draft& draft, const toml::node& node, const SchemaContext&) {
  MERLON_TRY(draft.connection.retransmit_factor, real_value(node, 1.0, 10.0));
  return {};
}

Result<> set_encapsulation(Draft& draft, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<policy::PathProtocol> kChoices[] = {{"auto", policy::PathProtocol::kAuto},
                                                              {"udp", policy::PathProtocol::kUdp},
                                                              {"native", policy::PathProtocol::kNative}};
  MERLON_TRY(draft.connection.encapsulation, choice_value(node, kChoices));
  return {};
}

Result<> set_unique(Draft& draft, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<Connection::Uniqueness> kChoices[] = {{"replace", Connection::Uniqueness::kReplace},
                                                                {"keep", Connection::Uniqueness::kKeep},
                                                                {"never", Connection::Uniqueness::kNever}};
  MERLON_TRY(draft.connection.unique, choice_value(node, kChoices));
  return {};
}

Result<> set_send_certificate(Draft& draft, const toml::node& node, const SchemaContext&) {
  static constexpr Choice<Connection::SendCert> kChoices[] = {{"always", Connection::SendCert::kAlways},
                                                              {"if-asked", Connection::SendCert::kIfAsked},
                                                              {"never", Connection::SendCert::kNever}};
  MERLON_TRY(draft.connection.send_cert, choice_value(node, kChoices));
  return {};
}

Result<> not_yet(Draft&, const toml::node&, const SchemaContext&) {
  return fail(ErrorCode::kUnsupported, "this is not available in this version");
}

using K = Connection;
constexpr Key<ConnectionDraft> kKeys[] = {
    {"version", "2", "2", "IKE version.", set_version},
    {"local", "address or list", "any", "Our addresses for this connection.", set_local},
    {"remote", "address, host name, prefix, or list", "any (answer only)", "Where the peer is.", set_remote},
    {"local_port", "port", "500", "Our IKE port for this connection.", set_number<&K::local_port, 1, 65535>},
    {"remote_port", "port", "500", "The peer's IKE port.", set_number<&K::remote_port, 1, 65535>},
    {"ike_proposals", "list", "sound defaults",
     "IKE algorithms, strongest first, such as [\"aes256gcm16-prfsha384-x25519\"].", set_ike_proposals},
    {"auth", "\"psk\" | \"certificate\" | \"public-key\"", "told by the other keys",
     "How both sides prove who they are.", set_auth<true, true>},
    {"local_auth", "as auth", "auth", "How this side proves who it is.", set_auth<true, false>},
    {"remote_auth", "as auth", "auth", "How the peer must prove who it is.", set_auth<false, true>},
    {"local_id", "identity", "the certificate's subject, or the address in local",
     "Our identity: host name, mailbox, address, \"CN=..., O=...\", \"keyid:...\".", set_local_id},
    {"remote_id", "identity", "required with certificates, else any",
     "The peer's identity; \"%any\" takes every identity that the credentials prove.", set_remote_id},
    {"certificate", "path", "-", "Our certificate (PEM), its intermediates behind it.",
     set_local_file<&LocalAuth::certificate_file>},
    {"private_key", "path", "-", "Our private key (PEM); a file that others can read is refused.",
     set_local_file<&LocalAuth::private_key_file>},
    {"psk", "string", "-", "Pre-shared key; only in a file that others cannot read.", set_psk},
    {"psk_file", "path", "-", "File whose content, less one newline at its end, is the pre-shared key.",
     set_psk_file},
    {"ca", "path or list", "[daemon] ca", "Authorities trusted for this peer alone.", set_ca},
    {"revocation", "\"if-present\" | \"required\" | \"ignore\"", "\"if-present\"",
     "Whether the peer's certificate needs a CRL that clears it.", set_revocation},
    {"remote_public_key", "base64 or list", "-",
     "The peer's raw public keys (RFC 7670), as `merlon keygen` and `merlon pair` print them.",
     set_remote_public_key},
    {"ike_lifetime_soft", "duration", "\"8h\"", "Age at which the IKE SA is rekeyed; 0 = never.",
     set_ike_lifetime<&SaLifetime::soft>},
    {"ike_lifetime_hard", "duration", "ike_lifetime_soft and an eighth (9h)",
     "Age at which it is removed; 0 = never.", set_ike_lifetime<&SaLifetime::hard>},
    {"ike_lifetime_jitter", "duration", "a tenth of ike_lifetime_soft (48m)",
     "The soft limit is drawn from [soft - jitter, soft].", set_ike_lifetime<&SaLifetime::jitter>},
    {"retransmit_initial", "duration", "\"1s\"", "Time to the first retransmission of a request.",
     set_duration<&K::retransmit_initial>},
    {"retransmit_factor", "number", "1.8", "Growth of the time between retransmissions.", set_factor},
    {"retransmit_max", "duration", "\"30s\"", "Longest time between retransmissions.",
     set_duration<&K::retransmit_max>},
    {"retransmit_tries", "number", "7", "Sends of one request before the peer counts as gone.",
     set_number<&K::retransmit_tries, 1, 100>},
    {"liveness_interval", "duration", "\"30s\"",
     "Silence after which the peer is asked whether it lives; 0 = never.",
     set_duration<&K::liveness_interval>},
    {"keepalive_interval", "duration", "\"20s\"",
     "NAT keepalives when we are behind a NAT (RFC 3948 4); 0 = never.",
     set_duration<&K::keepalive_interval>},
    {"backoff_initial", "duration", "\"1s\"", "First pause before a connection that must be up tries again.",
     set_duration<&K::backoff_initial>},
    {"backoff_max", "duration", "\"60s\"", "Longest such pause.", set_duration<&K::backoff_max>},
    {"encapsulation", "\"auto\" | \"udp\" | \"native\"", "\"auto\"",
     "ESP in UDP only where a NAT was seen, always, or never.", set_encapsulation},
    {"fragmentation", "true | false", "true", "IKE fragmentation (RFC 7383).", set_bool<&K::fragmentation>},
    {"fragment_size", "bytes", "1280", "Largest IP datagram of an IKE message before it is fragmented.",
     set_number<&K::fragment_size, 576, 65535>},
    {"initial_contact", "true | false", "true", "Send INITIAL_CONTACT (RFC 7296 2.4).",
     set_bool<&K::initial_contact>},
    {"unique", "\"replace\" | \"keep\" | \"never\"", "\"replace\"",
     "What happens when the same peer connects again.", set_unique},
    {"send_certificate", "\"always\" | \"if-asked\" | \"never\"", "\"if-asked\"",
     "When to send our certificate.", set_send_certificate},
    {"send_certificate_request", "true | false", "true", "Ask for the peer's certificate (CERTREQ).",
     set_bool<&K::send_certreq>},
    {"mobike", "-", "-", "Not available in this version.", not_yet},
    {"pools", "-", "-", "Not available in this version.", not_yet},
    {"virtual_ips", "-", "-", "Not available in this version.", not_yet},
    {"local_rounds", "-", "-", "Further authentication rounds (RFC 4739). Not available in this version.",
     not_yet},
    {"remote_rounds", "-", "-", "Further authentication rounds (RFC 4739). Not available in this version.",
     not_yet},
};

}  // namespace

std::span<const Key<ConnectionDraft>> connection_keys() {
  return kKeys;
}

}  // namespace merlon::control
