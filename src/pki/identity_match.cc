#include "pki/identity_match.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "pki/identity_text.h"

namespace merlon::pki {
namespace {

Identity text_identity(IdType type, std::string_view text) {
  return {type, to_bytes(as_bytes(text))};
}
Identity address_identity(const IpAddress& address) {
  return {address.is_v4() ? IdType::kIpv4Addr : IdType::kIpv6Addr, to_bytes(address.bytes())};
}

// Names that say what they seem to say: IA5 text without controls (an embedded NUL among them) or spaces. A
// wildcard is a pattern and speaks for nobody (RFC 4945 3.1.2: no wildcard matching unless both sides agreed
// on it).
bool is_plain(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f && c != '*'; });
}

// "example.com." and "example.com" are one host.
std::string_view without_root_dot(std::string_view host) {
  if (host.size() > 1 && host.ends_with('.')) host.remove_suffix(1);
  return host;
}

bool any_text_matches(const std::vector<std::string>& carried, const Identity& wanted) {
  std::string_view text = as_text(wanted.data);
  if (wanted.type == IdType::kFqdn) text = without_root_dot(text);
  const Identity canonical = text_identity(wanted.type, text);
  return std::ranges::any_of(carried, [&](const std::string& name) {
    if (!is_plain(name)) return false;
    return text_identity(wanted.type, wanted.type == IdType::kFqdn ? without_root_dot(name) : name) ==
           canonical;
  });
}

bool carries(const Certificate& certificate, const Identity& identity) {
  const SubjectAltNames& names = certificate.subject_alt_names();
  switch (identity.type) {
    case IdType::kFqdn:
      return any_text_matches(names.dns, identity);
    case IdType::kRfc822Addr:
      return any_text_matches(names.email, identity);
    case IdType::kIpv4Addr:
    case IdType::kIpv6Addr:
      return std::ranges::any_of(names.ip,
                                 [&](const IpAddress& ip) { return address_identity(ip) == identity; });
    case IdType::kDerAsn1Dn:
      // RFC 4945 3.1.5: an empty subject is no identity.
      return !certificate.subject().empty() && dn_equal(certificate.subject_dn_der(), identity.data);
    default:
      return false;
  }
}

// Why a name that a person would take for a match is none.
std::string hint(const Certificate& certificate, const Identity& identity) {
  const SubjectAltNames& names = certificate.subject_alt_names();
  if (identity.type == IdType::kKeyId) return "; a key ID is never proved by a certificate";
  if (identity.type == IdType::kDerAsn1Dn &&
      dn_equal_in_other_order(certificate.subject_dn_der(), identity.data))
    return "; the subject has the same parts in another order, and the order counts";
  if (identity.type == IdType::kFqdn) {
    const auto is_wildcard = [](const std::string& name) { return name.find('*') != std::string::npos; };
    if (std::ranges::any_of(names.dns, is_wildcard)) return "; wildcards are not accepted as an identity";
    if (names.dns.empty() && certificate.subject().ends_with("CN=" + printable(as_text(identity.data))))
      return "; a host name counts only as a dNSName in subjectAltName, not as the CN";
  }
  return "";
}

}  // namespace

Result<> matches(const Certificate& certificate, const Identity& identity) {
  if (carries(certificate, identity)) return {};
  return fail(ErrorCode::kAuthentication, "the certificate does not speak for '{}': it carries {}{}",
              identity_to_text(identity), describe_identities(certificate), hint(certificate, identity));
}

std::vector<Identity> identities_of(const Certificate& certificate) {
  const SubjectAltNames& names = certificate.subject_alt_names();
  std::vector<Identity> out;
  for (const auto& dns : names.dns)
    if (is_plain(dns)) out.push_back(text_identity(IdType::kFqdn, dns));
  for (const auto& email : names.email)
    if (is_plain(email)) out.push_back(text_identity(IdType::kRfc822Addr, email));
  for (const auto& ip : names.ip) out.push_back(address_identity(ip));
  if (!certificate.subject().empty()) out.push_back({IdType::kDerAsn1Dn, certificate.subject_dn_der()});
  return out;
}

Identity as_carried(const Certificate& certificate, Identity identity) {
  for (Identity& candidate : identities_of(certificate)) {
    if (candidate.type != identity.type) continue;
    const bool same =
        identity.type == IdType::kDerAsn1Dn ? dn_equal(candidate.data, identity.data) : candidate == identity;
    if (same) return std::move(candidate);
  }
  return identity;
}

std::string describe_identities(const Certificate& certificate) {
  constexpr std::size_t kMostShown = 8;
  const SubjectAltNames& names = certificate.subject_alt_names();
  std::vector<std::string> parts;
  for (const auto& dns : names.dns) parts.push_back("'" + printable(dns) + "'");
  for (const auto& email : names.email) parts.push_back("'" + printable(email) + "'");
  for (const auto& ip : names.ip) parts.push_back("'" + ip.to_string() + "'");
  if (parts.size() > kMostShown) {
    const std::size_t more = parts.size() - kMostShown;
    parts.resize(kMostShown);
    parts.push_back(fmt::format("{} more", more));
  }
  if (!certificate.subject().empty()) parts.push_back(fmt::format("the subject '{}'", certificate.subject()));
  if (parts.empty()) return "no name at all";
  const std::string last = std::move(parts.back());
  parts.pop_back();
  return parts.empty() ? last : fmt::format("{} and {}", fmt::join(parts, ", "), last);
}

}  // namespace merlon::pki
