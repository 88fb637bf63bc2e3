#include "pki/dn_parser.h"

#include <algorithm>
#include <optional>

namespace merlon::pki {
namespace {

struct Keyword {
  std::string_view word;
  std::string_view oid;
};
// The first word of a type is the one that is printed. RFC 4514 3, RFC 4519, and what OpenSSL and swanctl
// take.
constexpr Keyword kKeywords[] = {
    {"C", "2.5.4.6"},
    {"ST", "2.5.4.8"},
    {"S", "2.5.4.8"},
    {"L", "2.5.4.7"},
    {"street", "2.5.4.9"},
    {"O", "2.5.4.10"},
    {"OU", "2.5.4.11"},
    {"CN", "2.5.4.3"},
    {"DC", "0.9.2342.19200300.100.1.25"},
    {"UID", "0.9.2342.19200300.100.1.1"},
    {"SN", "2.5.4.4"},
    {"GN", "2.5.4.42"},
    {"G", "2.5.4.42"},
    {"initials", "2.5.4.43"},
    {"title", "2.5.4.12"},
    {"T", "2.5.4.12"},
    {"serialNumber", "2.5.4.5"},
    {"description", "2.5.4.13"},
    {"businessCategory", "2.5.4.15"},
    {"postalCode", "2.5.4.17"},
    {"generationQualifier", "2.5.4.44"},
    {"x500UniqueIdentifier", "2.5.4.45"},
    {"dnQualifier", "2.5.4.46"},
    {"pseudonym", "2.5.4.65"},
    {"organizationIdentifier", "2.5.4.97"},
    {"emailAddress", "1.2.840.113549.1.9.1"},
    {"email", "1.2.840.113549.1.9.1"},
    {"E", "1.2.840.113549.1.9.1"},
    {"unstructuredName", "1.2.840.113549.1.9.2"},
    {"unstructuredAddress", "1.2.840.113549.1.9.8"},
};

constexpr std::string_view kSpecial = ",+\"\\<>;=";  // RFC 4514 2.4

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

bool is_oid(std::string_view text) {
  constexpr std::string_view kAllowed = "0123456789.";
  return text.find('.') != std::string_view::npos &&
         text.find_first_not_of(kAllowed) == std::string_view::npos && text.front() != '.' &&
         text.back() != '.' && text.find("..") == std::string_view::npos && text.size() <= 128;
}

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

class DnParser {
 public:
  DnParser(std::string_view text, DnSyntax syntax) : text_(text), syntax_(syntax) {}

  Result<ParsedDn> run() {
    ParsedDn dn;
    do {
      if (syntax_ == DnSyntax::kPattern && trim(text_.substr(at_)) == "*") {
        if (dn.rdns.empty()) return error("a pattern that names nothing matches nobody in particular");
        dn.open_ended = true;
        return dn;
      }
      MERLON_TRY(Rdn rdn, read_rdn());
      dn.rdns.push_back(std::move(rdn));
    } while (take(','));
    return dn;
  }

 private:
  tl::unexpected<Error> error(std::string_view what) const {
    return fail(ErrorCode::kInvalidArgument, "'{}' is no distinguished name: {}", text_, what);
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  Result<Rdn> read_rdn() {
    Rdn rdn;
    do {
      MERLON_TRY(DnAttribute attribute, read_attribute());
      rdn.push_back(std::move(attribute));
    } while (take('+'));
    return rdn;
  }

  Result<DnAttribute> read_attribute() {
    DnAttribute attribute;
    const std::size_t equals = text_.find_first_of("=,+", at_);
    if (equals == std::string_view::npos || text_[equals] != '=') {
      const std::string_view part =
          trim(text_.substr(at_, equals == std::string_view::npos ? equals : equals - at_));
      return error(fmt::format("'{}' should read like CN=name", part));
    }
    const std::string_view word = trim(text_.substr(at_, equals - at_));
    at_ = equals + 1;
    const auto* known =
        std::ranges::find_if(kKeywords, [&](const Keyword& k) { return equal_ignoring_case(k.word, word); });
    if (known != std::end(kKeywords)) {
      attribute.oid = known->oid;
    } else if (!word.empty() && is_oid(word)) {
      attribute.oid = word;
    } else if (word.starts_with('/')) {
      return error("write the parts with commas, 'C=DE, CN=gw', not with slashes");
    } else {
      return error(fmt::format(
          "'{}' is no attribute we know (CN, O, OU, C, ST, L, DC, UID, emailAddress, ... or an OID)", word));
    }
    MERLON_TRY_VOID(read_value(attribute));
    return attribute;
  }

  Result<> read_value(DnAttribute& attribute) {
    skip_space();
    if (take('"')) return read_quoted(attribute);
    if (take('#')) return read_der(attribute);
    // The spaces before the next separator do not count, unless they were escaped.
    std::size_t keep = 0;
    bool escaped_any = false;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '+') {
      const bool escaped = text_[at_] == '\\';
      MERLON_TRY(const char c, read_character());
      attribute.value.push_back(c);
      escaped_any = escaped_any || escaped;
      if (escaped || (c != ' ' && c != '\t')) keep = attribute.value.size();
    }
    attribute.value.resize(keep);
    if (attribute.value.empty()) return error(fmt::format("{} has no value", keyword_or_oid(attribute)));
    if (syntax_ == DnSyntax::kPattern && attribute.value == "*" && !escaped_any)
      attribute.kind = DnAttribute::ValueKind::kAny;
    return {};
  }

  Result<> read_quoted(DnAttribute& attribute) {
    while (at_ < text_.size() && text_[at_] != '"') {
      MERLON_TRY(const char c, read_character());
      attribute.value.push_back(c);
    }
    if (!take('"')) return error("a double quote is not closed");
    skip_space();
    if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '+')
      return error("a comma is missing behind a closing quote");
    if (attribute.value.empty()) return error(fmt::format("{} has no value", keyword_or_oid(attribute)));
    return {};
  }

  Result<> read_der(DnAttribute& attribute) {
    const std::size_t stop = std::min(text_.find_first_of(",+", at_), text_.size());
    const auto der = from_hex(trim(text_.substr(at_, stop - at_)));
    if (!der || der->empty()) return error("behind '#' stands the value in hexadecimal");
    at_ = stop;
    attribute.kind = DnAttribute::ValueKind::kDer;
    attribute.value = as_text(*der);
    return {};
  }

  // One byte of a value: itself, or escaped by a backslash (RFC 4514 2.4).
  Result<char> read_character() {
    const char c = text_[at_++];
    if (c != '\\') return c;
    if (at_ >= text_.size()) return error("a backslash stands at the end");
    if (kSpecial.find(text_[at_]) != std::string_view::npos || text_[at_] == '#' || text_[at_] == ' ' ||
        text_[at_] == '*')
      return text_[at_++];
    const auto high = hex_digit(text_[at_]);
    const auto low = at_ + 1 < text_.size() ? hex_digit(text_[at_ + 1]) : std::nullopt;
    if (!high || !low)
      return error("behind a backslash stands a special character or two hexadecimal digits");
    at_ += 2;
    return static_cast<char>(*high << 4U | *low);
  }

  static std::string_view keyword_or_oid(const DnAttribute& attribute) {
    const std::string_view word = dn_keyword(attribute.oid);
    return word.empty() ? std::string_view(attribute.oid) : word;
  }

  std::string_view text_;
  DnSyntax syntax_;
  std::size_t at_ = 0;
};

}  // namespace

Result<ParsedDn> parse_dn(std::string_view text, DnSyntax syntax) {
  return DnParser(text, syntax).run();
}

std::string_view dn_keyword(std::string_view oid) {
  const auto* known = std::ranges::find(kKeywords, oid, &Keyword::oid);
  return known == std::end(kKeywords) ? std::string_view() : known->word;
}

std::string escape_dn_value(std::string_view value) {
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const bool edge = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == value.size() && c == ' ');
    const bool lone_star = c == '*' && value.size() == 1;  // else it would read as a pattern
    if (c < 0x20 || c >= 0x7f) {
      out += fmt::format("\\{:02X}", static_cast<std::uint8_t>(c));
    } else {
      if (edge || lone_star || kSpecial.find(c) != std::string_view::npos) out.push_back('\\');
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace merlon::pki
