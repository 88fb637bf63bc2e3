// For the tests of this room: ciphers with keys, headers, and captures.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "ikev2/message_protection.h"

namespace merlon::ikev2::test {

inline std::vector<crypto::MessageCipherSuite> suites() {
  return {{EncrId::kAesGcm16, 256, IntegId::kNone},
          {EncrId::kChacha20Poly1305, 256, IntegId::kNone},
          {EncrId::kAesCcm8, 128, IntegId::kNone},
          {EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128},
          {EncrId::kAesCtr, 128, IntegId::kHmacSha1_96}};
}

inline IkeKeys keys(const crypto::MessageCipherSuite& suite, Rng& rng) {
  const auto secret = [&](std::size_t size) { return Secret::copy_of(rng.bytes(size)); };
  IkeKeys made;
  made.sk_d = secret(32);
  made.sk_ai = secret(crypto::integrity_key_size(suite));
  made.sk_ar = secret(crypto::integrity_key_size(suite));
  made.sk_ei = secret(crypto::encryption_key_size(suite));
  made.sk_er = secret(crypto::encryption_key_size(suite));
  made.sk_pi = secret(32);
  made.sk_pr = secret(32);
  return made;
}

// Initiator and responder of one IKE SA.
inline std::pair<MessageProtection, MessageProtection> protections(const crypto::MessageCipherSuite& suite,
                                                                   Rng& rng) {
  const IkeKeys made = keys(suite, rng);
  return {*MessageProtection::create(suite, made, true), *MessageProtection::create(suite, made, false)};
}

inline wire::IkeHeader header(Rng& rng, wire::ExchangeType exchange = wire::ExchangeType::kInformational) {
  wire::IkeHeader made;
  made.initiator_spi = {rng.uniform<std::uint64_t>() | 1U};
  made.responder_spi = {rng.uniform<std::uint64_t>() | 1U};
  made.exchange_type = exchange;
  made.flags.initiator = true;
  made.message_id = {rng.uniform<std::uint32_t>()};
  return made;
}

inline std::optional<std::filesystem::path> vectors_folder() {
  if (const char* folder = std::getenv("MERLON_VECTORS"); folder != nullptr)
    return std::filesystem::path(folder);
  const auto beside = std::filesystem::path(__FILE__).parent_path() / "../../../shared/vectors";
  if (std::filesystem::exists(beside)) return beside;
  return std::nullopt;
}

// A little-endian pcap of link type 0 (four bytes before the IPv4 header) whose packets all carry UDP.
inline std::vector<Bytes> udp_payloads_of_loopback_capture(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const Bytes all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<Bytes> payloads;
  constexpr std::size_t kFileHeader = 24, kRecordHeader = 16, kHeaders = 4 + 20 + 8;
  for (std::size_t at = kFileHeader; at + kRecordHeader <= all.size();) {
    const std::size_t size = all[at + 8] | (std::size_t{all[at + 9]} << 8U);
    at += kRecordHeader;
    if (at + size > all.size() || size < kHeaders) break;
    payloads.push_back(to_bytes(ByteView(all).subspan(at + kHeaders, size - kHeaders)));
    at += size;
  }
  return payloads;
}

}  // namespace merlon::ikev2::test
