// The benchmark "scale": librte_ipsec's SAs and its table of them, and librte_acl as DPDK's own IPsec gateway uses it for policies.
#include <intel-ipsec-mb.h>
#include <rte_acl.h>
#include <rte_cryptodev.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_ipsec.h>
#include <rte_ipsec_sad.h>
#include <rte_malloc.h>

#include "bench/scale/questions.h"

namespace merlon::bench {
namespace {

constexpr std::uint32_t kMostRules = 100000;  // librte_acl's build takes minutes and gigabytes beyond

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "DPDK: %s\n", why.c_str());
  std::exit(1);
}

// What librte_acl compares, in network order.
struct FiveTuple {
  std::uint8_t protocol;
  std::uint8_t unused[3];
  std::uint32_t source, destination;
  std::uint16_t source_port, destination_port;
};
RTE_ACL_RULE_DEF(AclRule, 5);

rte_acl_field_def field(std::uint8_t type, std::uint8_t size, std::uint8_t index, std::uint8_t input,
                        std::size_t offset) {
  return {type, size, index, input, static_cast<std::uint32_t>(offset)};
}

class DpdkTables final : public Tables {
 public:
  SaMemory make_sas(std::uint32_t count) override {
    rte_ipsec_sad_destroy(sad_);
    rte_ipsec_sad_conf config{};
    config.max_sa[RTE_IPSEC_SAD_SPI_ONLY] =
        std::max<std::uint32_t>(count * 2, 64);  // its hash does not fill up
    const double before = heap_bytes();
    sad_ = rte_ipsec_sad_create("sad", &config);
    if (sad_ == nullptr) give_up("no table of SAs");
    for (std::uint32_t i = 0; i < count; ++i) {
      rte_ipsec_sad_key key{};
      key.v4.spi = spi_of(i);
      // Any aligned address stands for an SA here; what SAs cost is known by their sizes.
      if (rte_ipsec_sad_add(sad_, &key, RTE_IPSEC_SAD_SPI_ONLY,
                            reinterpret_cast<void*>(std::uintptr_t{i} * 64 + 64)) != 0)
        give_up("an SA was not taken");
    }
    const double entry = (heap_bytes() - before) / count;
    const double direction = sa_bytes() + session_bytes() + sizeof(rte_ipsec_session);
    return {2 * direction + entry, direction + entry / 2 - sizeof(gcm_key_data)};
  }

  double make_policies(std::uint32_t count) override {
    if (count > kMostRules) return -1;
    rte_acl_free(acl_);
    const double before = heap_bytes();
    rte_acl_param parameters{"acl", 0, RTE_ACL_RULE_SZ(5), count};
    acl_ = rte_acl_create(&parameters);
    if (acl_ == nullptr) return -1;
    for (std::uint32_t i = 0; i < count; ++i) {
      AclRule rule{};
      rule.data.category_mask = 1;
      rule.data.priority = static_cast<std::int32_t>(count - i);
      rule.data.userdata = i + 1;
      rule.field[1].value.u32 = RTE_IPV4(192, 168, 0, 0);
      rule.field[1].mask_range.u32 = 16;
      rule.field[2].value.u32 = 0x0a000000U + i;
      rule.field[2].mask_range.u32 = 32;
      rule.field[3].mask_range.u16 = rule.field[4].mask_range.u16 = 0xffff;
      if (rte_acl_add_rules(acl_, reinterpret_cast<rte_acl_rule*>(&rule), 1) != 0)
        give_up("a rule was not taken");
    }
    rte_acl_config config{};
    config.num_categories = 1;
    config.num_fields = 5;
    config.defs[0] = field(RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, offsetof(FiveTuple, protocol));
    config.defs[1] = field(RTE_ACL_FIELD_TYPE_MASK, 4, 1, 1, offsetof(FiveTuple, source));
    config.defs[2] = field(RTE_ACL_FIELD_TYPE_MASK, 4, 2, 2, offsetof(FiveTuple, destination));
    config.defs[3] = field(RTE_ACL_FIELD_TYPE_RANGE, 2, 3, 3, offsetof(FiveTuple, source_port));
    config.defs[4] = field(RTE_ACL_FIELD_TYPE_RANGE, 2, 4, 3, offsetof(FiveTuple, destination_port));
    if (rte_acl_build(acl_, &config) != 0) return -1;
    return (heap_bytes() - before) / count;
  }

  std::uint64_t find_sas(const std::array<std::uint32_t, kLookups>& wanted) override {
    rte_ipsec_sad_key keys[kLookups]{};
    const rte_ipsec_sad_key* pointers[kLookups];
    void* found[kLookups];
    for (std::size_t i = 0; i < kLookups; ++i) {
      keys[i].v4.spi = spi_of(wanted[i]);
      pointers[i] = &keys[i];
    }
    const std::uint64_t begin = cycles_begin();
    const int count = rte_ipsec_sad_lookup(sad_, pointers, found, kLookups);
    const std::uint64_t taken = cycles_end() - begin;
    if (count != static_cast<int>(kLookups)) give_up("an SA was not found");
    return taken;
  }

  std::uint64_t find_policies(const std::array<std::uint32_t, kLookups>& wanted) override {
    FiveTuple packets[kLookups]{};
    const std::uint8_t* pointers[kLookups];
    std::uint32_t found[kLookups];
    for (std::size_t i = 0; i < kLookups; ++i) {
      packets[i] = {17,
                    {},
                    rte_cpu_to_be_32(RTE_IPV4(192, 168, 0, 1)),
                    rte_cpu_to_be_32(0x0a000000U + wanted[i]),
                    rte_cpu_to_be_16(1111),
                    rte_cpu_to_be_16(2222)};
      pointers[i] = reinterpret_cast<const std::uint8_t*>(&packets[i]);
    }
    const std::uint64_t begin = cycles_begin();
    rte_acl_classify(acl_, pointers, found, kLookups, 1);
    const std::uint64_t taken = cycles_end() - begin;
    for (std::size_t i = 0; i < kLookups; ++i)
      if (found[i] != wanted[i] + 1) give_up("a policy was not found");
    return taken;
  }

 private:
  static std::uint32_t spi_of(std::uint32_t number) { return rte_cpu_to_be_32(0x1000 + number * 977); }

  static double heap_bytes() {
    rte_malloc_socket_stats stats{};
    rte_malloc_get_socket_stats(0, &stats);
    return static_cast<double>(stats.heap_allocsz_bytes);
  }

  static double session_bytes() {
    const int device = rte_cryptodev_get_dev_id("crypto_aesni_gcm");
    if (device < 0) give_up("no crypto device");
    return rte_cryptodev_sym_get_private_session_size(static_cast<std::uint8_t>(device));
  }
  static double sa_bytes() {
    rte_ipsec_sa_prm parameters{};
    parameters.ipsec_xform.options.esn = 1;
    parameters.ipsec_xform.direction = RTE_SECURITY_IPSEC_SA_DIR_INGRESS;  // with a window
    parameters.ipsec_xform.proto = RTE_SECURITY_IPSEC_SA_PROTO_ESP;
    parameters.ipsec_xform.mode = RTE_SECURITY_IPSEC_SA_MODE_TUNNEL;
    parameters.ipsec_xform.tunnel.type = RTE_SECURITY_IPSEC_TUNNEL_IPV4;
    parameters.ipsec_xform.replay_win_sz = 1024;
    parameters.tun.next_proto = IPPROTO_IPIP;
    const int inbound = rte_ipsec_sa_size(&parameters);
    parameters.ipsec_xform.direction = RTE_SECURITY_IPSEC_SA_DIR_EGRESS;
    const int outbound = rte_ipsec_sa_size(&parameters);
    if (inbound <= 0 || outbound <= 0) give_up("no SA");
    return (inbound + outbound) / 2.0;
  }

  rte_ipsec_sad* sad_ = nullptr;
  rte_acl_ctx* acl_ = nullptr;
};

}  // namespace
}  // namespace merlon::bench

int main(int, char** argv) {
  std::vector<std::string> words = {
      argv[0], "--no-huge", "--no-pci",      "--no-telemetry", "--no-shconf",
      "-m",    "3072",      "--log-level=1", "--vdev",         "crypto_aesni_gcm"};
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0) return 1;
  return merlon::bench::DpdkTables().serve();
}
