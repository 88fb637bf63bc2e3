// The benchmark "esp": DPDK's librte_ipsec, synchronously on the CPU (cpu_crypto), IPv4 tunnel mode, with what it can do
// of what our engine does: ESN, a replay window of 1,024, ECN and DSCP copied. It asks no policy and checks no selectors,
// and is told the SA of each packet: that is left out in its favour. Of its two virtual devices, the faster for the
// algorithm counts.
#include <rte_cryptodev.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_ipsec.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_security.h>
#include <rte_version.h>

#include <cstring>
#include <map>
#include <optional>

#include "bench/esp/subject.h"

namespace merlon::bench {
namespace {

constexpr unsigned kIvOffset = sizeof(rte_crypto_op) + sizeof(rte_crypto_sym_op);
constexpr unsigned kBuffers = 8191;

struct Direction {
  rte_ipsec_session session{};
  void* sa = nullptr;
};

// One SA pair's parameters: the transforms stand in a chain of which librte_ipsec takes pointers.
struct Transforms {
  rte_crypto_sym_xform first{}, second{};
};

class DpdkSubject final : public Subject {
 public:
  DpdkSubject() {
    buffers_ = rte_pktmbuf_pool_create("buffers", kBuffers, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (buffers_ == nullptr) give_up("DPDK: no buffers");
    for (const char* name : {"crypto_aesni_mb", "crypto_aesni_gcm"}) {
      const int id = rte_cryptodev_get_dev_id(name);
      if (id < 0) continue;
      rte_cryptodev_config config{};
      config.nb_queue_pairs = 1;
      config.socket_id = 0;
      if (rte_cryptodev_configure(static_cast<std::uint8_t>(id), &config) != 0) continue;
      rte_cryptodev_qp_conf queue{};
      queue.nb_descriptors = 2048;
      if (rte_cryptodev_queue_pair_setup(static_cast<std::uint8_t>(id), 0, &queue, 0) != 0) continue;
      if (rte_cryptodev_start(static_cast<std::uint8_t>(id)) != 0) continue;
      devices_.emplace_back(static_cast<std::uint8_t>(id), name);
    }
    if (devices_.empty()) give_up("DPDK: no crypto device");
    for (std::size_t i = 0; i < sizeof key_; ++i) key_[i] = static_cast<std::uint8_t>(i * 11 + 3);
  }

  std::string set_up(Algorithm algorithm, std::uint32_t sas, Kind /*kind*/) override {
    algorithm_ = algorithm;
    if (!fastest_.contains(algorithm)) choose_device();
    if (!fastest_.contains(algorithm)) return "no device of DPDK's takes it";
    return install(fastest_[algorithm], sas);
  }
  std::string note() const override { return std::string(rte_version()) + ", " + devices_[device_].second; }

  std::uint64_t encapsulate(BurstPlan plan, bool keep) override {
    rte_mbuf* burst[kMaxBurst];
    for (std::size_t i = 0; i < plan.size(); ++i) {
      burst[i] = rte_pktmbuf_alloc(buffers_);
      if (burst[i] == nullptr) give_up("DPDK: no buffer left");
      rte_mbuf* const packet = burst[i];
      write_inner_packet(reinterpret_cast<std::uint8_t*>(
                             rte_pktmbuf_append(packet, static_cast<std::uint16_t>(plan[i].size))),
                         plan[i]);
      packet->l2_len = 0;
      packet->l3_len = sizeof(rte_ipv4_hdr);
      packet->packet_type = RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_UDP;
    }
    const std::uint64_t cycles = run(outbound_, plan, burst);
    for (std::size_t i = 0; i < plan.size(); ++i) {
      if (keep)
        kept_.emplace_back(rte_pktmbuf_mtod(burst[i], std::uint8_t*),
                           rte_pktmbuf_mtod(burst[i], std::uint8_t*) + rte_pktmbuf_data_len(burst[i]));
      rte_pktmbuf_free(burst[i]);
    }
    return cycles;
  }

  std::uint64_t decapsulate(BurstPlan plan) override {
    rte_mbuf* burst[kMaxBurst];
    for (std::size_t i = 0; i < plan.size(); ++i) {
      const auto& bytes = kept_[opened_++];
      burst[i] = rte_pktmbuf_alloc(buffers_);
      if (burst[i] == nullptr) give_up("DPDK: no buffer left");
      std::memcpy(rte_pktmbuf_append(burst[i], static_cast<std::uint16_t>(bytes.size())), bytes.data(),
                  bytes.size());
      burst[i]->l2_len = 0;
      burst[i]->l3_len = sizeof(rte_ipv4_hdr);
      burst[i]->packet_type = RTE_PTYPE_L3_IPV4 | RTE_PTYPE_TUNNEL_ESP;
    }
    const std::uint64_t cycles = run(inbound_, plan, burst);
    for (std::size_t i = 0; i < plan.size(); ++i) {
      if (rte_pktmbuf_data_len(burst[i]) != plan[i].size) give_up("DPDK: a packet came out changed");
      rte_pktmbuf_free(burst[i]);
    }
    return cycles;
  }

  void forget() override {
    kept_.clear();
    opened_ = 0;
  }

 private:
  // Runs of packets of one SA, as the library's interface wants them.
  std::uint64_t run(std::vector<Direction>& sas, BurstPlan plan, rte_mbuf** burst) {
    const std::uint64_t begin = cycles_begin();
    for (std::size_t first = 0; first < plan.size();) {
      std::size_t last = first + 1;
      while (last < plan.size() && plan[last].sa == plan[first].sa) ++last;
      const rte_ipsec_session& session = sas[plan[first].sa].session;
      const auto count = static_cast<std::uint16_t>(last - first);
      if (rte_ipsec_pkt_cpu_prepare(&session, burst + first, count) != count ||
          rte_ipsec_pkt_process(&session, burst + first, count) != count)
        give_up("DPDK: packets were lost");
      first = last;
    }
    return cycles_end() - begin;
  }

  void choose_device() {
    std::uint64_t best = UINT64_MAX;
    std::vector<PacketPlan> plan(kMaxBurst);
    for (std::size_t device = 0; device < devices_.size(); ++device) {
      if (!install(device, 1).empty()) continue;
      for (int round = 0; round < 300; ++round) {
        const std::uint64_t taken = encapsulate(plan, false);
        if (taken >= best) continue;
        best = taken;
        fastest_[algorithm_] = device;
      }
    }
  }

  std::string install(std::size_t device, std::uint32_t sas) {
    clear();
    device_ = device;
    const unsigned size = rte_cryptodev_sym_get_private_session_size(devices_[device].first);
    sessions_ = rte_cryptodev_sym_session_pool_create("sessions", sas * 2 + 64, size, 0, 0, 0);
    if (sessions_ == nullptr) return "no memory for sessions";
    outbound_.resize(sas);
    inbound_.resize(sas);
    for (std::uint32_t sa = 0; sa < sas; ++sa) {
      for (const bool out : {true, false})
        if (const std::string refused = make(out ? outbound_[sa] : inbound_[sa], sa, out); !refused.empty()) {
          clear();
          return refused;
        }
    }
    return {};
  }

  std::string make(Direction& made, std::uint32_t sa, bool out) {
    Transforms transforms;
    fill(transforms, out);
    rte_ipsec_sa_prm parameters{};
    auto& ipsec = parameters.ipsec_xform;
    ipsec.spi = 0x1000 + sa;
    ipsec.salt = 0x01020304;
    ipsec.options.esn = 1;
    ipsec.options.ecn = 1;
    ipsec.options.copy_dscp = 1;
    ipsec.direction = out ? RTE_SECURITY_IPSEC_SA_DIR_EGRESS : RTE_SECURITY_IPSEC_SA_DIR_INGRESS;
    ipsec.proto = RTE_SECURITY_IPSEC_SA_PROTO_ESP;
    ipsec.mode = RTE_SECURITY_IPSEC_SA_MODE_TUNNEL;
    ipsec.tunnel.type = RTE_SECURITY_IPSEC_TUNNEL_IPV4;
    ipsec.replay_win_sz = 1024;
    rte_ipv4_hdr outer{};
    outer.version_ihl = RTE_IPV4_VHL_DEF;
    outer.time_to_live = 64;
    outer.next_proto_id = IPPROTO_ESP;
    outer.src_addr = rte_cpu_to_be_32(RTE_IPV4(192, 0, 2, 1));
    outer.dst_addr = rte_cpu_to_be_32(RTE_IPV4(198, 51, 100, 2));
    parameters.crypto_xform = &transforms.first;
    parameters.tun.hdr_len = sizeof outer;
    parameters.tun.hdr_l3_off = 0;
    parameters.tun.next_proto = IPPROTO_IPIP;
    parameters.tun.hdr = &outer;
    const int size = rte_ipsec_sa_size(&parameters);
    if (size <= 0) return "librte_ipsec refuses the SA";
    made.sa = rte_zmalloc("sa", static_cast<std::size_t>(size), RTE_CACHE_LINE_SIZE);
    auto* const rte_sa = static_cast<rte_ipsec_sa*>(made.sa);
    if (made.sa == nullptr || rte_ipsec_sa_init(rte_sa, &parameters, static_cast<std::uint32_t>(size)) < 0)
      return "librte_ipsec refuses the SA";
    made.session.sa = rte_sa;
    made.session.type = RTE_SECURITY_ACTION_TYPE_CPU_CRYPTO;
    made.session.crypto.dev_id = devices_[device_].first;
    made.session.crypto.ses = static_cast<rte_cryptodev_sym_session*>(
        rte_cryptodev_sym_session_create(devices_[device_].first, &transforms.first, sessions_));
    if (made.session.crypto.ses == nullptr || rte_ipsec_session_prepare(&made.session) != 0)
      return std::string(devices_[device_].second) + " refuses the session";
    return {};
  }

  void fill(Transforms& transforms, bool out) {
    if (algorithm_ == Algorithm::kAes128CbcSha256) {
      auto& cipher = out ? transforms.first : transforms.second;
      auto& auth = out ? transforms.second : transforms.first;
      transforms.first.next = &transforms.second;
      cipher.type = RTE_CRYPTO_SYM_XFORM_CIPHER;
      cipher.cipher.op = out ? RTE_CRYPTO_CIPHER_OP_ENCRYPT : RTE_CRYPTO_CIPHER_OP_DECRYPT;
      cipher.cipher.algo = RTE_CRYPTO_CIPHER_AES_CBC;
      cipher.cipher.key = {key_, 16};
      cipher.cipher.iv = {kIvOffset, 16};
      auth.type = RTE_CRYPTO_SYM_XFORM_AUTH;
      auth.auth.op = out ? RTE_CRYPTO_AUTH_OP_GENERATE : RTE_CRYPTO_AUTH_OP_VERIFY;
      auth.auth.algo = RTE_CRYPTO_AUTH_SHA256_HMAC;
      auth.auth.key = {key_, 32};
      auth.auth.digest_length = 16;
      return;
    }
    auto& aead = transforms.first;
    aead.type = RTE_CRYPTO_SYM_XFORM_AEAD;
    aead.aead.op = out ? RTE_CRYPTO_AEAD_OP_ENCRYPT : RTE_CRYPTO_AEAD_OP_DECRYPT;
    aead.aead.algo = algorithm_ == Algorithm::kChacha20Poly1305 ? RTE_CRYPTO_AEAD_CHACHA20_POLY1305
                                                                : RTE_CRYPTO_AEAD_AES_GCM;
    aead.aead.key = {key_, static_cast<std::uint16_t>(algorithm_ == Algorithm::kAes128Gcm ? 16 : 32)};
    aead.aead.iv = {kIvOffset, 12};
    aead.aead.digest_length = 16;
    aead.aead.aad_length = 12;  // with ESN
  }

  void clear() {
    for (auto* sas : {&outbound_, &inbound_}) {
      for (Direction& one : *sas) {
        if (one.session.crypto.ses != nullptr)
          rte_cryptodev_sym_session_free(one.session.crypto.dev_id, one.session.crypto.ses);
        rte_free(one.sa);
      }
      sas->clear();
    }
    rte_mempool_free(sessions_);
    sessions_ = nullptr;
    forget();
  }

  rte_mempool *buffers_ = nullptr, *sessions_ = nullptr;
  std::vector<std::pair<std::uint8_t, const char*>> devices_;
  std::map<Algorithm, std::size_t> fastest_;
  std::size_t device_ = 0;
  Algorithm algorithm_ = Algorithm::kAes128Gcm;
  std::uint8_t key_[32];
  std::vector<Direction> outbound_, inbound_;
  std::vector<std::vector<std::uint8_t>> kept_;
  std::size_t opened_ = 0;
};

}  // namespace
}  // namespace merlon::bench

int main(int, char** argv) {
  // bench/run has chosen the core.
  std::vector<std::string> words = {
      argv[0], "--no-huge",     "--no-pci", "--no-telemetry",  "--no-shconf", "-m",
      "3072",  "--log-level=1", "--vdev",   "crypto_aesni_mb", "--vdev",      "crypto_aesni_gcm"};
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0)
    merlon::bench::give_up("DPDK does not start");
  merlon::bench::DpdkSubject subject;
  return merlon::bench::Rounds(subject).serve();
}
