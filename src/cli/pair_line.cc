#include "cli/pair_line.h"

#include <algorithm>

#include "base/ip_address.h"
#include "crypto/hash.h"
#include "pki/raw_public_key.h"

namespace merlon::cli {
namespace {

constexpr std::string_view kMagic = "merlon-pair-1";

// Against slips of the clipboard, not against an attacker.
std::string checksum(std::string_view body) {
  const auto digest = crypto::sha2_256({as_bytes(body)});
  return to_hex(ByteView(digest).first(4));
}

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':';
  });
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto end = text.find(separator);
    if (end != 0) out.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

Result<> take_field(const std::string& field, PairLine& line) {
  const auto equals = field.find('=');
  if (equals == std::string::npos)
    return fail(ErrorCode::kMalformed, "\"{}\" is not part of such a line", field);
  const std::string key = field.substr(0, equals);
  const std::string value = field.substr(equals + 1);
  if (key == "id" && is_word(value)) {
    line.id = value;
  } else if (key == "address" && (value.empty() || is_word(value))) {
    line.address = value;
  } else if (key != "id" && key != "address" && key != "networks" && key != "key") {
    return fail(ErrorCode::kMalformed, "\"{}\" is not part of such a line", key);
  } else if (key == "networks") {
    line.networks = split(value, ',');
    for (std::string& network : line.networks) {
      MERLON_TRY(const auto prefix, IpPrefix::parse(network));
      network = prefix.to_string();
    }
  } else if (key == "key") {
    MERLON_TRY(const auto parsed, pki::raw_public_key_from_text(value));
    line.public_key = pki::raw_public_key_to_text(parsed);
  } else {
    return fail(ErrorCode::kMalformed,
                "\"{}\" cannot be used as {}: expected letters, digits, '.', '-', '_' and ':'", value, key);
  }
  return {};
}

}  // namespace

std::string to_text(const PairLine& line) {
  std::string networks;
  for (const std::string& network : line.networks) networks += (networks.empty() ? "" : ",") + network;
  const std::string body = fmt::format("{} id={} address={} networks={} key={}", kMagic, line.id,
                                       line.address, networks, line.public_key);
  return fmt::format("{} check={}", body, checksum(body));
}

Result<PairLine> parse_pair_line(std::string_view text) {
  while (!text.empty() &&
         (text.back() == ' ' || text.back() == '\n' || text.back() == '\r' || text.back() == '\t'))
    text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  if (!text.starts_with(kMagic))
    return fail(ErrorCode::kMalformed, "this is not a line of `merlon pair`: it begins with \"{}\"", kMagic);
  const auto check = text.rfind(" check=");
  if (check == std::string_view::npos || checksum(text.substr(0, check)) != text.substr(check + 7))
    return fail(ErrorCode::kMalformed,
                "the line is not whole: copy all of it, from \"{}\" to the end of \"check=...\"", kMagic);
  PairLine line;
  for (const std::string& field : split(text.substr(kMagic.size(), check - kMagic.size()), ' '))
    MERLON_TRY_VOID(take_field(field, line));
  if (line.id.empty() || line.public_key.empty() || line.networks.empty())
    return fail(ErrorCode::kMalformed, "the line lacks an id, a key or a network");
  return line;
}

}  // namespace merlon::cli
