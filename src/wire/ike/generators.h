// rapidcheck makes any payload that a sender could make. Call inside a property only.
#pragma once

#include <algorithm>

#include "wire/ike/message.h"
#include "wire/test_support.h"

namespace merlon::wire::test {

inline TransformAttribute any_attribute() {
  const bool short_format = number<bool>();
  return {.type = *rc::gen::inRange<std::uint16_t>(0, 0x8000),
          .short_format = short_format,
          .value = short_format ? bytes_between(2, 2) : bytes_between(0, 9)};
}

inline Transform any_transform() {
  Transform transform;
  transform.type = static_cast<TransformType>(*rc::gen::inRange<int>(0, 20));
  transform.id = number<std::uint16_t>();
  if (number<bool>()) transform.key_length = number<std::uint16_t>();
  const auto attributes = *rc::gen::inRange(0, 3);
  for (int i = 0; i < attributes; ++i) {
    auto attribute = any_attribute();
    // A first Key Length in the short format would be read as just that.
    if (attribute.type == kKeyLengthAttribute && !transform.key_length) attribute.type = 15;
    transform.unknown_attributes.push_back(std::move(attribute));
  }
  return transform;
}

inline Proposal any_proposal() {
  Proposal proposal;
  proposal.number = number<std::uint8_t>();
  proposal.protocol = *rc::gen::element(SecurityProtocol::kIke, SecurityProtocol::kAh, SecurityProtocol::kEsp,
                                        SecurityProtocol{77});
  if (proposal.protocol == SecurityProtocol::kIke)
    proposal.spi = number<bool>() ? bytes_between(8, 8) : Bytes{};
  else
    proposal.spi = proposal.protocol == SecurityProtocol{77} ? bytes_between(0, 20) : bytes_between(4, 4);
  const auto count = *rc::gen::inRange(0, 5);
  for (int i = 0; i < count; ++i) proposal.transforms.push_back(any_transform());
  return proposal;
}

inline SaPayload any_sa() {
  SaPayload sa;
  const auto count = *rc::gen::inRange(1, 4);
  for (int i = 0; i < count; ++i) sa.proposals.push_back(any_proposal());
  return sa;
}

inline KePayload any_ke() {
  return {.method = static_cast<KeMethod>(number<std::uint16_t>()), .data = bytes_between(0, 64)};
}

inline Identity any_identity() {
  switch (*rc::gen::inRange(0, 5)) {
    case 0:
      return {.type = IdType::kIpv4Addr, .data = bytes_between(4, 4)};
    case 1:
      return {.type = IdType::kIpv6Addr, .data = bytes_between(16, 16)};
    case 2:
      return {.type = IdType::kNull, .data = {}};
    case 3:
      return {.type = IdType::kFqdn, .data = to_bytes(as_bytes("gw.example.com"))};
    default:
      return {.type = *rc::gen::element(IdType::kKeyId, IdType::kDerAsn1Dn, IdType::kRfc822Addr, IdType{200}),
              .data = bytes_between(0, 40)};
  }
}

template <class T>
T any_id() {
  T payload;
  payload.identity = any_identity();
  return payload;
}

inline TrafficSelector any_selector() {
  const auto family = number<bool>() ? IpFamily::kIpv4 : IpFamily::kIpv6;
  TrafficSelector selector;
  selector.protocol = number<std::uint8_t>();
  selector.start_address = any_address(family);
  selector.end_address = any_address(family);
  if (selector.start_address > selector.end_address) std::swap(selector.start_address, selector.end_address);
  selector.start_port = number<std::uint16_t>();
  selector.end_port = number<std::uint16_t>();
  if (selector.start_port > selector.end_port) std::swap(selector.start_port, selector.end_port);
  if (number<std::uint8_t>() == 0) {
    selector.start_port = 65535;
    selector.end_port = 0;
  }
  return selector;
}

template <class T>
T any_ts() {
  T ts;
  const auto count = *rc::gen::inRange(1, 5);
  for (int i = 0; i < count; ++i) ts.selectors.push_back(any_selector());
  if (number<bool>())
    ts.unknown.push_back({.type = *rc::gen::element(TsType::kFcAddrRange, TsType::kSecLabel, TsType{99}),
                          .body = bytes_between(0, 30)});
  return ts;
}

inline NotifyPayload any_notify() {
  return {.type = static_cast<NotifyType>(number<std::uint16_t>()),
          .protocol = static_cast<SecurityProtocol>(number<std::uint8_t>()),
          .spi = bytes_between(0, 8),
          .data = bytes_between(0, 40)};
}

inline DeletePayload any_delete() {
  DeletePayload payload;
  payload.protocol = *rc::gen::element(SecurityProtocol::kIke, SecurityProtocol::kAh, SecurityProtocol::kEsp);
  if (payload.protocol == SecurityProtocol::kIke) return payload;
  const auto count = *rc::gen::inRange(0, 10);
  for (int i = 0; i < count; ++i) payload.spis.push_back({number<std::uint32_t>()});
  return payload;
}

inline CpPayload any_cp() {
  CpPayload cp;
  cp.cfg_type = static_cast<CfgType>(number<std::uint8_t>());
  const auto count = *rc::gen::inRange(0, 5);
  for (int i = 0; i < count; ++i)
    cp.attributes.push_back(
        {.type = static_cast<CfgAttributeType>(*rc::gen::inRange<std::uint16_t>(0, 0x8000)),
         .value = bytes_between(0, 20)});
  return cp;
}

inline EapPayload any_eap() {
  Bytes message = bytes_between(4, 40);
  message[2] = 0;
  message[3] = static_cast<std::uint8_t>(message.size());
  return {.message = std::move(message)};
}

inline CertPayload any_cert() {
  return {.encoding = static_cast<CertEncoding>(number<std::uint8_t>()), .data = bytes_between(0, 60)};
}
inline CertreqPayload any_certreq() {
  return {.encoding = static_cast<CertEncoding>(number<std::uint8_t>()), .authorities = bytes_between(0, 60)};
}
inline AuthPayload any_auth() {
  return {.method = static_cast<AuthMethod>(number<std::uint8_t>()), .data = bytes_between(0, 60)};
}
inline NoncePayload any_nonce() {
  return {.data = bytes_between(16, 64)};
}
inline VendorIdPayload any_vendor_id() {
  return {.data = bytes_between(0, 30)};
}
inline UnknownPayload any_unknown() {
  return {
      .type = static_cast<PayloadType>(*rc::gen::element<std::uint8_t>(1, 32, 49, 50, 51, 52, 54, 128, 255)),
      .body = bytes_between(0, 30)};
}

inline SkPayload any_sk() {
  SkPayload sk;
  sk.first_payload = static_cast<PayloadType>(number<std::uint8_t>());
  sk.body = bytes_between(0, 80);
  return sk;
}

inline SkfPayload any_skf() {
  SkfPayload skf;
  skf.first_payload = static_cast<PayloadType>(number<std::uint8_t>());
  skf.total_fragments = *rc::gen::inRange<std::uint16_t>(1, 1000);
  skf.fragment_number =
      *rc::gen::inRange<std::uint16_t>(1, static_cast<std::uint16_t>(skf.total_fragments + 1));
  skf.body = bytes_between(0, 80);
  return skf;
}

// Any payload but SK and SKF.
inline Payload any_plain_payload() {
  Payload payload = []() -> Payload {
    switch (*rc::gen::inRange(0, 16)) {
      case 0:
        return any_sa();
      case 1:
        return any_ke();
      case 2:
        return any_id<IdiPayload>();
      case 3:
        return any_id<IdrPayload>();
      case 4:
        return any_cert();
      case 5:
        return any_certreq();
      case 6:
        return any_auth();
      case 7:
        return any_nonce();
      case 8:
        return any_notify();
      case 9:
        return any_delete();
      case 10:
        return any_vendor_id();
      case 11:
        return any_ts<TsiPayload>();
      case 12:
        return any_ts<TsrPayload>();
      case 13:
        return any_cp();
      case 14:
        return any_eap();
      default:
        return any_unknown();
    }
  }();
  const bool critical = number<bool>();
  std::visit(
      [critical](auto& typed) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(typed)>, UnknownPayload>)
          typed.critical = critical;
      },
      payload);
  return payload;
}

inline std::vector<Payload> any_plain_payloads() {
  std::vector<Payload> payloads;
  const auto count = *rc::gen::inRange(0, 6);
  for (int i = 0; i < count; ++i) payloads.push_back(any_plain_payload());
  return payloads;
}

inline IkeHeader any_header() {
  IkeHeader header;
  header.initiator_spi = {number<std::uint64_t>()};
  header.responder_spi = {number<std::uint64_t>()};
  header.minor = *rc::gen::inRange<std::uint8_t>(0, 16);
  header.exchange_type = static_cast<ExchangeType>(number<std::uint8_t>());
  header.flags = {.initiator = number<bool>(), .version = number<bool>(), .response = number<bool>()};
  header.message_id = {number<std::uint32_t>()};
  return header;
}

template <class T>
Bytes body_of(const T& payload) {
  ByteWriter out;
  payload.encode(out);
  return out.take();
}

// The property every payload's codec has.
template <class T>
void check_round_trip(const T& payload) {
  const auto parsed = T::parse(body_of(payload));
  if (!parsed) RC_FAIL(parsed.error().message);
  RC_ASSERT(*parsed == payload);
}

// Parses every prefix of a body; `fixed` is how many bytes cannot be missing.
template <class T>
void check_truncations(ByteView body, std::size_t fixed) {
  ASSERT_TRUE(T::parse(body));
  for (std::size_t size = 0; size < body.size(); ++size) {
    const auto parsed = T::parse(prefix(body, size));
    if (size < fixed) {
      EXPECT_FALSE(parsed) << size;
    }
  }
}

}  // namespace merlon::wire::test
