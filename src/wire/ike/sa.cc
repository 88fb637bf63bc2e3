#include "wire/ike/sa.h"

#include "base/reader.h"

namespace merlon::wire {
namespace {

// RFC 7296 3.3.1, 3.3.2: "Last Substruc"
constexpr std::uint8_t kLast = 0;
constexpr std::uint8_t kMoreProposals = 2;
constexpr std::uint8_t kMoreTransforms = 3;
constexpr std::uint16_t kShortFormatBit = 0x8000;

// The head that proposals and transforms share, and the bytes behind it that its length covers.
struct Substructure {
  bool last = false;
  ByteView body;
};

Result<Substructure> read_substructure(ByteReader& reader, std::uint8_t more, std::string_view what) {
  const auto marker = reader.u8();
  const bool reserved = reader.skip(1);
  const auto length = reader.u16();
  if (!marker || !reserved || !length) return truncated(what);
  if (*length < 4)
    return fail(ErrorCode::kMalformed, "{} says it has {} bytes, fewer than its header", what, *length);
  const auto body = reader.take(*length - 4U);
  if (!body) return truncated(what);
  // RFC 7296 3.3.1, 3.3.2: 0 in the last one, 2 (proposals) or 3 (transforms) in those before it
  const std::uint8_t expected = reader.empty() ? kLast : more;
  if (*marker != expected)
    return fail(ErrorCode::kMalformed, "{} carries the marker {} where {} belongs", what, *marker, expected);
  return Substructure{.last = *marker == kLast, .body = *body};
}

Result<TransformAttribute> read_attribute(ByteReader& reader) {
  const auto type = reader.u16();
  const auto length_or_value = reader.u16();
  if (!type || !length_or_value) return truncated("a transform attribute");
  TransformAttribute attribute{.type = static_cast<std::uint16_t>(*type & ~kShortFormatBit),
                               .short_format = (*type & kShortFormatBit) != 0,
                               .value = {}};
  if (attribute.short_format) {
    attribute.value = {static_cast<std::uint8_t>(*length_or_value >> 8U),
                       static_cast<std::uint8_t>(*length_or_value)};
    return attribute;
  }
  const auto value = reader.take(*length_or_value);
  if (!value) return truncated("a transform attribute");
  attribute.value = to_bytes(*value);
  return attribute;
}

Result<Transform> parse_transform(ByteView body) {
  ByteReader reader(body);
  const auto type = reader.u8();
  const bool reserved = reader.skip(1);
  const auto id = reader.u16();
  if (!type || !reserved || !id) return truncated("a transform");
  Transform transform{
      .type = static_cast<TransformType>(*type), .id = *id, .key_length = {}, .unknown_attributes = {}};
  while (!reader.empty()) {
    MERLON_TRY(TransformAttribute attribute, read_attribute(reader));
    // RFC 7296 3.3.5: Key Length is always in the short format, and stands once in a transform.
    if (attribute.type == kKeyLengthAttribute && attribute.short_format && !transform.key_length)
      transform.key_length = static_cast<std::uint16_t>(attribute.value[0] << 8U | attribute.value[1]);
    else
      transform.unknown_attributes.push_back(std::move(attribute));
  }
  return transform;
}

// RFC 7296 3.3.1: zero for the first IKE SA, 8 when it is rekeyed, 4 for AH and ESP
bool is_spi_size_right(SecurityProtocol protocol, std::size_t size) {
  switch (protocol) {
    case SecurityProtocol::kIke:
      return size == 0 || size == 8;
    case SecurityProtocol::kAh:
    case SecurityProtocol::kEsp:
      return size == 4;
    default:
      return true;
  }
}

Result<Proposal> parse_proposal(ByteView body) {
  ByteReader reader(body);
  const auto number = reader.u8();
  const auto protocol = reader.u8();
  const auto spi_size = reader.u8();
  const auto transform_count = reader.u8();
  if (!number || !protocol || !spi_size || !transform_count) return truncated("a proposal");
  Proposal proposal{
      .number = *number, .protocol = static_cast<SecurityProtocol>(*protocol), .spi = {}, .transforms = {}};
  if (!is_spi_size_right(proposal.protocol, *spi_size))
    return fail(ErrorCode::kMalformed, "proposal {} for {} has an SPI of {} bytes", *number,
                name(proposal.protocol), *spi_size);
  const auto spi = reader.take(*spi_size);
  if (!spi) return truncated("a proposal's SPI");
  proposal.spi = to_bytes(*spi);
  proposal.transforms.reserve(*transform_count);
  while (!reader.empty()) {
    MERLON_TRY(const Substructure transform, read_substructure(reader, kMoreTransforms, "a transform"));
    MERLON_TRY(Transform parsed, parse_transform(transform.body));
    proposal.transforms.push_back(std::move(parsed));
  }
  if (proposal.transforms.size() != *transform_count)
    return fail(ErrorCode::kMalformed, "proposal {} announces {} transforms and carries {}", *number,
                *transform_count, proposal.transforms.size());
  return proposal;
}

void encode_transform(const Transform& transform, bool last, ByteWriter& out) {
  const std::size_t start = out.size();
  out.u8(last ? kLast : kMoreTransforms);
  out.u8(0);
  out.u16(0);  // patched below
  out.u8(static_cast<std::uint8_t>(transform.type));
  out.u8(0);
  out.u16(transform.id);
  if (transform.key_length) {
    out.u16(kShortFormatBit | kKeyLengthAttribute);
    out.u16(*transform.key_length);
  }
  for (const auto& attribute : transform.unknown_attributes) {
    MERLON_ASSERT(!attribute.short_format || attribute.value.size() == 2);
    out.u16(static_cast<std::uint16_t>((attribute.short_format ? kShortFormatBit : 0U) | attribute.type));
    if (!attribute.short_format) out.u16(static_cast<std::uint16_t>(attribute.value.size()));
    out.bytes(attribute.value);
  }
  out.patch_u16(start + 2, static_cast<std::uint16_t>(out.size() - start));
}

void encode_proposal(const Proposal& proposal, bool last, ByteWriter& out) {
  const std::size_t start = out.size();
  out.u8(last ? kLast : kMoreProposals);
  out.u8(0);
  out.u16(0);  // patched below
  out.u8(proposal.number);
  out.u8(static_cast<std::uint8_t>(proposal.protocol));
  out.u8(static_cast<std::uint8_t>(proposal.spi.size()));
  out.u8(static_cast<std::uint8_t>(proposal.transforms.size()));
  out.bytes(proposal.spi);
  for (const auto& transform : proposal.transforms)
    encode_transform(transform, &transform == &proposal.transforms.back(), out);
  out.patch_u16(start + 2, static_cast<std::uint16_t>(out.size() - start));
}

}  // namespace

Transform encr_transform(EncrId id, std::optional<std::uint16_t> key_bits) {
  return {.type = TransformType::kEncr,
          .id = static_cast<std::uint16_t>(id),
          .key_length = key_bits,
          .unknown_attributes = {}};
}
Transform prf_transform(PrfId id) {
  return {.type = TransformType::kPrf,
          .id = static_cast<std::uint16_t>(id),
          .key_length = {},
          .unknown_attributes = {}};
}
Transform integ_transform(IntegId id) {
  return {.type = TransformType::kInteg,
          .id = static_cast<std::uint16_t>(id),
          .key_length = {},
          .unknown_attributes = {}};
}
Transform ke_transform(KeMethod method) {
  return {.type = TransformType::kKe,
          .id = static_cast<std::uint16_t>(method),
          .key_length = {},
          .unknown_attributes = {}};
}
Transform sn_transform(SnId id) {
  return {.type = TransformType::kSn,
          .id = static_cast<std::uint16_t>(id),
          .key_length = {},
          .unknown_attributes = {}};
}

std::string name(const Transform& transform) {
  switch (transform.type) {
    case TransformType::kEncr:
      return name(static_cast<EncrId>(transform.id), transform.key_length.value_or(0));
    case TransformType::kPrf:
      return "PRF_" + name(static_cast<PrfId>(transform.id));
    case TransformType::kInteg:
      return name(static_cast<IntegId>(transform.id));
    case TransformType::kKe:
      return name(static_cast<KeMethod>(transform.id));
    case TransformType::kSn:
      return name(static_cast<SnId>(transform.id));
    default:
      break;
  }
  if (transform.type >= TransformType::kAddKe1 && transform.type <= TransformType::kAddKe7)
    return fmt::format("{}_{}", name(transform.type), name(static_cast<KeMethod>(transform.id)));
  return fmt::format("UNKNOWN({}:{})", static_cast<unsigned>(transform.type), transform.id);
}

std::optional<Spi> Proposal::child_spi() const {
  if (spi.size() != 4) return std::nullopt;
  return Spi{*ByteReader(spi).u32()};
}

std::optional<IkeSpi> Proposal::ike_spi() const {
  if (spi.size() != 8) return std::nullopt;
  return IkeSpi{*ByteReader(spi).u64()};
}

void Proposal::set_spi(Spi value) {
  ByteWriter out;
  out.u32(value.value);
  spi = out.take();
}

void Proposal::set_spi(IkeSpi value) {
  ByteWriter out;
  out.u64(value.value);
  spi = out.take();
}

Result<SaPayload> SaPayload::parse(ByteView body) {
  ByteReader reader(body);
  SaPayload sa;
  while (!reader.empty()) {
    MERLON_TRY(const Substructure proposal, read_substructure(reader, kMoreProposals, "a proposal"));
    MERLON_TRY(Proposal parsed, parse_proposal(proposal.body));
    sa.proposals.push_back(std::move(parsed));
    // RFC 7296 3.3.1: proposals are numbered from 1 in one byte.
    if (sa.proposals.size() > 255)
      return fail(ErrorCode::kMalformed, "the SA payload has more than 255 proposals");
  }
  if (sa.proposals.empty()) return fail(ErrorCode::kMalformed, "the SA payload has no proposal");
  return sa;
}

void SaPayload::encode(ByteWriter& out) const {
  for (const auto& proposal : proposals) encode_proposal(proposal, &proposal == &proposals.back(), out);
}

}  // namespace merlon::wire
