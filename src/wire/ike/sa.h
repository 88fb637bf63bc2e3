// Security Association payload (RFC 7296 3.3): proposals, their transforms, the transforms' attributes.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/iana.h"
#include "base/ids.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

// RFC 7296 3.3.5: the only attribute IKEv2 defines.
inline constexpr std::uint16_t kKeyLengthAttribute = 14;

struct TransformAttribute {
  std::uint16_t type = 0;     // without the AF bit
  bool short_format = false;  // AF = 1: the value is two bytes in place of the length (type/value)
  Bytes value;                // short_format: exactly 2 bytes
  friend bool operator==(const TransformAttribute&, const TransformAttribute&) = default;
};

struct Transform {
  TransformType type = TransformType::kEncr;  // may lie outside the enumerators
  std::uint16_t id = 0;                       // EncrId, PrfId, ... by type; numeric, unknown values are kept
  std::optional<std::uint16_t> key_length;    // in bits
  // Every attribute that is not the one well-formed Key Length. RFC 7296 3.3.6: a responder must not choose a
  // transform that carries an attribute it does not understand.
  std::vector<TransformAttribute> unknown_attributes;

  friend bool operator==(const Transform&, const Transform&) = default;
};

[[nodiscard]] Transform encr_transform(EncrId id, std::optional<std::uint16_t> key_bits = std::nullopt);
[[nodiscard]] Transform prf_transform(PrfId id);
[[nodiscard]] Transform integ_transform(IntegId id);
[[nodiscard]] Transform ke_transform(KeMethod method);
[[nodiscard]] Transform sn_transform(SnId id);
// "AES_GCM_16-256", "CURVE25519", "UNKNOWN(99)".
[[nodiscard]] std::string name(const Transform& transform);

struct Proposal {
  std::uint8_t number = 1;
  SecurityProtocol protocol = SecurityProtocol::kEsp;
  Bytes spi;  // IKE: 0 or 8 bytes; AH and ESP: 4 bytes
  std::vector<Transform> transforms;

  [[nodiscard]] std::optional<Spi> child_spi() const;   // when the SPI has 4 bytes
  [[nodiscard]] std::optional<IkeSpi> ike_spi() const;  // when the SPI has 8 bytes
  void set_spi(Spi value);
  void set_spi(IkeSpi value);

  friend bool operator==(const Proposal&, const Proposal&) = default;
};

struct SaPayload {
  static constexpr PayloadType kType = PayloadType::kSa;
  std::vector<Proposal> proposals;  // in the sender's order of preference; at least one, at most 255
  bool critical = false;

  // Malformed: lengths and counts that contradict each other, no proposal, a "last" marker in the wrong
  // place, an SPI size that does not fit IKE, AH or ESP. Whether the proposals make sense is left to the
  // negotiation.
  [[nodiscard]] static Result<SaPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const SaPayload&, const SaPayload&) = default;
};

}  // namespace merlon::wire
