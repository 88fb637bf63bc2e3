// Distinguished names in words. The order is the order in the certificate (as `openssl x509 -subject` and
// swanctl show it), not RFC 4514's reversed one; escaping is RFC 4514's: a backslash before , + " \ < > ; =
// and before a leading # or space or a trailing space, \xx for a byte, "#hex" for a value that is no
// character string.
#pragma once

#include <string>
#include <string_view>

#include "base/identity.h"

namespace merlon::pki {

// "CN=gw, O=Example" -> DER of the Name. Keywords are those people know (C, ST, L, O, OU, CN, DC, UID, SN,
// GN, serialNumber, emailAddress or E, title, ...; case does not matter) or dotted OIDs; "A=x+B=y" is one RDN
// of two attributes. Values may stand in double quotes. kInvalidArgument with the offending part otherwise.
[[nodiscard]] Result<Bytes> dn_from_text(std::string_view text);
// kMalformed when `der` is not exactly one Name. Everything that is not printable ASCII is escaped, so the
// text is safe in a log, and dn_from_text gives an equal name back.
[[nodiscard]] Result<std::string> dn_to_text(ByteView der);

// RFC 5280 7.1: equal without regard to case, spaces and string type. False when either is malformed.
[[nodiscard]] bool dn_equal(ByteView der_a, ByteView der_b);
// True when both hold the same RDNs, but in another order: a hint for people, never a match.
[[nodiscard]] bool dn_equal_in_other_order(ByteView der_a, ByteView der_b);

// What stands in a configuration: a distinguished name when it holds a '=' outside "keyid:", else
// Identity::parse.
[[nodiscard]] Result<Identity> identity_from_text(std::string_view text);
// The other way; a malformed DN prints as Identity::to_string prints it.
[[nodiscard]] std::string identity_to_text(const Identity& identity);

// A distinguished name in which a whole value may be "*" ("O=Example, CN=*": any one value), and whose last
// part may be a bare "*" ("C=US, O=Example, *": any further RDNs, RFC 4301 4.4.3.1's sub-tree). RDNs compare
// in their order.
[[nodiscard]] bool is_dn_pattern(std::string_view text);
// Ok when `pattern` is well formed; what the configuration loader calls.
[[nodiscard]] Result<> check_dn_pattern(std::string_view pattern);
// False when either is malformed.
[[nodiscard]] bool dn_matches_pattern(ByteView dn_der, std::string_view pattern);

}  // namespace merlon::pki
