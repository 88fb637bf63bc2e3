#include "wire/ike/notify_data.h"

#include <algorithm>

#include "base/reader.h"

namespace merlon::wire {
namespace {

constexpr std::size_t kCookieMaxSize = 64;  // RFC 7296 2.6

Bytes u8_data(std::uint8_t value) {
  return {value};
}
Bytes u16_data(std::uint16_t value) {
  ByteWriter out;
  out.u16(value);
  return out.take();
}
Bytes u32_data(std::uint32_t value) {
  ByteWriter out;
  out.u32(value);
  return out.take();
}

tl::unexpected<Error> wrong_size(const NotifyPayload& notify, std::string_view expected) {
  return fail(ErrorCode::kMalformed, "N({}) carries {}; this one has {} bytes", name(notify.type), expected,
              notify.data.size());
}

Result<std::uint32_t> read_u32(const NotifyPayload& notify) {
  ByteReader reader(notify.data);
  const auto value = reader.u32();
  if (!value || !reader.empty()) return wrong_size(notify, "4 bytes");
  return *value;
}

NotifyPayload make_about_child(NotifyType type, const ChildSaName& child, Bytes data) {
  return {
      .type = type, .protocol = child.protocol, .spi = u32_data(child.spi.value), .data = std::move(data)};
}

}  // namespace

NotifyPayload make_notify(NotifyType type, Bytes data) {
  return {.type = type, .protocol = SecurityProtocol::kNone, .spi = {}, .data = std::move(data)};
}

NotifyPayload make_cookie(Bytes cookie) {
  return make_notify(NotifyType::kCookie, std::move(cookie));
}

Result<Bytes> read_cookie(const NotifyPayload& notify) {
  if (notify.data.empty() || notify.data.size() > kCookieMaxSize) return wrong_size(notify, "1 to 64 bytes");
  return notify.data;
}

NotifyPayload make_nat_detection(NotifyType type, const NatDetectionDigest& digest) {
  return make_notify(type, to_bytes(digest));
}

Result<NatDetectionDigest> read_nat_detection(const NotifyPayload& notify) {
  NatDetectionDigest digest{};
  if (notify.data.size() != digest.size()) return wrong_size(notify, "a digest of 20 bytes");
  std::ranges::copy(notify.data, digest.begin());
  return digest;
}

Bytes nat_detection_input(const IkeSaId& spis, ByteView address, std::uint16_t port) {
  ByteWriter out;
  out.u64(spis.initiator.value);
  out.u64(spis.responder.value);
  out.bytes(address);
  out.u16(port);
  return out.take();
}

NotifyPayload make_invalid_ke_payload(KeMethod wanted) {
  return make_notify(NotifyType::kInvalidKePayload, u16_data(static_cast<std::uint16_t>(wanted)));
}

Result<KeMethod> read_invalid_ke_payload(const NotifyPayload& notify) {
  ByteReader reader(notify.data);
  const auto method = reader.u16();
  if (!method || !reader.empty()) return wrong_size(notify, "2 bytes");
  return static_cast<KeMethod>(*method);
}

NotifyPayload make_signature_hash_algorithms(const std::vector<HashId>& hashes) {
  ByteWriter out;
  for (const HashId hash : hashes) out.u16(static_cast<std::uint16_t>(hash));
  return make_notify(NotifyType::kSignatureHashAlgorithms, out.take());
}

Result<std::vector<HashId>> read_signature_hash_algorithms(const NotifyPayload& notify) {
  if (notify.data.size() % 2 != 0) return wrong_size(notify, "2 bytes for each algorithm");
  std::vector<HashId> hashes;
  ByteReader reader(notify.data);
  while (const auto hash = reader.u16()) hashes.push_back(static_cast<HashId>(*hash));
  return hashes;
}

NotifyPayload make_rekey_sa(const ChildSaName& child) {
  return make_about_child(NotifyType::kRekeySa, child, {});
}
NotifyPayload make_child_sa_not_found(const ChildSaName& child) {
  return make_about_child(NotifyType::kChildSaNotFound, child, {});
}

Result<ChildSaName> read_child_sa_name(const NotifyPayload& notify) {
  if (notify.protocol != SecurityProtocol::kAh && notify.protocol != SecurityProtocol::kEsp)
    return fail(ErrorCode::kMalformed, "N({}) names an SA of AH or ESP; this one is for protocol {}",
                name(notify.type), static_cast<unsigned>(notify.protocol));
  ByteReader reader(notify.spi);
  const auto spi = reader.u32();
  if (!spi || !reader.empty())
    return fail(ErrorCode::kMalformed, "N({}) carries an SPI of 4 bytes; this one has {}", name(notify.type),
                notify.spi.size());
  return ChildSaName{.protocol = notify.protocol, .spi = {*spi}};
}

NotifyPayload make_set_window_size(std::uint32_t size) {
  return make_notify(NotifyType::kSetWindowSize, u32_data(size));
}

Result<std::uint32_t> read_set_window_size(const NotifyPayload& notify) {
  MERLON_TRY(const std::uint32_t size, read_u32(notify));
  if (size == 0)
    return fail(ErrorCode::kMalformed, "N(SET_WINDOW_SIZE) says 0; a window holds at least 1 request");
  return size;
}

NotifyPayload make_unsupported_critical_payload(PayloadType type) {
  return make_notify(NotifyType::kUnsupportedCriticalPayload, u8_data(static_cast<std::uint8_t>(type)));
}

Result<PayloadType> read_unsupported_critical_payload(const NotifyPayload& notify) {
  if (notify.data.size() != 1) return wrong_size(notify, "1 byte");
  return static_cast<PayloadType>(notify.data[0]);
}

NotifyPayload make_invalid_spi(Spi spi) {
  return make_notify(NotifyType::kInvalidSpi, u32_data(spi.value));
}

Result<Spi> read_invalid_spi(const NotifyPayload& notify) {
  MERLON_TRY(const std::uint32_t spi, read_u32(notify));
  return Spi{spi};
}

NotifyPayload make_invalid_message_id(MessageId id) {
  return make_notify(NotifyType::kInvalidMessageId, u32_data(id.value));
}

Result<MessageId> read_invalid_message_id(const NotifyPayload& notify) {
  MERLON_TRY(const std::uint32_t id, read_u32(notify));
  return MessageId{id};
}

NotifyPayload make_invalid_selectors(const ChildSaName& child, ByteView packet_start) {
  return make_about_child(NotifyType::kInvalidSelectors, child, to_bytes(packet_start));
}

NotifyPayload make_auth_lifetime(std::uint32_t lifetime_s) {
  return make_notify(NotifyType::kAuthLifetime, u32_data(lifetime_s));
}

Result<std::uint32_t> read_auth_lifetime(const NotifyPayload& notify) {
  return read_u32(notify);
}

}  // namespace merlon::wire
