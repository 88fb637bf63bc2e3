// An identity as the Identification payload carries it (RFC 7296 3.5): a type and its data, compared byte by
// byte, except that host names and the domain of a mailbox compare without regard to ASCII case.
#pragma once

#include <fmt/core.h>

#include <string>

#include "base/bytes.h"
#include "base/iana.h"

namespace merlon {

struct Identity {
  IdType type = IdType::kKeyId;
  Bytes data;  // ID_IPV4_ADDR: 4 bytes; ID_FQDN, ID_RFC822_ADDR: text; ID_DER_ASN1_DN: DER; ID_KEY_ID: opaque

  // What people write: "10.0.0.1", "2001:db8::1", "gw.example.com", "@gw.example.com" (FQDN),
  // "bob@example.com", "keyid:616263" (hex) and "keyid:abc" (text). Distinguished names ("CN=gw, O=Example")
  // need pki::identity_from_text.
  [[nodiscard]] static Result<Identity> parse(std::string_view text);

  // For people; a distinguished name prints as "DN:<hex>" here, pki::identity_to_text prints it in words.
  // Bytes that are not printable ASCII print escaped: a peer chooses them.
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Identity& a, const Identity& b);
};

}  // namespace merlon

template <>
struct fmt::formatter<merlon::Identity> : fmt::formatter<std::string_view> {
  auto format(const merlon::Identity& identity, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "{}", identity.to_string());
  }
};
