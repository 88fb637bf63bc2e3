// What people and other gateways write in words: addresses, identities, selectors, proposals, keys, the line of
// `merlon pair`. What is understood can be written again, and then means the same. The first byte says what the rest is.
#include "cli/pair_line.h"
#include "crypto/hash.h"
#include "fuzz/input.h"
#include "pki/identity_text.h"
#include "pki/raw_public_key.h"
#include "policy/proposal.h"
#include "policy/traffic_selector.h"

namespace {

using namespace merlon;        // NOLINT: a main file
using namespace merlon::fuzz;  // NOLINT

// parse(to_text(parse(text))) == parse(text)
template <class Parse, class ToText>
void round_trip(std::string_view text, Parse parse, ToText to_text) {
  const auto first = parse(text);
  if (!first) return require(!first.error().message.empty(), "a refusal says why");
  const auto again = parse(to_text(*first));
  require(again.has_value() && *again == *first, "what is understood can be written again");
}

void fuzz_identity(std::string_view text) {
  const auto identity = pki::identity_from_text(text);
  if (!identity) return;
  const std::string said = pki::identity_to_text(*identity);
  require(!said.empty(), "an identity can be said");
  for (const char c : said) require(c >= 0x20 && c < 0x7f, "an identity prints as plain text");
}

void fuzz_proposal(std::string_view text, Result<policy::Proposal> (*parse)(std::string_view)) {
  const auto proposal = parse(text);
  if (!proposal) return;
  const auto again = parse(policy::to_text(*proposal));
  require(again.has_value() && again->transforms == proposal->transforms, "a proposal can be written again");
  static_cast<void>(policy::check_safe(*proposal));
}

void fuzz_key(std::string_view text) {
  const auto key = pki::raw_public_key_from_text(text);
  if (!key) return;
  const auto written = pki::raw_public_key_to_text(*key);
  const auto again = pki::raw_public_key_from_text(written);
  require(again && pki::raw_public_key_to_text(*again) == written, "a key can be written again");
  require(!pki::short_fingerprint(*key).empty(), "a key has a fingerprint");
}

void fuzz_pair_line(std::string_view text) {
  // Its check sum keeps slips away, not us.
  const std::string body(text);
  const auto digest = crypto::sha2_256({as_bytes(body)});
  const std::string whole = body + " check=" + to_hex(ByteView(digest).first(4));
  static_cast<void>(cli::parse_pair_line(text));
  const auto line = cli::parse_pair_line(whole);
  if (!line) return;
  const auto again = cli::parse_pair_line(cli::to_text(*line));
  require(again && again->id == line->id && again->address == line->address &&
              again->networks == line->networks && again->public_key == line->public_key,
          "a line can be written again");
  for (const char c : cli::to_text(*line)) require(c >= 0x20 && c < 0x7f, "a line is plain text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = as_text(ByteView(data, size).subspan(1));
  switch (data[0] % 10) {
    case 0:
      round_trip(text, IpAddress::parse, [](const auto& address) { return address.to_string(); });
      break;
    case 1:
      round_trip(text, IpPrefix::parse, [](const auto& prefix) { return prefix.to_string(); });
      break;
    case 2:
      fuzz_identity(text);
      break;
    case 3:
      round_trip(text, policy::parse_traffic_selector,
                 [](const auto& selector) { return policy::to_text(selector); });
      static_cast<void>(policy::parse_traffic_selectors(text));
      break;
    case 4:
      fuzz_proposal(text, policy::parse_ike_proposal);
      break;
    case 5:
      fuzz_proposal(text, policy::parse_esp_proposal);
      break;
    case 6:
      fuzz_key(text);
      break;
    case 7:
      fuzz_pair_line(text);
      break;
    case 8:
      round_trip(text, from_hex, [](const Bytes& bytes) { return to_hex(bytes); });
      break;
    default:
      round_trip(text, from_base64, [](const Bytes& bytes) { return to_base64(bytes); });
  }
  return 0;
}
