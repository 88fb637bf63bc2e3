#include "wire/ike/id.h"

#include "base/reader.h"

namespace merlon::wire {
namespace {

// RFC 7296 3.5; ID_NULL: RFC 7619 2.2
bool is_size_right(IdType type, std::size_t size) {
  switch (type) {
    case IdType::kIpv4Addr:
      return size == 4;
    case IdType::kIpv6Addr:
      return size == 16;
    case IdType::kNull:
      return size == 0;
    default:
      return true;
  }
}

}  // namespace

Bytes encode_id_body(const Identity& identity) {
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(identity.type));
  out.zeros(3);
  out.bytes(identity.data);
  return out.take();
}

template <PayloadType type>
Result<IdPayload<type>> IdPayload<type>::parse(ByteView body) {
  ByteReader reader(body);
  const auto id_type = reader.u8();
  if (!id_type || !reader.skip(3)) return truncated("the Identification payload");
  IdPayload payload;
  payload.identity = {.type = static_cast<IdType>(*id_type), .data = to_bytes(reader.rest())};
  if (!is_size_right(payload.identity.type, payload.identity.data.size()))
    return fail(ErrorCode::kMalformed, "an identity of type {} has {} bytes", name(payload.identity.type),
                payload.identity.data.size());
  return payload;
}

template <PayloadType type>
void IdPayload<type>::encode(ByteWriter& out) const {
  out.bytes(encode_id_body(identity));
}

template struct IdPayload<PayloadType::kIdi>;
template struct IdPayload<PayloadType::kIdr>;

}  // namespace merlon::wire
