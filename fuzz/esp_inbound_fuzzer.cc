// ESP packets into a live inbound half: whatever comes, nothing breaks, and nothing comes out that was not
// sealed.
//
// The input is a row of records. Each begins with a byte that says what it is and two bytes of length:
//   0  these bytes are a packet from the network (SPI and all)
//   1  these bytes are the plaintext, trailer and all, of a packet that is sealed with the right key: an
//   authentic peer's 2  the same, and then one bit of the sealed packet is turned: it must not come out
// Two SAs take turns, AES-GCM with ESN and AES-CBC with HMAC, so that every stage behind the ICV is reached.
#include <cstdlib>
#include <memory>

#include "base/reader.h"
#include "crypto/packet_cipher.h"
#include "esp/engine.h"
#include "policy/spd.h"
#include "wire/esp.h"

namespace {

using namespace merlon;  // NOLINT: a main file

constexpr Instant kStart{};

void require(bool condition) {
  if (!condition) std::abort();
}

struct Sender {
  Spi spi;
  std::unique_ptr<crypto::PacketCipher> cipher;
  std::uint64_t sequence = 0;
};

class Target {
 public:
  Target() : rng_(1), pool_(80, 4096), engine_(config(), pool_, rng_) {
    connection_ = std::make_shared<policy::Connection>();
    connection_->name = "fuzz";
    policy::ChildConfig child;
    child.name = "net";
    child.replay_window = 64;
    connection_->children.push_back(child);
    add({1}, {EncrId::kAesGcm16, 128, IntegId::kNone, true}, Spi{0x1000});
    add({2}, {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128, false}, Spi{0x2000});
  }

  void run(ByteView input) {
    ByteReader reader(input);
    std::uint64_t authentic = 0;
    packet::Burst burst;
    while (reader.remaining() >= 3 && !burst.full()) {
      const std::uint8_t kind = *reader.u8();
      const std::size_t size =
          std::min<std::size_t>(*reader.u16(), std::min<std::size_t>(reader.remaining(), 4000));
      const ByteView bytes = *reader.take(size);
      packet::PacketPtr packet = kind % 3 == 0 ? pool_.copy_of(bytes) : sealed(senders_[kind >> 7U], bytes);
      if (!packet) continue;
      if (kind % 3 == 1) ++authentic;
      if (kind % 3 == 2) packet->bytes()[(kind >> 2U) % packet->size()] ^= 1U;
      packet->meta.tos = kind;
      packet->meta.udp_encapsulated = (kind & 64U) != 0;
      packet->meta.source.port = kind;
      burst.push(std::move(packet));
    }
    esp::InboundResult result;
    engine_.worker().inbound(kStart, burst, result);
    require(result.to_tun.size() <= authentic);
    for (const packet::PacketPtr& packet : result.to_tun) {
      const auto view = wire::parse_packet(packet->bytes());
      require(view.has_value() && view->total_length == packet->size());
    }
    while (engine_.next_event()) continue;
  }

 private:
  static esp::EngineConfig config() {
    esp::EngineConfig config;
    config.sa_capacity = 64;
    return config;
  }

  void add(policy::ChildSaId id, const policy::EspAlgorithms& algorithms, Spi spi) {
    const auto sizes =
        crypto::esp_key_sizes({algorithms.encr, algorithms.key_bits, algorithms.integ}).value();
    const Bytes encr = rng_.bytes(sizes.encr), integ = rng_.bytes(sizes.integ);
    auto sa = std::make_shared<policy::ChildSa>();
    sa->id = id;
    sa->connection = connection_;
    sa->inbound_spi = sa->outbound_spi = spi;
    sa->algorithms = algorithms;
    for (policy::DirectionKeys* keys : {&sa->inbound, &sa->outbound}) {
      keys->encryption = Secret::copy_of(encr);
      keys->integrity = Secret::copy_of(integ);
    }
    for (const char* text : {"10.0.0.0/8", "::/0"})
      sa->local_ts.push_back(policy::parse_traffic_selector(text).value());
    sa->remote_ts = sa->local_ts;
    sa->path.udp_encapsulation = true;
    require(engine_.install(sa).has_value());
    Sender& sender = senders_[id.value - 1];
    sender.spi = spi;
    sender.cipher = crypto::PacketCipher::create({algorithms.encr, algorithms.key_bits, algorithms.integ},
                                                 algorithms.esn, encr, integ)
                        .value();
  }

  packet::PacketPtr sealed(Sender& sender, ByteView plaintext) {
    const std::size_t block = sender.cipher->block_size(), length = plaintext.size() / block * block;
    if (length == 0) return nullptr;
    packet::PacketPtr packet = pool_.copy_of(plaintext.first(length));
    packet->prepend(8 + sender.cipher->iv_size());
    packet->extend(sender.cipher->icv_size());
    const MutableByteView bytes = packet->bytes();
    ++sender.sequence;
    wire::write_esp_header(bytes, {sender.spi, static_cast<std::uint32_t>(sender.sequence)});
    const MutableByteView iv = bytes.subspan(8, sender.cipher->iv_size());
    std::fill(iv.begin(), iv.end(), static_cast<std::uint8_t>(sender.sequence));
    crypto::PacketJob job;
    job.header = bytes.data();
    job.sequence_high = static_cast<std::uint32_t>(sender.sequence >> 32U);
    job.length = static_cast<std::uint32_t>(length);
    sender.cipher->seal({&job, 1});
    return packet;
  }

  SeededRng rng_;
  packet::PacketPool pool_;
  esp::DataPlane engine_;
  std::shared_ptr<policy::Connection> connection_;
  std::array<Sender, 2> senders_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Target target;
  target.run({data, size});
  return 0;
}
