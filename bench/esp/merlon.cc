// The benchmark "esp": our engine. Two gateways in memory with a Child SA for each number, configured as the daemon configures
// its own where the kernel has every offload: policies, flow cache, replay window, ESN, counters, limits, selector check, ECN
// and DSCP, ESP packets joined for one send, inner packets put together for TUN.
#include <fmt/format.h>

#include "base/rng.h"
#include "bench/esp/subject.h"
#include "crypto/packet_cipher.h"
#include "esp/engine.h"
#include "policy/spd.h"

namespace merlon::bench {
namespace {

using std::chrono::seconds;

policy::EspAlgorithms algorithms_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kAes128Gcm:
      return {EncrId::kAesGcm16, 128, IntegId::kNone, true};
    case Algorithm::kAes256Gcm:
      return {EncrId::kAesGcm16, 256, IntegId::kNone, true};
    case Algorithm::kChacha20Poly1305:
      return {EncrId::kChacha20Poly1305, 256, IntegId::kNone, true};
    case Algorithm::kAes128CbcSha256:
      break;
  }
  return {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128, true};
}

struct Gateway {
  explicit Gateway(std::size_t sas)
      : rng(sas), pool(1024, packet::kLargestPacket), engine(config(sas), pool, rng) {}

  static esp::EngineConfig config(std::size_t sas) {
    auto made = esp::EngineConfig::for_gateway(
        {.segmented_sends = true, .tcp_segmentation = true, .udp_segmentation = true});
    made.sa_capacity = std::max<std::size_t>(sas, 64);
    return made;
  }

  SeededRng rng;
  packet::PacketPool pool;
  esp::DataPlane engine;
  packet::Burst burst;
};

class MerlonSubject final : public Subject {
 public:
  std::string set_up(Algorithm algorithm, std::uint32_t sas, Kind kind) override {
    kind_ = kind;
    sender_.reset();
    receiver_.reset();
    sender_ = std::make_unique<Gateway>(sas);
    receiver_ = std::make_unique<Gateway>(sas);
    std::vector<policy::ConnectionPtr> connections;
    for (std::uint32_t i = 0; i < sas; ++i)
      if (const auto done = install(i, algorithms_of(algorithm), connections); !done)
        return done.error().message;
    sender_->engine.set_spd(std::make_shared<policy::Spd>(policy::build_spd(connections)));
    return {};
  }

  std::uint64_t encapsulate(BurstPlan plan, bool keep) override {
    now_ += std::chrono::microseconds(10);
    for (const PacketPlan& one : plan) {
      packet::PacketPtr packet = sender_->pool.allocate_inner();
      packet->set_length(one.size);
      write_inner_packet(packet->bytes().data(), one);
      sender_->burst.push(std::move(packet));
    }
    const std::uint64_t begin = cycles_begin();
    sender_->engine.worker().outbound(now_, sender_->burst, outbound_);
    const std::uint64_t end = cycles_end();
    std::size_t packets = 0;
    for (const packet::PacketPtr& buffer : outbound_.transmit) packets += packets_in(*buffer, 0);
    if (packets != plan.size()) give_up("merlon: packets were lost on the way out");
    if (keep) {
      auto& kept = kept_.emplace_back();
      for (const packet::PacketPtr& buffer : outbound_.transmit)
        kept.push_back({to_bytes(buffer->bytes()), buffer->meta});
    }
    outbound_.clear();
    while (sender_->engine.next_event()) {
    }
    return end - begin;
  }

  std::uint64_t decapsulate(BurstPlan plan) override {
    for (const OnWire& kept : kept_[opened_++]) {  // what one send took comes in one buffer
      packet::PacketPtr buffer = receiver_->pool.copy_of(kept.bytes);
      buffer->meta = kept.meta;
      receiver_->burst.push(std::move(buffer));
    }
    const std::uint64_t begin = cycles_begin();
    receiver_->engine.worker().inbound(now_, receiver_->burst, inbound_);
    const std::uint64_t end = cycles_end();
    check_arrived(plan);
    inbound_.clear();
    while (receiver_->engine.next_event()) {
    }
    return end - begin;
  }

  void forget() override {
    kept_.clear();
    opened_ = 0;
  }

 private:
  struct OnWire {
    Bytes bytes;
    packet::PacketMeta meta;
  };

  // `header`: what stands once, in front of all.
  static std::size_t packets_in(const packet::Packet& buffer, std::size_t header) {
    const std::size_t segment_size = buffer.meta.segment_size;
    return segment_size == 0 ? 1 : (buffer.size() - header + segment_size - 1) / segment_size;
  }

  void check_arrived(BurstPlan plan) const {
    constexpr std::size_t kHeaders = 28;  // IPv4, UDP
    std::size_t packets = 0, bytes = 0, planned = 0;
    for (const packet::PacketPtr& packet : inbound_.to_tun) {
      const std::size_t count = packets_in(*packet, kHeaders);
      packets += count;
      bytes += packet->size() + (count - 1) * kHeaders;
    }
    for (const PacketPlan& one : plan) planned += one.size;
    if (packets != plan.size()) give_up("merlon: packets were lost on the way in");
    if (bytes != planned) give_up("merlon: a packet came out changed");
    if (kind_ != Kind::kJoined && inbound_.to_tun.size() != packets)
      give_up("merlon: packets were put together that cannot be");
  }

  Result<> install(std::uint32_t number, const policy::EspAlgorithms& algorithms,
                   std::vector<policy::ConnectionPtr>& connections) {
    auto connection = std::make_shared<policy::Connection>();
    connection->name = fmt::format("c{}", number);
    policy::ChildConfig child;
    child.name = "net";
    MERLON_TRY(child.local_ts, policy::parse_traffic_selectors("192.168.0.0/16"));
    const std::uint32_t to = inner_destination(number);
    MERLON_TRY(child.remote_ts, policy::parse_traffic_selectors(fmt::format(
                                    "10.{}.{}.{}/32", to >> 16U & 255U, to >> 8U & 255U, to & 255U)));
    connection->children.push_back(child);
    connections.push_back(connection);

    auto out = std::make_shared<policy::ChildSa>(), in = std::make_shared<policy::ChildSa>();
    MERLON_TRY(const auto sizes,
               crypto::esp_key_sizes({algorithms.encr, algorithms.key_bits, algorithms.integ}));
    out->id = in->id = {number + 1U};
    out->connection = in->connection = connection;
    out->algorithms = in->algorithms = algorithms;
    MERLON_TRY(out->inbound_spi, sender_->engine.allocate_spi(rng_));
    MERLON_TRY(in->inbound_spi, receiver_->engine.allocate_spi(rng_));
    out->outbound_spi = in->inbound_spi;
    in->outbound_spi = out->inbound_spi;
    const Bytes encr = rng_.bytes(sizes.encr), integ = rng_.bytes(sizes.integ);
    for (auto* keys : {&out->outbound, &in->inbound, &out->inbound, &in->outbound}) {
      keys->encryption = Secret::copy_of(encr);
      keys->integrity = Secret::copy_of(integ);
    }
    out->local_ts = in->remote_ts = child.local_ts;
    out->remote_ts = in->local_ts = child.remote_ts;
    const bool in_udp = kind_ != Kind::kNative;
    const std::uint16_t port = in_udp ? 4500 : 0;
    out->path.local = in->path.remote = {sender_address_, port};
    out->path.remote = in->path.local = {receiver_address_, port};
    out->path.udp_encapsulation = in->path.udp_encapsulation = in_udp;
    if (auto done = sender_->engine.install(out); !done) return done;
    return receiver_->engine.install(in);
  }

  std::unique_ptr<Gateway> sender_, receiver_;
  esp::OutboundResult outbound_;
  esp::InboundResult inbound_;
  Kind kind_ = Kind::kNative;
  std::vector<std::vector<OnWire>> kept_;  // of each burst
  std::size_t opened_ = 0;
  SeededRng rng_{7};
  Instant now_{seconds(1)};
  IpAddress sender_address_ = IpAddress::parse("192.0.2.1").value();
  IpAddress receiver_address_ = IpAddress::parse("198.51.100.2").value();
};

}  // namespace
}  // namespace merlon::bench

int main() {
  merlon::bench::MerlonSubject subject;
  return merlon::bench::Rounds(subject).serve();
}
