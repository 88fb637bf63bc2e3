#include "esp/sa.h"

#include <algorithm>
#include <new>

#include "base/large_memory.h"
#include "wire/esp.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"

namespace merlon::esp {
namespace {

// What the cipher and the child have to say.
TunnelSizes sizes_of(const crypto::PacketCipher& cipher, const policy::EspAlgorithms& algorithms,
                     const policy::ChildConfig& child) {
  TunnelSizes sizes;
  sizes.tunnel_mtu = static_cast<std::uint16_t>(std::min(child.tunnel_mtu, 65535U));
  sizes.alignment = static_cast<std::uint8_t>(std::max<std::size_t>(cipher.block_size(), 4));
  sizes.iv = static_cast<std::uint8_t>(cipher.iv_size());
  sizes.icv = static_cast<std::uint8_t>(cipher.icv_size());
  sizes.in_lanes = algorithms.integ != IntegId::kNone;
  return sizes;
}

TunnelSizes moved(TunnelSizes sizes, const policy::OuterPath& path) {
  sizes.over_ipv6 = path.remote.address.is_v6();
  const std::size_t outer = (sizes.over_ipv6 ? wire::kIpv6HeaderSize : wire::kIpv4HeaderSize) +
                            (path.udp_encapsulation ? wire::kUdpHeaderSize : 0);
  sizes.overhead = static_cast<std::uint16_t>(outer + wire::kEspHeaderSize + sizes.iv + sizes.icv);
  return sizes;
}

// `to` has everything but the path.
void move_to(InboundSa& to, const policy::OuterPath& path, TunnelSizes sizes) {
  to.udp_encapsulation = path.udp_encapsulation;
  to.remote = CompactEndpoint(path.remote);
  to.sizes = moved(sizes, path);
}
void move_to(OutboundSa& to, const policy::OuterPath& path, TunnelSizes sizes) {
  to.udp_encapsulation = path.udp_encapsulation;
  to.local = CompactEndpoint(path.local);
  to.remote = CompactEndpoint(path.remote);
  to.sizes = moved(sizes, path);
}

std::size_t window_bytes(const ReplayWindow& window) {
  return ReplayWindow::words_for(window.size()) * sizeof(std::uint64_t);
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

// --- memory

SaMaterial::SaMaterial(unsigned replay_window)
    : inbound_state(replay_window, reinterpret_cast<std::uint64_t*>(this + 1)) {
  outbound.material = inbound.material = this;
}

std::unique_ptr<SaMaterial> SaMaterial::make(unsigned replay_window) {
  const std::size_t words = ReplayWindow::words_for(replay_window);
  void* const memory = allocate_in_slab(sizeof(SaMaterial) + words * sizeof(std::uint64_t));
  auto* const bits =
      reinterpret_cast<std::uint64_t*>(static_cast<std::uint8_t*>(memory) + sizeof(SaMaterial));
  std::uninitialized_fill_n(bits, words, 0);
  return std::unique_ptr<SaMaterial>(::new (memory) SaMaterial(replay_window));
}

SaMaterial::~SaMaterial() {
  delete outbound.cipher;
  delete inbound.cipher;
}

void SaMaterial::operator delete(SaMaterial* material, std::destroying_delete_t /*tag*/) {
  const std::size_t bytes = sizeof(SaMaterial) + window_bytes(material->inbound_state.window);
  material->~SaMaterial();
  release_in_slab(material, bytes);
}

// --- SAs

Result<std::unique_ptr<SaMaterial>> make_material(const policy::ChildSa& sa, const SaParameters& parameters,
                                                  const SaRules& rules) {
  const crypto::EspTransform transform{sa.algorithms.encr, sa.algorithms.key_bits, sa.algorithms.integ};
  const auto cipher_of = [&](const policy::DirectionKeys& keys) {
    return crypto::PacketCipher::create(transform, sa.algorithms.esn, keys.encryption.bytes(),
                                        keys.integrity.bytes());
  };
  const policy::ChildConfig& child = sa.child();
  MERLON_TRY(auto inbound_cipher, cipher_of(sa.inbound));
  MERLON_TRY(auto outbound_cipher, cipher_of(sa.outbound));
  auto material = SaMaterial::make(child.replay_window);
  const TunnelSizes sizes = sizes_of(*outbound_cipher, sa.algorithms, child);
  material->outbound_state.rules = &rules;
  material->outbound_state.last_sequence = parameters.first_sequence - 1;
  material->outbound_state.path_mtu.store(parameters.path_mtu, std::memory_order_relaxed);

  InboundSa& inbound = material->inbound;
  inbound.spi = sa.inbound_spi;
  inbound.owner = parameters.owner;
  inbound.esn = sa.algorithms.esn;
  inbound.tcp_mss_clamp = child.tcp_mss_clamp;
  inbound.id = sa.id;
  inbound.footprint = inbound_cipher->footprint();
  inbound.cipher = inbound_cipher.release();
  inbound.plain = PlainSelectors::of(rules.local_ts, rules.remote_ts);
  move_to(inbound, sa.path, sizes);

  OutboundSa& outbound = material->outbound;
  outbound.spi = sa.outbound_spi;
  outbound.owner = parameters.owner;
  outbound.copy_dscp = child.copy_dscp;
  outbound.tcp_mss_clamp = child.tcp_mss_clamp;
  outbound.esn = sa.algorithms.esn;
  outbound.use_outbound = sa.use_outbound;
  outbound.copies_df = child.df == policy::DfBit::kCopy;
  outbound.clears_df = child.df == policy::DfBit::kClear;
  outbound.is_bound = sa.resource.has_value();
  outbound.id = sa.id;
  outbound.footprint = outbound_cipher->footprint();
  outbound.cipher = outbound_cipher.release();
  move_to(outbound, sa.path, sizes);
  return material;
}

std::unique_ptr<InboundSa> moved(const InboundSa& sa, const policy::OuterPath& path) {
  auto out = std::make_unique<InboundSa>(sa);
  move_to(*out, path, sa.sizes);
  return out;
}

std::unique_ptr<OutboundSa> moved(const OutboundSa& sa, const policy::OuterPath& path, bool use_outbound) {
  auto out = std::make_unique<OutboundSa>();
  out->spi = sa.spi;
  out->owner = sa.owner;
  out->copy_dscp = sa.copy_dscp;
  out->tcp_mss_clamp = sa.tcp_mss_clamp;
  out->esn = sa.esn;
  out->use_outbound = use_outbound;
  out->is_bound = sa.is_bound;
  out->copies_df = sa.copies_df;
  out->clears_df = sa.clears_df;
  out->id = sa.id;
  out->footprint = sa.footprint;
  out->cipher = sa.cipher;
  out->material = sa.material;
  move_to(*out, path, sa.sizes);
  return out;
}

}  // namespace merlon::esp
