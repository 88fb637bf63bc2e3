#include "pki/identity_text.h"

#include <algorithm>

#include "pki/dn_parser.h"
#include "pki/openssl_internal.h"

namespace merlon::pki {
namespace {

using NameEntryOwner = std::unique_ptr<X509_NAME_ENTRY, OpensslDeleter<X509_NAME_ENTRY_free>>;

bool is_utf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  int left = static_cast<int>(text.size());
  while (left > 0) {
    unsigned long character = 0;
    const int used = UTF8_getc(at, left, &character);
    if (used <= 0) return false;
    at += used;
    left -= used;
  }
  return true;
}

// RFC 5280 4.1.2.4 and appendix A: UTF8String where the type leaves a choice.
int string_type(std::string_view oid, std::string_view value) {
  const bool ascii = std::ranges::all_of(value, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  const bool print = ASN1_PRINTABLE_type(reinterpret_cast<const unsigned char*>(value.data()),
                                         static_cast<int>(value.size())) == V_ASN1_PRINTABLESTRING;
  if (oid == "2.5.4.6" || oid == "2.5.4.5" || oid == "2.5.4.46")
    return print ? V_ASN1_PRINTABLESTRING : V_ASN1_UTF8STRING;
  if (oid == "1.2.840.113549.1.9.1" || oid == "0.9.2342.19200300.100.1.25")
    return ascii ? V_ASN1_IA5STRING : V_ASN1_UTF8STRING;
  return V_ASN1_UTF8STRING;
}

// AttributeTypeAndValue around a value that is DER already.
NameEntryOwner entry_of_der(const ASN1_OBJECT* type, ByteView value) {
  const Bytes oid = to_der<i2d_ASN1_OBJECT>(type);
  const int content = static_cast<int>(oid.size() + value.size());
  Bytes der(static_cast<std::size_t>(ASN1_object_size(1, content, V_ASN1_SEQUENCE)));
  unsigned char* at = der.data();
  ASN1_put_object(&at, 1, content, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
  std::ranges::copy(value, std::ranges::copy(oid, at).out);
  return from_der_exactly<NameEntryOwner, d2i_X509_NAME_ENTRY>(der);
}

Result<NameEntryOwner> entry_of(const DnAttribute& attribute) {
  clear_openssl_errors();
  const std::string_view value = attribute.value;
  const ObjectOwner type(OBJ_txt2obj(attribute.oid.c_str(), 1));
  if (!type)
    return fail(ErrorCode::kInvalidArgument, "'{}' is no object identifier ({})", attribute.oid,
                openssl_reason());
  if (attribute.kind == DnAttribute::ValueKind::kDer) {
    NameEntryOwner entry = entry_of_der(type.get(), as_bytes(value));
    if (!entry)
      return fail(ErrorCode::kInvalidArgument, "'#{}' is not the DER of a value", to_hex(as_bytes(value)));
    return entry;
  }
  if (!is_utf8(value)) return fail(ErrorCode::kInvalidArgument, "'{}' is not UTF-8", printable(value));
  NameEntryOwner entry(X509_NAME_ENTRY_new());
  if (!entry || X509_NAME_ENTRY_set_object(entry.get(), type.get()) != 1 ||
      X509_NAME_ENTRY_set_data(entry.get(), string_type(attribute.oid, value),
                               reinterpret_cast<const unsigned char*>(value.data()),
                               static_cast<int>(value.size())) != 1)
    return fail(ErrorCode::kInvalidArgument, "'{}' cannot stand in a name ({})", printable(value),
                openssl_reason());
  return entry;
}

Result<X509NameOwner> name_of(const ParsedDn& dn) {
  X509NameOwner name(X509_NAME_new());
  if (!name) return fail(ErrorCode::kExhausted, "no memory for a name");
  for (const Rdn& rdn : dn.rdns) {
    int set = 0;  // 0 begins an RDN, -1 joins the one before
    for (const DnAttribute& attribute : rdn) {
      MERLON_TRY(const NameEntryOwner entry, entry_of(attribute));
      if (X509_NAME_add_entry(name.get(), entry.get(), -1, set) != 1)
        return fail(ErrorCode::kInvalidArgument, "a name cannot be built: {}", openssl_reason());
      set = -1;
    }
  }
  return name;
}

// The types that RFC 5280's comparison folds; of every other only the DER is a faithful text.
bool is_character_string(const ASN1_STRING* value) {
  const int tag = ASN1_STRING_type(value);
  return tag == V_ASN1_UTF8STRING || tag == V_ASN1_PRINTABLESTRING || tag == V_ASN1_IA5STRING ||
         tag == V_ASN1_T61STRING || tag == V_ASN1_BMPSTRING || tag == V_ASN1_UNIVERSALSTRING ||
         tag == V_ASN1_VISIBLESTRING;
}

std::string value_text(const ASN1_STRING* value) {
  if (is_character_string(value) && ASN1_STRING_length(value) > 0) {
    unsigned char* utf8 = nullptr;
    const int length = ASN1_STRING_to_UTF8(&utf8, value);
    const std::string text(reinterpret_cast<const char*>(utf8),
                           length > 0 ? static_cast<std::size_t>(length) : 0);
    OPENSSL_free(utf8);
    if (!text.empty()) return escape_dn_value(text);
  }
  ASN1_TYPE any{};
  any.type = ASN1_STRING_type(value);
  any.value.asn1_string = const_cast<ASN1_STRING*>(value);
  return "#" + to_hex(to_der<i2d_ASN1_TYPE>(&any));
}

// The entries of a name, grouped as its RDNs are.
std::vector<std::vector<const X509_NAME_ENTRY*>> rdns_of(const X509_NAME* name) {
  std::vector<std::vector<const X509_NAME_ENTRY*>> rdns;
  int last_set = -1;
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    if (rdns.empty() || X509_NAME_ENTRY_set(entry) != last_set) rdns.emplace_back();
    last_set = X509_NAME_ENTRY_set(entry);
    rdns.back().push_back(entry);
  }
  return rdns;
}

// A name of this one entry, for OpenSSL's comparison of names.
X509NameOwner alone(const X509_NAME_ENTRY* entry) {
  X509NameOwner name(X509_NAME_new());
  if (!name || X509_NAME_add_entry(name.get(), entry, -1, 0) != 1) return nullptr;
  return name;
}

bool attribute_matches(const X509_NAME_ENTRY* entry, const DnAttribute& pattern) {
  if (dotted_oid(X509_NAME_ENTRY_get_object(entry)) != pattern.oid) return false;
  if (pattern.kind == DnAttribute::ValueKind::kAny)
    return ASN1_STRING_length(X509_NAME_ENTRY_get_data(entry)) > 0;
  const auto wanted = entry_of(pattern);
  if (!wanted) return false;
  const X509NameOwner a = alone(entry);
  const X509NameOwner b = alone(wanted->get());
  return a && b && X509_NAME_cmp(a.get(), b.get()) == 0;
}

bool rdn_matches(const std::vector<const X509_NAME_ENTRY*>& entries, const Rdn& pattern) {
  return entries.size() == pattern.size() && std::ranges::all_of(pattern, [&](const DnAttribute& attribute) {
           return std::ranges::any_of(entries,
                                      [&](const auto* entry) { return attribute_matches(entry, attribute); });
         });
}

}  // namespace

Result<Bytes> dn_from_text(std::string_view text) {
  MERLON_TRY(const ParsedDn dn, parse_dn(text, DnSyntax::kName));
  MERLON_TRY(const X509NameOwner name, name_of(dn));
  Bytes der = to_der<i2d_X509_NAME>(name.get());
  if (der.empty())
    return fail(ErrorCode::kInvalidArgument, "'{}' cannot be encoded: {}", printable(text), openssl_reason());
  return der;
}

Result<std::string> name_to_text(const X509_NAME* name) {
  std::string out;
  for (const auto& rdn : rdns_of(name)) {
    std::string_view separator = out.empty() ? "" : ", ";
    for (const X509_NAME_ENTRY* entry : rdn) {
      const auto oid = dotted_oid(X509_NAME_ENTRY_get_object(entry));
      if (!oid) return fail(ErrorCode::kMalformed, "a name with an attribute type too long to be one");
      const std::string_view word = dn_keyword(*oid);
      out += fmt::format("{}{}={}", separator, word.empty() ? *oid : word,
                         value_text(X509_NAME_ENTRY_get_data(entry)));
      separator = "+";
    }
  }
  return out;
}

Result<std::string> dn_to_text(ByteView der) {
  MERLON_TRY(const X509NameOwner name, parse_name(der));
  return name_to_text(name.get());
}

bool dn_equal(ByteView der_a, ByteView der_b) {
  const auto a = parse_name(der_a);
  const auto b = parse_name(der_b);
  return a && b && X509_NAME_cmp(a->get(), b->get()) == 0;
}

bool dn_equal_in_other_order(ByteView der_a, ByteView der_b) {
  const auto a = parse_name(der_a);
  const auto b = parse_name(der_b);
  if (!a || !b || X509_NAME_cmp(a->get(), b->get()) == 0) return false;
  constexpr int kMaxEntries = 32;
  if (X509_NAME_entry_count(a->get()) > kMaxEntries) return false;
  const auto canonical = [](const X509_NAME* name) {
    std::vector<unsigned long> hashes;
    for (int i = 0; i < X509_NAME_entry_count(name); ++i)
      if (const auto one = alone(X509_NAME_get_entry(name, i)))
        hashes.push_back(X509_NAME_hash_ex(one.get(), nullptr, nullptr, nullptr));
    std::ranges::sort(hashes);
    return hashes;
  };
  return canonical(a->get()) == canonical(b->get());
}

Result<Identity> identity_from_text(std::string_view text) {
  if (text.starts_with("keyid:") || text.find('=') == std::string_view::npos) return Identity::parse(text);
  MERLON_TRY(Bytes der, dn_from_text(text));
  return Identity{IdType::kDerAsn1Dn, std::move(der)};
}

std::string identity_to_text(const Identity& identity) {
  if (identity.type == IdType::kDerAsn1Dn)
    if (const auto text = dn_to_text(identity.data); text && !text->empty()) return *text;
  return identity.to_string();
}

bool is_dn_pattern(std::string_view text) {
  const auto dn = parse_dn(text, DnSyntax::kPattern);
  if (!dn) return false;
  const auto any = [](const DnAttribute& attribute) {
    return attribute.kind == DnAttribute::ValueKind::kAny;
  };
  return dn->open_ended ||
         std::ranges::any_of(dn->rdns, [&](const Rdn& rdn) { return std::ranges::any_of(rdn, any); });
}

Result<> check_dn_pattern(std::string_view pattern) {
  MERLON_TRY(const ParsedDn dn, parse_dn(pattern, DnSyntax::kPattern));
  for (const Rdn& rdn : dn.rdns)
    for (const DnAttribute& attribute : rdn)
      if (attribute.kind != DnAttribute::ValueKind::kAny) {
        MERLON_TRY([[maybe_unused]] const auto entry, entry_of(attribute));
      }
  return {};
}

bool dn_matches_pattern(ByteView dn_der, std::string_view pattern) {
  const auto wanted = parse_dn(pattern, DnSyntax::kPattern);
  const auto name = parse_name(dn_der);
  if (!wanted || !name) return false;
  const auto rdns = rdns_of(name->get());
  if (rdns.size() < wanted->rdns.size()) return false;
  if (rdns.size() > wanted->rdns.size() && !wanted->open_ended) return false;
  for (std::size_t i = 0; i < wanted->rdns.size(); ++i)
    if (!rdn_matches(rdns[i], wanted->rdns[i])) return false;
  return true;
}

}  // namespace merlon::pki
