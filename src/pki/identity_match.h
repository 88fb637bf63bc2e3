// Does a certificate speak for an identity? (RFC 7296 3.5, RFC 4945 3.1)
#pragma once

#include "base/identity.h"
#include "pki/certificate.h"

namespace merlon::pki {

// Ok when the certificate itself carries the identity:
//   ID_FQDN         a dNSName, without regard to ASCII case; no wildcard ever matches, neither does the CN
//   ID_RFC822_ADDR  an rfc822Name: local part exactly, domain without regard to ASCII case
//   ID_IPV4_ADDR, ID_IPV6_ADDR  an iPAddress, byte by byte
//   ID_DER_ASN1_DN  the subject, compared as RFC 5280 7.1 says (case, spaces and string types do not matter)
// Every other type never matches. kAuthentication otherwise, with what the certificate does carry in the
// sentence.
[[nodiscard]] Result<> matches(const Certificate& certificate, const Identity& identity);

// The identities that the certificate can speak for, most useful first (dNSName, rfc822Name, iPAddress,
// subject): what a configuration without `id` should send. Wildcards and names that no comparison accepts are
// left out.
[[nodiscard]] std::vector<Identity> identities_of(const Certificate& certificate);

// The same identity as the certificate has it, byte by byte: a DN from a configuration may differ in case or
// string type, and some peers compare octets. Unchanged when the certificate does not carry it.
[[nodiscard]] Identity as_carried(const Certificate& certificate, Identity identity);

// "gw.example.com, 192.0.2.1 and the subject 'O=Example, CN=gw'": for people.
[[nodiscard]] std::string describe_identities(const Certificate& certificate);

}  // namespace merlon::pki
