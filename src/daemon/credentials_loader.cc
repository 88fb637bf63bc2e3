#include "daemon/credentials_loader.h"

#include <algorithm>
#include <map>

#include "daemon/algorithm_check.h"
#include "pki/files.h"
#include "pki/identity_match.h"
#include "pki/identity_text.h"
#include "pki/raw_public_key.h"

namespace merlon::daemon {
namespace {

using policy::AuthKind;

class Loader {
 public:
  explicit Loader(const control::DaemonConfig& daemon) : daemon_(daemon) {}

  Result<ike::ConnectionCredentials> load(policy::Connection& connection) {
    ike::ConnectionCredentials out;
    MERLON_TRY_VOID(load_local(connection, connection.local_auth.front(), out));
    MERLON_TRY_VOID(load_remote(connection.remote_auth.front(), out));
    return out;
  }

 private:
  static Result<Secret> load_psk(const std::string& file, const SharedSecret& given) {
    if (file.empty()) return Secret::copy_of(given.bytes());
    MERLON_TRY(const Secret content, pki::read_private_file(file));
    std::size_t size = content.size();
    if (size > 0 && content.bytes()[size - 1] == '\n') --size;
    if (size == 0) return fail(ErrorCode::kInvalidArgument, "{} holds no pre-shared key", file);
    return content.slice(0, size);
  }

  Result<> load_local(const policy::Connection& connection, policy::LocalAuth& local,
                      ike::ConnectionCredentials& out) {
    if (local.kind == AuthKind::kPsk) {
      MERLON_TRY(out.local_psk, load_psk(local.psk_file, local.psk));
    } else {
      MERLON_TRY(out.private_key, private_key(local.private_key_file));
    }
    if (local.kind == AuthKind::kCertificate) MERLON_TRY_VOID(load_certificate(local, out));
    return settle_local_id(connection, local, out);
  }

  Result<> load_certificate(const policy::LocalAuth& local, ike::ConnectionCredentials& out) {
    MERLON_TRY(out.certificates, pki::read_certificates_file(local.certificate_file));
    if (out.certificates.empty())
      return fail(ErrorCode::kInvalidArgument, "{} holds no certificate", local.certificate_file);
    if (!(out.certificates.front().public_key() == out.private_key->public_key()))
      return fail(ErrorCode::kInvalidArgument,
                  "the private key in {} does not belong to the first certificate in {}",
                  local.private_key_file, local.certificate_file);
    return {};
  }

  // The subject, or where that is empty (RFC 5280 4.1.2.6) the first name it speaks for.
  static Result<Identity> identity_of(const pki::Certificate& certificate) {
    const auto identities = pki::identities_of(certificate);
    const auto subject = std::ranges::find(identities, IdType::kDerAsn1Dn, &Identity::type);
    if (subject != identities.end()) return *subject;
    if (identities.empty())
      return fail(ErrorCode::kInvalidArgument, "our certificate names nobody: give local_id");
    return identities.front();
  }

  static Result<> settle_local_id(const policy::Connection& connection, policy::LocalAuth& local,
                                  const ike::ConnectionCredentials& out) {
    if (!local.id_text.empty()) {
      MERLON_TRY(local.id, pki::identity_from_text(local.id_text));
    } else if (!out.certificates.empty()) {
      MERLON_TRY(local.id, identity_of(out.certificates.front()));
    } else if (connection.local_addresses.size() == 1) {
      MERLON_TRY(local.id, Identity::parse(connection.local_addresses.front()));
    } else {
      return fail(ErrorCode::kInvalidArgument,
                  "local_id is missing, and neither a certificate nor a single local address tells it");
    }
    // A peer would refuse a certificate that does not speak for the identity; better to hear it here.
    if (!out.certificates.empty())
      if (const auto matched = pki::matches(out.certificates.front(), local.id); !matched)
        return fail_in("local_id does not fit our own certificate", matched.error());
    // Some peers compare a distinguished name byte by byte.
    if (!out.certificates.empty()) local.id = pki::as_carried(out.certificates.front(), std::move(local.id));
    return {};
  }

  Result<> load_remote(policy::RemoteAuth& remote, ike::ConnectionCredentials& out) {
    if (pki::is_dn_pattern(remote.id_text)) {
      MERLON_TRY_VOID(pki::check_dn_pattern(remote.id_text));
      remote.id_pattern = remote.id_text;
    } else if (!remote.id_text.empty() && remote.id_text != "%any") {
      MERLON_TRY(remote.id, pki::identity_from_text(remote.id_text));
    }
    if (remote.kind == AuthKind::kPsk) {
      MERLON_TRY(out.remote_psk, load_psk(remote.psk_file, remote.psk));
    } else if (remote.kind == AuthKind::kCertificate) {
      MERLON_TRY(out.trust, trust_store(remote.ca_files));
    }
    for (const std::string& text : remote.public_keys) {
      MERLON_TRY(auto key, pki::raw_public_key_from_text(text));
      out.public_keys.push_back(std::move(key));
    }
    return {};
  }

  // Many connections share a key and authorities; each file is read once.
  Result<std::shared_ptr<const crypto::PrivateKey>> private_key(const std::string& file) {
    auto& cached = keys_[file];
    if (cached == nullptr) {
      MERLON_TRY(auto key, pki::read_private_key_file(file));
      cached = std::make_shared<const crypto::PrivateKey>(std::move(key));
    }
    return cached;
  }

  Result<std::shared_ptr<const pki::TrustStore>> trust_store(std::vector<std::string> files) {
    if (files.empty()) files = daemon_.ca_files;
    auto& cached = stores_[files];
    if (cached != nullptr) return cached;
    auto store = std::make_shared<pki::TrustStore>();
    for (const std::string& file : files) {
      MERLON_TRY(auto certificates, pki::read_certificates_file(file));
      for (pki::Certificate& certificate : certificates)
        if (const auto added = store->add_anchor(std::move(certificate)); !added)
          return fail_in(file, added.error());
    }
    for (const std::string& file : daemon_.crl_files) {
      MERLON_TRY(const Bytes content, pki::read_file(file));
      if (const auto added = store->add_crl(content); !added) return fail_in(file, added.error());
    }
    cached = std::move(store);
    return cached;
  }

  const control::DaemonConfig& daemon_;
  std::map<std::string, std::shared_ptr<const crypto::PrivateKey>> keys_;
  std::map<std::vector<std::string>, std::shared_ptr<const pki::TrustStore>> stores_;
};

}  // namespace

Result<ResolvedConfig> resolve(const control::Config& config) {
  Loader loader(config.daemon);
  ResolvedConfig out;
  auto credentials = std::make_shared<ike::Credentials>();
  for (const policy::ConnectionPtr& given : config.connections) {
    auto connection = std::make_shared<policy::Connection>(*given);
    if (!connection->local_auth.empty()) {
      const auto supported = check_supported(*connection);
      auto loaded = supported ? loader.load(*connection)
                              : Result<ike::ConnectionCredentials>(tl::unexpect, supported.error());
      if (!loaded)
        return fail_in(fmt::format("connection \"{}\" ({})", connection->name, connection->source),
                       loaded.error());
      credentials->by_connection.emplace(connection->name, std::move(*loaded));
    }
    out.connections.push_back(std::move(connection));
  }
  out.credentials = std::move(credentials);
  return out;
}

std::vector<policy::ConnectionPtr> keep_unchanged(std::vector<policy::ConnectionPtr> fresh,
                                                  const std::vector<policy::ConnectionPtr>& current) {
  std::map<std::string_view, policy::ConnectionPtr> by_name;
  for (const auto& connection : current) by_name.emplace(connection->name, connection);
  for (policy::ConnectionPtr& connection : fresh) {
    const auto at = by_name.find(connection->name);
    if (at == by_name.end()) continue;
    // Where the connection stands in its file may change without changing the connection.
    policy::Connection moved = *at->second;
    moved.source = connection->source;
    if (moved == *connection) connection = at->second;
  }
  return fresh;
}

}  // namespace merlon::daemon
