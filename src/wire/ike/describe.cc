#include "wire/ike/describe.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/ike/notify_data.h"

namespace merlon::wire {
namespace {

constexpr std::size_t kShownBytes = 32;  // of what a peer may make as long as it likes

std::string counted(std::size_t count, std::string_view unit) {
  return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
}

// Printable ASCII as it is, everything else in hexadecimal; never long.
std::string shown(ByteView bytes) {
  const ByteView start = bytes.first(std::min(bytes.size(), kShownBytes));
  const bool printable =
      std::ranges::all_of(start, [](std::uint8_t c) { return c >= 0x20 && c < 0x7f && c != '"'; });
  const std::string text = printable ? fmt::format("\"{}\"", as_text(start)) : to_hex(start);
  return bytes.size() > start.size() ? text + "..." : text;
}

// "AES_GCM_16-256|AES_GCM_16-128 / CURVE25519": alternatives of a type behind '|', types behind '/'.
std::string describe_transforms(const std::vector<Transform>& transforms) {
  std::string text;
  for (std::size_t i = 0; i < transforms.size(); ++i) {
    if (i > 0) text += transforms[i].type == transforms[i - 1].type ? "|" : " / ";
    text += name(transforms[i]);
    if (!transforms[i].unknown_attributes.empty()) text += "(with unknown attributes)";
  }
  return text;
}

std::string describe_spi(const Proposal& proposal) {
  if (const auto spi = proposal.child_spi()) return fmt::format(", SPI {}", *spi);
  if (const auto spi = proposal.ike_spi()) return fmt::format(", SPI {}", *spi);
  return proposal.spi.empty() ? "" : ", SPI " + shown(proposal.spi);
}

std::string words(const SaPayload& sa) {
  std::string text = "SA:";
  for (const auto& proposal : sa.proposals)
    text += fmt::format("{} {} {} {}{}", &proposal == &sa.proposals.front() ? "" : ";", proposal.number,
                        name(proposal.protocol), describe_transforms(proposal.transforms),
                        describe_spi(proposal));
  return text;
}

std::string words(const KePayload& ke) {
  return fmt::format("KE: {}, {}", name(ke.method), counted(ke.data.size(), "byte"));
}

template <PayloadType type>
std::string words(const IdPayload<type>& id) {
  return fmt::format("{}: {}", name(type), id.identity.to_string());
}

std::string words(const CertPayload& cert) {
  return fmt::format("CERT: {}, {}", name(cert.encoding), counted(cert.data.size(), "byte"));
}

std::string words(const CertreqPayload& certreq) {
  const auto hashes = certreq.authority_hashes();
  return fmt::format("CERTREQ: {}, {}", name(certreq.encoding),
                     hashes.empty() ? counted(certreq.authorities.size(), "byte")
                                    : fmt::format("authority hashes: {}", hashes.size()));
}

std::string words(const AuthPayload& auth) {
  return fmt::format("AUTH: {}, {}", name(auth.method), counted(auth.data.size(), "byte"));
}

std::string words(const NoncePayload& nonce) {
  return fmt::format("Nonce: {}", counted(nonce.data.size(), "byte"));
}

std::string hash_names(const std::vector<HashId>& hashes) {
  std::string text;
  for (const HashId hash : hashes) text += (text.empty() ? "" : " ") + name(hash);
  return text;
}

// What the data of a notification says, in words; empty where it says nothing, or nothing worth a line.
std::string notify_detail(const NotifyPayload& notify) {
  switch (notify.type) {
    case NotifyType::kInvalidKePayload:
      if (const auto wanted = read_invalid_ke_payload(notify)) return "wants " + name(*wanted);
      break;
    case NotifyType::kSignatureHashAlgorithms:
      if (const auto hashes = read_signature_hash_algorithms(notify)) return hash_names(*hashes);
      break;
    case NotifyType::kRekeySa:
    case NotifyType::kChildSaNotFound:
    case NotifyType::kInvalidSelectors:
      if (const auto child = read_child_sa_name(notify))
        return fmt::format("{} {}", name(child->protocol), child->spi);
      break;
    case NotifyType::kSetWindowSize:
      if (const auto size = read_set_window_size(notify)) return fmt::format("{}", *size);
      break;
    case NotifyType::kUnsupportedCriticalPayload:
      if (const auto type = read_unsupported_critical_payload(notify)) return name(*type);
      break;
    case NotifyType::kInvalidSpi:
      if (const auto spi = read_invalid_spi(notify)) return fmt::format("{}", *spi);
      break;
    case NotifyType::kInvalidMessageId:
      if (const auto id = read_invalid_message_id(notify)) return fmt::format("{}", id->value);
      break;
    case NotifyType::kAuthLifetime:
      if (const auto lifetime_s = read_auth_lifetime(notify)) return fmt::format("{} s", *lifetime_s);
      break;
    case NotifyType::kNatDetectionSourceIp:
    case NotifyType::kNatDetectionDestinationIp:
      return "";
    default:
      break;
  }
  return notify.data.empty() ? "" : counted(notify.data.size(), "byte");
}

std::string words(const NotifyPayload& notify) {
  const std::string detail = notify_detail(notify);
  return fmt::format("N({}){}{}", name(notify.type), detail.empty() ? "" : ": ", detail);
}

std::string words(const DeletePayload& deleted) {
  if (deleted.protocol == SecurityProtocol::kIke) return "D: this IKE SA";
  std::string text = "D: " + name(deleted.protocol);
  for (const Spi spi : deleted.spis) text += fmt::format(" {}", spi);
  return text;
}

std::string words(const VendorIdPayload& vendor) {
  return "V: " + shown(vendor.data);
}

template <PayloadType type>
std::string words(const TsPayload<type>& ts) {
  std::string text = name(type);
  for (const auto& selector : ts.selectors)
    text += (&selector == &ts.selectors.front() ? " " : ", ") + selector.to_string();
  if (!ts.unknown.empty()) text += fmt::format(" and {} of unknown type", ts.unknown.size());
  return text;
}

std::string words(const SkPayload& sk) {
  return fmt::format("SK: {}", counted(sk.body.size(), "encrypted byte"));
}

std::string words(const SkfPayload& skf) {
  return fmt::format("SKF: fragment {} of {}, {}", skf.fragment_number, skf.total_fragments,
                     counted(skf.body.size(), "encrypted byte"));
}

std::string words(const CpPayload& cp) {
  std::string text = fmt::format("CP: {}", name(cp.cfg_type));
  for (const auto& attribute : cp.attributes) text += " " + name(attribute.type);
  return text;
}

std::string words(const EapPayload& eap) {
  static constexpr const char* kCodes[] = {"code 0", "Request", "Response", "Success", "Failure"};
  const unsigned code = eap.message.empty() ? 0 : eap.message[0];
  const std::string code_text = code < std::size(kCodes) ? kCodes[code] : fmt::format("code {}", code);
  return fmt::format("EAP: {}, {}", code_text, counted(eap.message.size(), "byte"));
}

std::string words(const UnknownPayload& unknown) {
  return fmt::format("payload {}: {}", name(unknown.type), counted(unknown.body.size(), "byte"));
}

}  // namespace

std::string describe(const Payload& payload) {
  return std::visit([](const auto& typed) { return words(typed); }, payload);
}

std::string describe(const IkeHeader& header) {
  const std::string text = fmt::format("{} {} {}, SPIs {} {}", name(header.exchange_type),
                                       header.flags.response ? "response" : "request",
                                       header.message_id.value, header.initiator_spi, header.responder_spi);
  // A message that is yet to be protected has no length.
  return header.length == 0 ? text : text + ", " + counted(header.length, "byte");
}

std::string describe(const Message& message) {
  std::string text = describe(message.header) + "\n";
  for (const auto& payload : message.payloads) text += "  " + describe(payload) + "\n";
  return text;
}

}  // namespace merlon::wire
