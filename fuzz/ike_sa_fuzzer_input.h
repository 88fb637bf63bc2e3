// What the bytes of an input say to ike_sa_fuzzer: payloads that mean something.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "fuzz/input.h"
#include "policy/connection.h"
#include "policy/proposal_select.h"
#include "wire/ike/message.h"
#include "wire/ike/notify_data.h"

namespace merlon::fuzz {

// What payloads may name so that they mean something: the SAs that live, and the configuration.
struct Surroundings {
  const policy::Connection* of_peer = nullptr;  // the peer's side of the connection
  std::vector<Spi> spis;                        // of Child SAs that live, both halves
  std::vector<IkeSpi> ike_spis;
  Bytes public_value;  // a good one for X25519
};

inline wire::TrafficSelector selector(Input& input) {
  wire::TrafficSelector made;
  made.protocol = input.u8();
  made.start_port = input.u16();
  made.end_port = input.u16();
  const auto start = 0x0a000000U | (input.u32() & 0xffffffU), end = 0x0a000000U | (input.u32() & 0xffffffU);
  made.start_address = IpAddress::v4(std::min(start, end));
  made.end_address = IpAddress::v4(std::max(start, end));
  return made;
}

inline policy::TrafficSelectors selectors(Input& input, const policy::TrafficSelectors& usual) {
  const auto how = input.u8();
  if (how % 4 != 3) return usual;
  policy::TrafficSelectors made;
  for (unsigned i = 0; i <= how / 64U; ++i) made.push_back(selector(input));
  return made;
}

inline std::optional<Spi> some_spi(Input& input, const Surroundings& around) {
  const auto how = input.u8();
  if (!around.spis.empty() && how < 0xe0) return around.spis[how % around.spis.size()];
  return Spi{input.u32()};
}

inline wire::SaPayload proposals(Input& input, const Surroundings& around, bool for_ike) {
  wire::Proposal with_spi;
  if (for_ike)
    with_spi.set_spi(IkeSpi{
        std::uint64_t{input.u32()} << 32U | 1U  // odd: see Host::is_ours
    });
  else
    with_spi.set_spi(Spi{input.u32()});
  const auto how = input.u8();
  if ((how & 0x40U) != 0) with_spi.spi.clear();
  wire::SaPayload made;
  made.proposals =
      for_ike ? policy::ike_offer(around.of_peer->ike_proposals, with_spi.spi)
              : policy::esp_offer(around.of_peer->children.front().proposals, with_spi.spi, (how & 1U) != 0);
  if ((how & 0x80U) == 0) return made;
  auto& transforms = made.proposals[input.u8() % made.proposals.size()].transforms;
  if (transforms.empty()) return made;
  auto& one = transforms[input.u8() % transforms.size()];
  one.type = static_cast<TransformType>(input.u8() % 8);
  one.id = input.u16();
  if ((how & 2U) != 0) one.key_length = input.u16();
  if ((how & 4U) != 0) one.unknown_attributes.push_back({input.u16(), true, {0, 1}});
  return made;
}

inline wire::NotifyType notify_type(Input& input) {
  using enum wire::NotifyType;
  constexpr std::array kUsual = {kInvalidKePayload,
                                 kTemporaryFailure,
                                 kChildSaNotFound,
                                 kNoAdditionalSas,
                                 kAuthenticationFailed,
                                 kNoProposalChosen,
                                 kTsUnacceptable,
                                 kSinglePairRequired,
                                 kInitialContact,
                                 kCookie,
                                 kInvalidIkeSpi,
                                 kInvalidSyntax,
                                 kIkev2FragmentationSupported,
                                 kSignatureHashAlgorithms,
                                 kNatDetectionSourceIp,
                                 kNatDetectionDestinationIp};
  const auto how = input.u8();
  return how < 0xf0 ? kUsual[how % kUsual.size()] : static_cast<wire::NotifyType>(input.u16());
}

inline wire::Payload payload(Input& input, const Surroundings& around) {
  const auto& child = around.of_peer->children.front();
  switch (input.u8() % 18) {
    case 0:
      return proposals(input, around, false);
    case 1:
      return proposals(input, around, true);
    case 2:
      return wire::NoncePayload{Bytes(std::size_t{input.u8()} + 16, input.u8()), false};
    case 3: {
      const auto how = input.u8();
      if (how < 0xc0) return wire::KePayload{KeMethod::kCurve25519, around.public_value, false};
      return wire::KePayload{static_cast<KeMethod>(input.u16()), Bytes(input.u8(), input.u8()), false};
    }
    case 4:
      return wire::TsiPayload{selectors(input, child.local_ts), {}, false};
    case 5:
      return wire::TsrPayload{selectors(input, child.remote_ts), {}, false};
    case 6:
      return wire::make_rekey_sa({SecurityProtocol::kEsp, *some_spi(input, around)});
    case 7: {
      wire::DeletePayload made{SecurityProtocol::kEsp, {}, false};
      for (unsigned number = input.u8() % 4U + 1; number > 0; --number)
        made.spis.push_back(*some_spi(input, around));
      return made;
    }
    case 8:
      return wire::DeletePayload{};
    case 9:
      return wire::make_notify(notify_type(input), input.string());
    case 10:
      return wire::make_child_sa_not_found({SecurityProtocol::kEsp, *some_spi(input, around)});
    case 11:
      return wire::IdiPayload{around.of_peer->local_auth.front().id, false};
    case 12:
      return wire::IdrPayload{around.of_peer->local_auth.front().id, false};
    case 13:
      return wire::AuthPayload{static_cast<AuthMethod>(input.u8() % 16), input.string(), false};
    case 14:
      return wire::CertPayload{static_cast<CertEncoding>(input.u8() % 18), input.string(), false};
    case 15:
      return wire::CertreqPayload{static_cast<CertEncoding>(input.u8() % 18), input.string(), false};
    case 16:
      return wire::make_invalid_ke_payload(static_cast<KeMethod>(input.u8() % 40));
    default: {
      const auto type = static_cast<wire::PayloadType>(200 + input.u8() % 20);
      return wire::UnknownPayload{type, input.string(), (input.u8() & 1U) != 0};
    }
  }
}

inline std::vector<wire::Payload> payloads(Input& input, const Surroundings& around) {
  std::vector<wire::Payload> made;
  while (!input.empty() && made.size() < 24) made.push_back(payload(input, around));
  return made;
}

// A good answer to IKE_SA_INIT (RFC 7296 1.2), for what follows in the input to change.
inline void answer_init(std::vector<wire::Payload>& made, const Surroundings& around) {
  wire::SaPayload chosen;
  chosen.proposals = policy::ike_offer(around.of_peer->ike_proposals, {});
  made.emplace_back(std::move(chosen));
  made.emplace_back(wire::KePayload{KeMethod::kCurve25519, around.public_value, false});
  made.emplace_back(wire::NoncePayload{Bytes(32, 7), false});
  made.emplace_back(wire::make_notify(wire::NotifyType::kIkev2FragmentationSupported));
  made.emplace_back(wire::make_signature_hash_algorithms({HashId::kSha2_256, HashId::kIdentity}));
}

// The payloads that each request needs, so that what follows in the input only changes them.
inline void start_with(std::vector<wire::Payload>& made, std::uint8_t how, const Surroundings& around) {
  const auto& child = around.of_peer->children.front();
  wire::Proposal with_spi;
  if (how % 4 == 1 || how % 4 == 2) {  // a new Child SA, or the rekey of one
    with_spi.set_spi(Spi{0x30000000U + how});
    if (how % 4 == 2 && !around.spis.empty())
      made.emplace_back(
          wire::make_rekey_sa({SecurityProtocol::kEsp, around.spis[(how / 4U) % around.spis.size()]}));
    made.emplace_back(wire::SaPayload{policy::esp_offer(child.proposals, with_spi.spi, true), false});
    made.emplace_back(wire::NoncePayload{Bytes(32, how), false});
    if (!policy::ke_methods(child.proposals).empty())
      made.emplace_back(wire::KePayload{KeMethod::kCurve25519, around.public_value, false});
    made.emplace_back(wire::TsiPayload{child.local_ts, {}, false});
    made.emplace_back(wire::TsrPayload{child.remote_ts, {}, false});
  } else if (how % 4 == 3) {  // the rekey of the IKE SA
    with_spi.set_spi(IkeSpi{0x5151515151515101U + 2U * how});
    made.emplace_back(wire::SaPayload{policy::ike_offer(around.of_peer->ike_proposals, with_spi.spi), false});
    made.emplace_back(wire::NoncePayload{Bytes(32, how), false});
    made.emplace_back(wire::KePayload{KeMethod::kCurve25519, around.public_value, false});
  }
}

}  // namespace merlon::fuzz
