#include "daemon/key_trace.h"

#include <fmt/format.h>

#include <optional>

namespace merlon::daemon {
namespace {

// Wireshark's own spellings, of its ikev2_decryption_table and esp_sa.
std::optional<std::string> ike_encryption(EncrId id, unsigned key_bits) {
  switch (id) {
    case EncrId::kAesCbc:
      return fmt::format("AES-CBC-{} [RFC3602]", key_bits);
    case EncrId::kAesGcm16:
      return fmt::format("AES-GCM-{} with 16 octet ICV [RFC5282]", key_bits);
    case EncrId::kAesGcm12:
      return fmt::format("AES-GCM-{} with 12 octet ICV [RFC5282]", key_bits);
    case EncrId::kAesGcm8:
      return fmt::format("AES-GCM-{} with 8 octet ICV [RFC5282]", key_bits);
    case EncrId::kAesCcm16:
      return fmt::format("AES-CCM-{} with 16 octet ICV [RFC5282]", key_bits);
    case EncrId::kAesCcm12:
      return fmt::format("AES-CCM-{} with 12 octet ICV [RFC5282]", key_bits);
    case EncrId::kAesCcm8:
      return fmt::format("AES-CCM-{} with 8 octet ICV [RFC5282]", key_bits);
    default:
      return std::nullopt;
  }
}

std::optional<std::string> ike_integrity(IntegId id) {
  switch (id) {
    case IntegId::kNone:
      return "NONE [RFC4306]";
    case IntegId::kHmacSha1_96:
      return "HMAC_SHA1_96 [RFC2404]";
    case IntegId::kHmacSha2_256_128:
      return "HMAC_SHA2_256_128 [RFC4868]";
    case IntegId::kHmacSha2_384_192:
      return "HMAC_SHA2_384_192 [RFC4868]";
    case IntegId::kHmacSha2_512_256:
      return "HMAC_SHA2_512_256 [RFC4868]";
    default:
      return std::nullopt;
  }
}

std::optional<std::string> esp_encryption(EncrId id) {
  switch (id) {
    case EncrId::kNull:
      return "NULL";
    case EncrId::kAesCbc:
      return "AES-CBC [RFC3602]";
    case EncrId::kAesCtr:
      return "AES-CTR [RFC3686]";
    case EncrId::kAesGcm8:
      return "AES-GCM with 8 octet ICV [RFC4106]";
    case EncrId::kAesGcm12:
      return "AES-GCM with 12 octet ICV [RFC4106]";
    case EncrId::kAesGcm16:
      return "AES-GCM with 16 octet ICV [RFC4106]";
    default:
      return std::nullopt;
  }
}

std::optional<std::string> esp_integrity(IntegId id) {
  switch (id) {
    case IntegId::kNone:
      return "NULL";
    case IntegId::kHmacSha1_96:
      return "HMAC-SHA-1-96 [RFC2404]";
    case IntegId::kHmacSha2_256_128:
      return "HMAC-SHA-256-128 [RFC4868]";
    case IntegId::kHmacSha2_384_192:
      return "HMAC-SHA-384-192 [RFC4868]";
    case IntegId::kHmacSha2_512_256:
      return "HMAC-SHA-512-256 [RFC4868]";
    // It decrypts, though it cannot check these.
    case IntegId::kAesXcbc96:
    case IntegId::kAesCmac96:
      return "ANY 96 bit authentication [no checking]";
    default:
      return std::nullopt;
  }
}

std::string hex_field(const Secret& secret) {
  return secret.empty() ? std::string("\"\"") : "\"0x" + secret.reveal_hex_for_key_file() + "\"";
}

std::vector<KeyFileLine> ike_lines(const ike::IkeKeysTraced& keys) {
  const auto encryption = ike_encryption(keys.encr, keys.key_bits);
  const auto integrity = ike_integrity(keys.integ);
  if (!encryption || !integrity) return {};
  return {
      {"ikev2_decryption_table",
       fmt::format("{},{},{},{},\"{}\",{},{},\"{}\"", keys.id.initiator, keys.id.responder,
                   keys.sk_ei.reveal_hex_for_key_file(), keys.sk_er.reveal_hex_for_key_file(), *encryption,
                   keys.sk_ai.reveal_hex_for_key_file(), keys.sk_ar.reveal_hex_for_key_file(), *integrity)}};
}

std::vector<KeyFileLine> child_lines(const policy::ChildSa& sa) {
  auto encryption = esp_encryption(sa.algorithms.encr);
  auto integrity = esp_integrity(sa.algorithms.integ);
  // Wireshark refuses a whole table for one name that it does not know; others are read by other tools.
  const bool known = encryption && integrity;
  if (!known) {
    encryption = merlon::name(sa.algorithms.encr);
    integrity = merlon::name(sa.algorithms.integ);
  }
  const char* file = known ? "esp_sa" : "esp_sa_other";
  const auto line = [&](const IpAddress& from, const IpAddress& to, Spi spi,
                        const policy::DirectionKeys& keys) {
    return KeyFileLine{file, fmt::format("\"{}\",\"{}\",\"{}\",\"{}\",\"{}\",{},\"{}\",{}",
                                         from.is_v4() ? "IPv4" : "IPv6", from, to, spi, *encryption,
                                         hex_field(keys.encryption), *integrity, hex_field(keys.integrity))};
  };
  const IpAddress& local = sa.path.local.address;
  const IpAddress& remote = sa.path.remote.address;
  return {line(remote, local, sa.inbound_spi, sa.inbound), line(local, remote, sa.outbound_spi, sa.outbound)};
}

}  // namespace

std::vector<KeyFileLine> key_file_lines(const ike::Event& event) {
  if (const auto* keys = std::get_if<ike::IkeKeysTraced>(&event)) return ike_lines(*keys);
  if (const auto* keys = std::get_if<ike::ChildKeysTraced>(&event)) return child_lines(*keys->child_sa);
  return {};
}

}  // namespace merlon::daemon
