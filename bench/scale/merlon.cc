// The benchmark "scale": our SA table and SPD.
#include <fmt/format.h>

#include <deque>

#include "base/rng.h"
#include "bench/allocations.h"
#include "bench/scale/questions.h"
#include "bench/trouble.h"
#include "crypto/packet_cipher.h"
#include "esp/engine.h"
#include "esp/sa_table.h"
#include "policy/spd.h"

#ifdef MERLON_HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

namespace merlon::bench {
namespace {

const policy::EspAlgorithms kAlgorithms{EncrId::kAesGcm16, 128, IntegId::kNone, true};

// Of the back end that the engine uses on this machine: bytes.
double key_schedule() {
  constexpr double kOfOurKernel =
      640;  // 15 round keys and 20 powers of H, whole cache lines (crypto/README.md)
  const Bytes key(20);
  const auto cipher = value(crypto::PacketCipher::create(
      {kAlgorithms.encr, kAlgorithms.key_bits, kAlgorithms.integ}, kAlgorithms.esn, key, {}));
  if (cipher->backend() == crypto::PacketBackend::kVaes) return kOfOurKernel;
#ifdef MERLON_HAVE_IPSEC_MB
  if (cipher->backend() == crypto::PacketBackend::kIpsecMb) return sizeof(gcm_key_data);
#endif
  return 0;
}

class MerlonTables final : public Tables {
 public:
  SaMemory make_sas(std::uint32_t count) override {
    engine_.reset();
    table_.reset();
    connections_.clear();
    make_connections(count);
    const std::int64_t before = bytes_in_use(Owner::kResponder);
    esp::EngineConfig config;
    config.sa_capacity = std::max<std::size_t>(count, 64);
    {
      const Under counted(Owner::kResponder);
      engine_ = std::make_unique<esp::DataPlane>(config, pool_, rng_);
    }
    // What stands there for a policy, whether or not it has SAs, is not the SAs'.
    engine_->set_spd(std::make_shared<policy::Spd>(policy::build_spd(connections_)));
    for (std::uint32_t i = 0; i < count; ++i) install(i);
    const auto pair = static_cast<double>(bytes_in_use(Owner::kResponder) - before) / count;
    fill_table(count);
    return {pair, pair / 2 - key_schedule()};
  }

  double make_policies(std::uint32_t count) override {
    spd_.reset();
    connections_.clear();
    make_connections(count);
    const std::int64_t before = bytes_in_use(Owner::kResponder);
    const Under counted(Owner::kResponder);
    spd_ = std::make_unique<policy::Spd>(policy::build_spd(connections_));
    return static_cast<double>(bytes_in_use(Owner::kResponder) - before) / count;
  }

  std::uint64_t find_sas(const std::array<std::uint32_t, kLookups>& wanted) override {
    std::array<Spi, kLookups> spis;
    std::array<const esp::InboundSa*, kLookups> found;
    for (std::size_t i = 0; i < kLookups; ++i) spis[i] = spis_[wanted[i]];
    const std::uint64_t begin = cycles_begin();
    for (std::size_t i = 0; i < kLookups; ++i) found[i] = table_->find(spis[i]);
    const std::uint64_t taken = cycles_end() - begin;
    for (const auto* sa : found)
      if (sa == nullptr) give_up("merlon: an SA was not found");
    return taken;
  }

  std::uint64_t find_policies(const std::array<std::uint32_t, kLookups>& wanted) override {
    std::array<policy::PacketSelectors, kLookups> packets;
    std::array<const policy::SpdEntry*, kLookups> found;
    for (std::size_t i = 0; i < kLookups; ++i) {
      packets[i].source = value(IpAddress::parse("192.168.0.1"));
      packets[i].destination = value(IpAddress::parse(address_of(wanted[i])));
      packets[i].protocol = IpProtocol::kUdp;
      packets[i].upper = wire::UpperFields::kPorts;
      packets[i].source_port = 1111;
      packets[i].destination_port = 2222;
    }
    const std::uint64_t begin = cycles_begin();
    for (std::size_t i = 0; i < kLookups; ++i)
      found[i] = spd_->find(packets[i], policy::Direction::kOutbound);
    const std::uint64_t taken = cycles_end() - begin;
    for (const auto* entry : found)
      if (entry == nullptr) give_up("merlon: a policy was not found");
    return taken;
  }

 private:
  static std::string address_of(std::uint32_t number) {
    return fmt::format("10.{}.{}.{}", number >> 16U & 255U, number >> 8U & 255U, number & 255U);
  }

  void make_connections(std::uint32_t count) {
    connections_.reserve(count);
    const auto local_ts = value(policy::parse_traffic_selectors("192.168.0.0/16"));
    for (std::uint32_t i = 0; i < count; ++i) {
      auto connection = std::make_shared<policy::Connection>();
      connection->name = fmt::format("c{}", i);
      connection->children.resize(1);
      connection->children[0].name = "net";
      connection->children[0].local_ts = local_ts;
      connection->children[0].remote_ts = value(policy::parse_traffic_selectors(address_of(i) + "/32"));
      connections_.push_back(std::move(connection));
    }
  }

  void install(std::uint32_t number) {
    auto sa = std::make_shared<policy::ChildSa>();
    sa->id = {number + 1U};
    sa->connection = connections_[number];
    sa->algorithms = kAlgorithms;
    {
      const Under counted(Owner::kResponder);
      sa->inbound_spi = value(engine_->allocate_spi(rng_));
    }
    sa->outbound_spi = {0x10000U + number};
    sa->inbound.encryption = Secret::copy_of(rng_.bytes(20));
    sa->outbound.encryption = Secret::copy_of(rng_.bytes(20));
    sa->local_ts = sa->child().local_ts;
    sa->remote_ts = sa->child().remote_ts;
    sa->path.local = {value(IpAddress::parse("192.0.2.1")), 4500};
    sa->path.remote = {value(IpAddress::parse("198.51.100.2")), 4500};
    sa->path.udp_encapsulation = true;
    const Under counted(Owner::kResponder);
    if (!engine_->install(sa)) give_up("merlon: an SA was not taken");
  }

  // The engine's table of inbound SAs by itself, since what finds an SA there is inside the engine.
  void fill_table(std::uint32_t count) {
    table_ = std::make_unique<esp::SaTable>(std::max<std::size_t>(count, 64), grace_);
    spis_.clear();
    sas_.clear();
    for (std::uint32_t i = 0; i < count; ++i) {
      esp::InboundSa& sa = sas_.emplace_back();
      sa.spi = value(table_->allocate_spi(rng_));
      spis_.push_back(sa.spi);
      table_->publish(sa);
    }
  }

  SeededRng rng_{1};
  packet::PacketPool pool_{64, 2048};
  std::vector<policy::ConnectionPtr> connections_;
  std::unique_ptr<esp::DataPlane> engine_;
  std::unique_ptr<policy::Spd> spd_;
  esp::Grace grace_;
  std::unique_ptr<esp::SaTable> table_;
  std::deque<esp::InboundSa> sas_;
  std::vector<Spi> spis_;
};

}  // namespace
}  // namespace merlon::bench

int main() {
  return merlon::bench::MerlonTables().serve();
}
