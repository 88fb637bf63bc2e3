#include "pki/openssl_internal.h"

#include <fmt/format.h>
#include <openssl/err.h>

namespace merlon::pki {

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "" : reason;
}

void clear_openssl_errors() {
  ERR_clear_error();
}

std::optional<UnixTime> to_unix_time(const ASN1_TIME* time) {
  std::tm tm{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &tm) != 1) return std::nullopt;
  using namespace std::chrono;
  const year_month_day date{year{tm.tm_year + 1900}, month{static_cast<unsigned>(tm.tm_mon + 1)},
                            day{static_cast<unsigned>(tm.tm_mday)}};
  if (!date.ok()) return std::nullopt;
  return sys_days{date} + hours{tm.tm_hour} + minutes{tm.tm_min} + seconds{tm.tm_sec};
}

TimeOwner to_asn1_time(UnixTime time) {
  return TimeOwner(ASN1_TIME_set(nullptr, static_cast<time_t>(time.time_since_epoch().count())));
}

namespace {

std::string text_of(const ASN1_STRING* string) {
  const int length = ASN1_STRING_length(string);
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)), static_cast<std::size_t>(length)};
}

}  // namespace

Result<SubjectAltNames> to_subject_alt_names(const GENERAL_NAMES* names) {
  SubjectAltNames out;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    switch (name->type) {
      case GEN_DNS:
        out.dns.push_back(text_of(name->d.dNSName));
        break;
      case GEN_EMAIL:
        out.email.push_back(text_of(name->d.rfc822Name));
        break;
      case GEN_DIRNAME:
        out.directory.push_back(to_der<i2d_X509_NAME>(name->d.directoryName));
        break;
      case GEN_IPADD: {
        const std::string bytes = text_of(name->d.iPAddress);
        auto address = IpAddress::from_bytes(as_bytes(bytes));
        // RFC 5280 4.2.1.6
        if (!address)
          return fail(ErrorCode::kMalformed, "an iPAddress of {} bytes (4 or 16 are possible)", bytes.size());
        out.ip.push_back(*address);
        break;
      }
      default:
        ++out.others;
    }
  }
  return out;
}

namespace {

bool push_string(GENERAL_NAMES* names, int type, int asn1_type, ByteView value) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_STRING* string = ASN1_STRING_type_new(asn1_type);
  if (name == nullptr || string == nullptr ||
      ASN1_STRING_set(string, value.data(), static_cast<int>(value.size())) != 1) {
    GENERAL_NAME_free(name);
    ASN1_STRING_free(string);
    return false;
  }
  GENERAL_NAME_set0_value(name, type, string);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

bool push_directory(GENERAL_NAMES* names, ByteView der) {
  auto directory = parse_name(der);
  GENERAL_NAME* name = GENERAL_NAME_new();
  if (!directory || name == nullptr) {
    GENERAL_NAME_free(name);
    return false;
  }
  GENERAL_NAME_set0_value(name, GEN_DIRNAME, directory->release());
  return sk_GENERAL_NAME_push(names, name) > 0;
}

}  // namespace

GeneralNamesOwner to_general_names(const SubjectAltNames& names) {
  GeneralNamesOwner out(GENERAL_NAMES_new());
  if (!out) return nullptr;
  for (const auto& dns : names.dns)
    if (!push_string(out.get(), GEN_DNS, V_ASN1_IA5STRING, as_bytes(dns))) return nullptr;
  for (const auto& email : names.email)
    if (!push_string(out.get(), GEN_EMAIL, V_ASN1_IA5STRING, as_bytes(email))) return nullptr;
  for (const auto& ip : names.ip)
    if (!push_string(out.get(), GEN_IPADD, V_ASN1_OCTET_STRING, ip.bytes())) return nullptr;
  for (const auto& directory : names.directory)
    if (!push_directory(out.get(), directory)) return nullptr;
  return out;
}

Result<X509NameOwner> parse_name(ByteView der) {
  auto name = from_der_exactly<X509NameOwner, d2i_X509_NAME>(der);
  if (!name) return fail(ErrorCode::kMalformed, "not the DER of a distinguished name ({})", openssl_reason());
  return name;
}

Result<X509NameOwner> parse_name_or_empty(ByteView der) {
  if (!der.empty()) return parse_name(der);
  X509NameOwner name(X509_NAME_new());
  if (!name) return fail(ErrorCode::kExhausted, "no memory for a name");
  return name;
}

std::string lower_hex_serial(const ASN1_INTEGER* serial) {
  const bool negative = (ASN1_STRING_type(serial) & V_ASN1_NEG) != 0;
  return (negative ? "-" : "") +
         to_hex({ASN1_STRING_get0_data(serial), static_cast<std::size_t>(ASN1_STRING_length(serial))});
}

std::optional<std::string> dotted_oid(const ASN1_OBJECT* object) {
  char buffer[256];
  const int length = OBJ_obj2txt(buffer, sizeof buffer, object, 1);
  if (length <= 0 || length >= static_cast<int>(sizeof buffer)) return std::nullopt;
  return std::string(buffer, static_cast<std::size_t>(length));
}

Result<std::vector<Bytes>> pem_blocks(std::string_view pem, std::string_view label) {
  const std::string begin = fmt::format("-----BEGIN {}-----", label);
  const std::string end = fmt::format("-----END {}-----", label);
  std::vector<Bytes> out;
  for (std::size_t at = pem.find(begin); at != std::string_view::npos; at = pem.find(begin, at)) {
    const std::size_t body = at + begin.size();
    const std::size_t stop = pem.find(end, body);
    if (stop == std::string_view::npos)
      return fail(ErrorCode::kMalformed, "a PEM block '{}' without its end line", label);
    std::string base64;
    for (const char c : pem.substr(body, stop - body))
      if (c != '\n' && c != '\r' && c != ' ' && c != '\t') base64.push_back(c);
    auto der = from_base64(base64);
    if (!der) return fail(ErrorCode::kMalformed, "a PEM block '{}' that is not base64", label);
    out.push_back(std::move(*der));
    at = stop + end.size();
  }
  return out;
}

std::string to_pem_block(std::string_view label, ByteView der) {
  const std::string base64 = to_base64(der);
  std::string out = fmt::format("-----BEGIN {}-----\n", label);
  for (std::size_t at = 0; at < base64.size(); at += 64) out += base64.substr(at, 64) + "\n";
  return out + fmt::format("-----END {}-----\n", label);
}

}  // namespace merlon::pki
