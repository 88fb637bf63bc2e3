// The text of a distinguished name, taken apart. Inside pki/ only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace merlon::pki {

struct DnAttribute {
  enum class ValueKind : std::uint8_t {
    kText,  // UTF-8
    kDer,   // "#hex": the whole DER value, tag and length among it
    kAny,   // a bare "*", in patterns only
  };
  std::string oid;  // dotted
  ValueKind kind = ValueKind::kText;
  std::string value;
};
using Rdn = std::vector<DnAttribute>;  // more than one attribute: joined by '+'

struct ParsedDn {
  std::vector<Rdn> rdns;
  bool open_ended = false;  // a pattern whose last part is a bare "*"
};

enum class DnSyntax : std::uint8_t { kName, kPattern };

// kInvalidArgument, naming the part that is wrong.
[[nodiscard]] Result<ParsedDn> parse_dn(std::string_view text, DnSyntax syntax);

// "2.5.4.3" -> "CN"; "" for types without a keyword.
[[nodiscard]] std::string_view dn_keyword(std::string_view oid);

// The value of an attribute, escaped so that parse_dn reads the same bytes. Everything but printable ASCII is
// escaped.
[[nodiscard]] std::string escape_dn_value(std::string_view value);

}  // namespace merlon::pki
