#include "esp/sa.h"

#include <algorithm>

#include "wire/esp.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"

namespace merlon::esp {
namespace {

// RFC 791 asks every host to take 576 bytes; a smaller path MTU is more likely an attack than a path.
constexpr std::size_t kIpv4MtuFloor = 576;

SaLimits limits_of(const policy::ChildSa& sa) {
  const auto or_none = [](std::uint64_t limit) { return limit == 0 ? UINT64_MAX : limit; };
  return {or_none(sa.soft_bytes), or_none(sa.hard_bytes), or_none(sa.soft_packets), or_none(sa.hard_packets)};
}

crypto::EspTransform transform_of(const policy::EspAlgorithms& algorithms) {
  return {algorithms.encr, algorithms.key_bits, algorithms.integ};
}

TunnelSizes sizes_of(const policy::ChildSa& sa, const crypto::PacketCipher& cipher) {
  const bool v4 = sa.path.remote.address.is_v4();
  const std::size_t outer = (v4 ? wire::kIpv4HeaderSize : wire::kIpv6HeaderSize) +
                            (sa.path.udp_encapsulation ? wire::kUdpHeaderSize : 0);
  TunnelSizes sizes;
  sizes.overhead =
      static_cast<std::uint16_t>(outer + wire::kEspHeaderSize + cipher.iv_size() + cipher.icv_size());
  sizes.mtu_floor = static_cast<std::uint16_t>(v4 ? kIpv4MtuFloor : wire::kIpv6MinimumMtu);
  sizes.tunnel_mtu = static_cast<std::uint16_t>(std::min(sa.child().tunnel_mtu, 65535U));
  sizes.alignment = static_cast<std::uint8_t>(std::max<std::size_t>(cipher.block_size(), 4));
  sizes.iv = static_cast<std::uint8_t>(cipher.iv_size());
  sizes.icv = static_cast<std::uint8_t>(cipher.icv_size());
  return sizes;
}

}  // namespace

PlainSelectors PlainSelectors::of(policy::SelectorView local, policy::SelectorView remote) {
  const auto is_plain = [](policy::SelectorView selectors) {
    return selectors.size() == 1 && selectors[0].protocol == 0 && selectors[0].is_any_port() &&
           selectors[0].start_address.is_v4() && selectors[0].end_address.is_v4();
  };
  if (!is_plain(local) || !is_plain(remote)) return {};
  return {number(local[0].start_address), number(local[0].end_address), number(remote[0].start_address),
          number(remote[0].end_address)};
}

Result<std::unique_ptr<SaMaterial>> make_material(const policy::ChildSa& sa, const SaParameters& parameters) {
  const crypto::EspTransform transform = transform_of(sa.algorithms);
  const auto cipher_of = [&](const policy::DirectionKeys& keys) {
    return crypto::PacketCipher::create(transform, sa.algorithms.esn, keys.encryption.bytes(),
                                        keys.integrity.bytes());
  };
  auto material = std::make_unique<SaMaterial>(sa.child().replay_window, parameters.path_mtu);
  MERLON_TRY(material->inbound_cipher, cipher_of(sa.inbound));
  MERLON_TRY(material->outbound_cipher, cipher_of(sa.outbound));
  material->outbound_state.last_sequence = parameters.first_sequence - 1;
  material->algorithms = sa.algorithms;
  material->rules.connection = sa.connection;
  material->rules.child_index = sa.child_index;
  material->rules.local_ts = sa.local_ts;
  material->rules.remote_ts = sa.remote_ts;
  material->rules.limits = limits_of(sa);
  return material;
}

std::shared_ptr<const InboundSa> make_inbound(const policy::ChildSa& sa, const SaParameters& parameters,
                                              SaMaterial& material) {
  auto inbound = std::make_shared<InboundSa>();
  inbound->spi = sa.inbound_spi;
  inbound->owner = parameters.owner;
  inbound->esn = sa.algorithms.esn;
  inbound->udp_encapsulation = sa.path.udp_encapsulation;
  inbound->tcp_mss_clamp = sa.child().tcp_mss_clamp;
  inbound->id = sa.id;
  inbound->cipher = material.inbound_cipher.get();
  inbound->mutable_part = &material.inbound_state;
  inbound->rules = &material.rules;
  inbound->sizes = sizes_of(sa, *material.outbound_cipher);
  inbound->remote = sa.path.remote;
  inbound->plain = PlainSelectors::of(material.rules.local_ts, material.rules.remote_ts);
  inbound->path_mtu = &material.outbound_state.path_mtu;
  return inbound;
}

std::shared_ptr<const OutboundSa> make_outbound(const policy::ChildSa& sa, const SaParameters& parameters,
                                                SaMaterial& material) {
  auto outbound = std::make_shared<OutboundSa>();
  outbound->spi = sa.outbound_spi;
  outbound->owner = parameters.owner;
  outbound->udp_encapsulation = sa.path.udp_encapsulation;
  outbound->random_iv = sa.algorithms.encr == EncrId::kAesCbc;
  outbound->copy_dscp = sa.child().copy_dscp;
  outbound->tcp_mss_clamp = sa.child().tcp_mss_clamp;
  outbound->df = sa.child().df;
  outbound->is_bound = sa.worker.has_value();
  outbound->id = sa.id;
  outbound->cipher = material.outbound_cipher.get();
  outbound->mutable_part = &material.outbound_state;
  outbound->rules = &material.rules;
  // RFC 4303 3.3.3: a sequence number is never sent twice, so the last one ends the SA. The rekey is asked
  // for when an eighth is left.
  outbound->sequence_limit =
      std::min(parameters.sequence_limit, sa.algorithms.esn ? UINT64_MAX : std::uint64_t{UINT32_MAX});
  outbound->soft_sequence_limit =
      std::max<std::uint64_t>(outbound->sequence_limit - outbound->sequence_limit / 8, 1);
  outbound->sizes = sizes_of(sa, *material.outbound_cipher);
  outbound->local = sa.path.local;
  outbound->remote = sa.path.remote;
  return outbound;
}

}  // namespace merlon::esp
