// What stands in the data of notifications (RFC 7296 3.10.1 and the RFCs named below). make_* builds the
// payload, read_* takes it apart again and refuses (kMalformed) what does not follow the format; it does not
// look at the type.
#pragma once

#include <array>
#include <vector>

#include "base/ids.h"
#include "wire/ike/notify.h"

namespace merlon::wire {

// Notifications whose meaning is their type: INITIAL_CONTACT, NO_PROPOSAL_CHOSEN, ADDITIONAL_TS_POSSIBLE,
// SINGLE_PAIR_REQUIRED, ESP_TFC_PADDING_NOT_SUPPORTED, USE_TRANSPORT_MODE, IKEV2_FRAGMENTATION_SUPPORTED, ...
[[nodiscard]] NotifyPayload make_notify(NotifyType type, Bytes data = {});

// COOKIE (RFC 7296 2.6): 1 to 64 bytes.
[[nodiscard]] NotifyPayload make_cookie(Bytes cookie);
[[nodiscard]] Result<Bytes> read_cookie(const NotifyPayload& notify);

// NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP (RFC 7296 2.23): a SHA-1 digest.
using NatDetectionDigest = std::array<std::uint8_t, 20>;
[[nodiscard]] NotifyPayload make_nat_detection(NotifyType type, const NatDetectionDigest& digest);
[[nodiscard]] Result<NatDetectionDigest> read_nat_detection(const NotifyPayload& notify);
// What is digested: SPIi, SPIr, address, port, in network order (RFC 7296 2.23).
[[nodiscard]] Bytes nat_detection_input(const IkeSaId& spis, ByteView address, std::uint16_t port);

// INVALID_KE_PAYLOAD (RFC 7296 1.3): the method that is wanted.
[[nodiscard]] NotifyPayload make_invalid_ke_payload(KeMethod wanted);
[[nodiscard]] Result<KeMethod> read_invalid_ke_payload(const NotifyPayload& notify);

// SIGNATURE_HASH_ALGORITHMS (RFC 7427 4): in no particular order; unknown values are kept.
[[nodiscard]] NotifyPayload make_signature_hash_algorithms(const std::vector<HashId>& hashes);
[[nodiscard]] Result<std::vector<HashId>> read_signature_hash_algorithms(const NotifyPayload& notify);

// REKEY_SA (RFC 7296 2.8, 1.3.3) and CHILD_SA_NOT_FOUND (2.25): protocol AH or ESP, and a 4-byte SPI in the
// payload's SPI field.
struct ChildSaName {
  SecurityProtocol protocol = SecurityProtocol::kEsp;
  Spi spi;
  friend bool operator==(const ChildSaName&, const ChildSaName&) = default;
};
[[nodiscard]] NotifyPayload make_rekey_sa(const ChildSaName& child);
[[nodiscard]] NotifyPayload make_child_sa_not_found(const ChildSaName& child);
[[nodiscard]] Result<ChildSaName> read_child_sa_name(const NotifyPayload& notify);

// SET_WINDOW_SIZE (RFC 7296 2.3): how many requests the sender accepts at a time; at least 1.
[[nodiscard]] NotifyPayload make_set_window_size(std::uint32_t size);
[[nodiscard]] Result<std::uint32_t> read_set_window_size(const NotifyPayload& notify);

// UNSUPPORTED_CRITICAL_PAYLOAD (RFC 7296 2.5): the payload's type.
[[nodiscard]] NotifyPayload make_unsupported_critical_payload(PayloadType type);
[[nodiscard]] Result<PayloadType> read_unsupported_critical_payload(const NotifyPayload& notify);

// INVALID_SPI (RFC 7296 1.5): the SPI of the ESP or AH packet, as data.
[[nodiscard]] NotifyPayload make_invalid_spi(Spi spi);
[[nodiscard]] Result<Spi> read_invalid_spi(const NotifyPayload& notify);

// INVALID_MESSAGE_ID (RFC 7296 2.3): the Message ID that lies outside the window.
[[nodiscard]] NotifyPayload make_invalid_message_id(MessageId id);
[[nodiscard]] Result<MessageId> read_invalid_message_id(const NotifyPayload& notify);

// INVALID_SELECTORS (RFC 7296 3.10.1): the SA by which the packet came, and the start of the packet.
[[nodiscard]] NotifyPayload make_invalid_selectors(const ChildSaName& child, ByteView packet_start);

// AUTH_LIFETIME (RFC 4478): in seconds.
[[nodiscard]] NotifyPayload make_auth_lifetime(std::uint32_t lifetime_s);
[[nodiscard]] Result<std::uint32_t> read_auth_lifetime(const NotifyPayload& notify);

// ADDITIONAL_KEY_EXCHANGE (RFC 9370 2.2.4): an opaque link between CREATE_CHILD_SA and IKE_FOLLOWUP_KE: the
// data itself.

}  // namespace merlon::wire
