#include "pki/authority.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "pki/authority_index.h"
#include "pki/files.h"
#include "pki/identity_match.h"
#include "pki/identity_text.h"

namespace merlon::pki {
namespace {

constexpr std::string_view kCertificateFile = "ca.pem";
constexpr std::string_view kKeyFile = "ca.key";
constexpr std::string_view kIndexFile = "index";
constexpr std::string_view kCrlFile = "crl.pem";
constexpr std::chrono::minutes kClockSlack{
    5};  // a gateway whose clock is a little behind accepts a new certificate

Result<AuthorityIndex> read_index(const std::filesystem::path& directory) {
  const auto path = directory / kIndexFile;
  MERLON_TRY(const Bytes text, read_file(path));
  auto index = AuthorityIndex::from_text(as_text(text));
  if (!index) return fail_in(path.string(), std::move(index).error());
  return index;
}

Result<> write_index(const std::filesystem::path& directory, const AuthorityIndex& index) {
  return replace_private_file(directory / kIndexFile, as_bytes(index.to_text()));
}

Result<> make_directory(const std::filesystem::path& directory) {
  std::error_code error;
  if (std::filesystem::is_directory(directory, error)) return {};
  std::filesystem::create_directories(directory, error);
  if (!error) std::filesystem::permissions(directory, std::filesystem::perms::owner_all, error);
  if (error) return fail(ErrorCode::kSystem, "{}: {}", directory.string(), error.message());
  return {};
}

// Leading zeros, capitals and colons do not matter in a serial number that a person types.
std::string normal_serial(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (c != ':') out.push_back(c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c);
  if (out.starts_with("0x")) out.erase(0, 2);
  out.erase(0, std::min(out.find_first_not_of('0'), out.size()));
  return out;
}

std::vector<std::string> texts_of(const SubjectAltNames& names) {
  std::vector<std::string> out = names.dns;
  out.insert(out.end(), names.email.begin(), names.email.end());
  for (const IpAddress& ip : names.ip) out.push_back(ip.to_string());
  for (const Bytes& directory : names.directory)
    out.push_back(identity_to_text({IdType::kDerAsn1Dn, directory}));
  return out;
}

template <class T>
void add_missing(std::vector<T>& to, const std::vector<T>& from) {
  for (const T& value : from)
    if (std::ranges::find(to, value) == to.end()) to.push_back(value);
}

SubjectAltNames united(SubjectAltNames names, const SubjectAltNames& more) {
  add_missing(names.dns, more.dns);
  add_missing(names.email, more.email);
  add_missing(names.ip, more.ip);
  add_missing(names.directory, more.directory);
  return names;
}

Result<> check_requested_names(const SubjectAltNames& requested, const SubjectAltNames& granted, bool allow) {
  if (requested.others > 0)
    return fail(ErrorCode::kPolicy, "the request asks for {} names of kinds that IKE does not use",
                requested.others);
  if (allow) {
    // The same rules as for names that a person writes: no wildcards, no embedded NUL.
    const std::vector<std::string> texts = texts_of(requested);
    const auto read_back = names_from_text(texts);
    if (read_back && *read_back == requested) return {};
    return fail(ErrorCode::kPolicy, "the request asks for names that no certificate should carry: {}",
                printable(read_back ? fmt::format("{}", fmt::join(texts, ", ")) : read_back.error().message));
  }
  if (united(granted, requested) == granted) return {};
  return fail(
      ErrorCode::kPolicy,
      "the request asks for names that were not granted: {} (grant them, or allow the request's own names)",
      printable(fmt::format("{}", fmt::join(texts_of(requested), ", "))));
}

Result<CertificateSpec> spec_of(const IssueOptions& options, UnixTime now) {
  if (options.lifetime <= std::chrono::days{0})
    return fail(ErrorCode::kInvalidArgument, "a certificate's lifetime is at least one day");
  CertificateSpec spec;
  if (!options.subject.empty()) {
    MERLON_TRY(spec.subject_dn, dn_from_text(options.subject));
  }
  MERLON_TRY(spec.names, names_from_text(options.names));
  spec.role = options.role;
  spec.not_before = now - kClockSlack;
  spec.not_after = now + options.lifetime;
  return spec;
}

}  // namespace

Result<Authority> Authority::create(const std::filesystem::path& directory, const AuthorityOptions& options,
                                    Rng& rng, UnixTime now) {
  MERLON_TRY(CertificateSpec spec,
             spec_of({options.subject, {}, CertificateRole::kAuthority, options.lifetime}, now));
  MERLON_TRY(crypto::PrivateKey key, generate_key(options.key_kind));
  MERLON_TRY(Certificate certificate, make_root(key, spec, rng));
  MERLON_TRY_VOID(make_directory(directory));
  MERLON_TRY(const AuthorityLock lock, AuthorityLock::take(directory));
  for (const std::string_view file : {kCertificateFile, kKeyFile, kIndexFile})
    if (std::error_code error; std::filesystem::exists(directory / file, error))
      return fail(ErrorCode::kPolicy,
                  "{} exists: there is an authority here already, and it is not overwritten",
                  (directory / file).string());
  MERLON_TRY_VOID(write_private_file(directory / kKeyFile, key.to_pem().bytes()));
  MERLON_TRY_VOID(write_index(directory, {}));
  MERLON_TRY_VOID(write_public_file(directory / kCertificateFile, as_bytes(certificate.to_pem())));
  return Authority(directory, std::move(certificate), std::move(key));
}

Result<Authority> Authority::open(const std::filesystem::path& directory) {
  MERLON_TRY(crypto::PrivateKey key, read_private_key_file(directory / kKeyFile));
  MERLON_TRY(std::vector<Certificate> certificates, read_certificates_file(directory / kCertificateFile));
  if (certificates.front().spki_der() != key.public_key().spki_der())
    return fail(ErrorCode::kInvalidArgument, "{} and {} in {} do not belong together", kCertificateFile,
                kKeyFile, directory.string());
  return Authority(directory, std::move(certificates.front()), std::move(key));
}

Result<Certificate> Authority::issue_spec(const crypto::PublicKey& key, const CertificateSpec& spec, Rng& rng,
                                          UnixTime now) {
  MERLON_TRY(const AuthorityLock lock, AuthorityLock::take(directory_));
  MERLON_TRY(AuthorityIndex index, read_index(directory_));
  MERLON_TRY(Certificate certificate, make_certificate(certificate_, key_, key, spec, rng));
  // Noted before anybody holds the certificate: what is not in the index could never be revoked.
  index.issued.push_back({certificate.serial_hex(), now, certificate.not_after(), std::nullopt,
                          RevocationReason::kUnspecified, certificate.subject()});
  MERLON_TRY_VOID(write_index(directory_, index));
  return certificate;
}

Result<Certificate> Authority::issue(const crypto::PublicKey& key, const IssueOptions& options, Rng& rng,
                                     UnixTime now) {
  MERLON_TRY(const CertificateSpec spec, spec_of(options, now));
  return issue_spec(key, spec, rng, now);
}

Result<Certificate> Authority::issue_for_request(const CertificateRequest& request,
                                                 const IssueOptions& options, bool allow_request_names,
                                                 Rng& rng, UnixTime now) {
  MERLON_TRY(CertificateSpec spec, spec_of(options, now));
  MERLON_TRY(const crypto::PublicKey key, request.public_key());
  if (options.subject.empty()) spec.subject_dn = request.subject_dn;
  MERLON_TRY_VOID(check_requested_names(request.names, spec.names, allow_request_names));
  spec.names = united(std::move(spec.names), request.names);
  return issue_spec(key, spec, rng, now);
}

Result<> Authority::revoke(std::string_view serial_hex, RevocationReason reason, UnixTime now) {
  MERLON_TRY(const AuthorityLock lock, AuthorityLock::take(directory_));
  MERLON_TRY(AuthorityIndex index, read_index(directory_));
  const std::string wanted = normal_serial(serial_hex);
  const auto entry = std::ranges::find_if(
      index.issued, [&](const auto& issued) { return normal_serial(issued.serial_hex) == wanted; });
  if (entry == index.issued.end())
    return fail(ErrorCode::kNotFound, "this authority issued no certificate with the serial number '{}'",
                printable(serial_hex));
  if (entry->revoked) return {};
  entry->revoked = now;
  entry->reason = reason;
  return write_index(directory_, index);
}

Result<Bytes> Authority::write_crl(UnixTime now, std::chrono::seconds lifetime) {
  MERLON_TRY(const AuthorityLock lock, AuthorityLock::take(directory_));
  MERLON_TRY(AuthorityIndex index, read_index(directory_));
  CrlSpec spec;
  spec.number = ++index.crl_number;
  spec.this_update = now;
  spec.next_update = now + lifetime;
  for (const IssuedCertificate& entry : index.issued) {
    if (!entry.revoked) continue;
    MERLON_TRY(Bytes serial, from_hex(entry.serial_hex));
    spec.revoked.push_back({std::move(serial), *entry.revoked, entry.reason});
  }
  MERLON_TRY(Bytes crl, make_crl(certificate_, key_, spec));
  // The number is spent before the CRL is seen, so none is used twice.
  MERLON_TRY_VOID(write_index(directory_, index));
  MERLON_TRY_VOID(write_public_file(directory_ / kCrlFile, as_bytes(crl_to_pem(crl))));
  return crl;
}

Result<std::vector<IssuedCertificate>> Authority::list() const {
  MERLON_TRY(AuthorityIndex index, read_index(directory_));
  return std::move(index.issued);
}

}  // namespace merlon::pki
