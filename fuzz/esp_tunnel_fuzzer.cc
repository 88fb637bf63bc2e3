// Bursts of packets through a tunnel, with the fuzzer as both inner networks, as the network between the gateways, as
// the control side, and as a peer who holds the keys and means harm.
//
// An input: three bytes of setting (see TunnelSetting), then steps: a byte of what, a byte of length, so many bytes that
// say how. The oracle of what must come out has ciphers of its own and cuts super-packets by itself:
//   - every ESP packet opens under an SA that is in use, with the next sequence number and an IV that is new; what is
//     inside came from TUN, once, the policies of the moment protect it with that SA, and its selectors hold it;
//   - what comes out at the other end was sealed, unchanged, and comes out once;
//   - each packet, of TUN or from outside, is carried or counted as dropped with one reason; the SAs' counters say the same;
//   - in the end every buffer is given back.
#include "fuzz/esp_tunnel_oracle.h"
#include "fuzz/step_mutator.h"

namespace merlon::fuzz {

const std::size_t kSettingSize = 3;

Step usual_step(SeededRng& rng) {
  constexpr std::uint8_t kOften[] = {0, 1, 2, 4, 4, 4, 11, 12};
  const auto byte = [&](std::uint64_t bound) { return static_cast<std::uint8_t>(rng.below(bound)); };
  Step made{rng.below(2) == 0 ? kOften[rng.below(std::size(kOften))] : byte(16), {byte(4), byte(8), byte(4)}};
  append(made.how, rng.bytes(rng.below(10)));
  return made;
}

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxSteps = 60, kMaxHistory = 96;

class Network : Tunnel {
 public:
  explicit Network(const TunnelSetting& setting) : Tunnel(setting) {}

  void run(Input& input) {
    for (std::size_t steps = 0; !input.empty() && steps < kMaxSteps; ++steps) {
      const auto what = input.u8();
      const Bytes how = input.string();
      Input detail{how};
      step(what, detail);
      for (auto& gateway : gateways_)
        while (gateway.engine.next_event()) continue;
    }
    leave();
  }

 private:
  // ---- steps

  void step(std::uint8_t what, Input& input) {
    switch (what % 16) {
      case 0:
      case 1:
        return read_flow(input);
      case 2:
        return read_super(input);
      case 3:
        return read_raw(input);
      case 4:
      case 5:
        return deliver(input);
      case 6:
        return reorder(input);
      case 7:
        return lose(input);
      case 8:
        return repeat(input);
      case 9:
        return alter(input);
      case 10:
        return forge(input);
      case 11:
        return rekey(input.u8() % 2, input.u8() % 4, (input.u8() & 1U) == 0);
      case 12:
        return change_sa(input);
      case 13:
        return join(input);
      case 14:
        return time(input);
      default:
        return control(input);
    }
  }

  // Packets of one flow, in sequence.
  void read_flow(Input& input) {
    const auto from = input.u8() & 1U;
    const auto which = input.u8();
    auto packet = flow_packet(input, which, from);
    const std::size_t size = input.u16() % 1600, count = 1 + input.u8() % 32;
    const auto last_size = input.u8();
    packet::Burst burst;
    for (std::size_t i = 0; i < count; ++i) {
      packet.payload =
          payload(i + 1 == count && last_size != 0 ? std::min<std::size_t>(size, last_size) : size);
      const Bytes bytes = wire::test::packet_of(packet);
      packet.sequence += static_cast<std::uint32_t>(packet.payload.size());
      ++packet.identification;
      auto made = gateways_[from].pool.copy_of(bytes);
      if (!made) break;
      want(from, {&bytes, 1});
      burst.push(std::move(made));
    }
    outbound(from, burst);
  }
  FlowPacket flow_packet(Input& input, std::uint8_t which, unsigned from) {
    auto packet = flow_of(which, from == 0);
    const auto how = input.u8();
    packet.tos = input.u8();
    packet.dont_fragment = (how & 1U) == 0;
    if ((how & 2U) != 0) packet.flags = input.u8();
    if ((how & 4U) != 0) packet.options = {2, 4, 5, 0xb4};  // MSS 1460 (RFC 9293 3.2)
    if (packet.protocol == IpProtocol::kUdp) packet.options.clear();
    packet.sequence = next_sequence_ += 100'000;
    packet.identification = static_cast<std::uint16_t>(next_sequence_ >> 3U);
    return packet;
  }
  // Never the same twice.
  Bytes payload(std::size_t size) {
    Bytes bytes(size);
    ++serial_;
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(serial_ >> (8 * (i & 3U)));
    return bytes;
  }

  void read_super(Input& input) {
    const auto from = input.u8() & 1U;
    const auto which = input.u8();
    auto whole = flow_packet(input, which, from);
    const auto segment = static_cast<std::uint16_t>(1 + input.u16() % 1600);
    whole.payload = payload(std::min<std::size_t>(input.u16() % 9000, 60U * segment));
    for (std::size_t i = 0; i < whole.payload.size(); ++i)
      whole.payload[i] = static_cast<std::uint8_t>(whole.payload[i] + i / segment);
    auto packet = gateways_[from].pool.copy_of(wire::test::super_packet_of(whole));
    if (!packet) return;
    packet->meta.segment_size = segment;
    packet->meta.checksum_start = whole.source.is_v4() ? 20 : 40;
    packet->meta.checksum_offset = whole.protocol == IpProtocol::kTcp ? 16 : 6;
    want(from, wire::test::segments_of(whole, segment));
    packet::Burst burst;
    burst.push(std::move(packet));
    outbound(from, burst);
  }

  // Bytes that may be a packet, with metadata as a vnet header may give them.
  void read_raw(Input& input) {
    const auto how = input.u8();
    const auto from = how & 1U;
    auto& gateway = gateways_[from];
    packet::PacketMeta meta;
    if ((how & 2U) != 0) meta.segment_size = input.u8();
    if ((how & 4U) != 0) meta.checksum_start = input.u8(), meta.checksum_offset = input.u8();
    auto packet = gateway.pool.copy_of(input.rest());
    if (!packet) return;
    if (meta.checksum_start + std::size_t{meta.checksum_offset} + 2 > packet->size())  // as io/vnet_header.h
      meta.checksum_start = meta.checksum_offset = 0;
    packet->meta = meta;
    if ((how & 6U) != 0)
      gateway.read_anything = true;
    else if (const Bytes bytes = to_bytes(packet->bytes()); wire::parse_packet(bytes))
      want(from, {&bytes, 1});
    else
      want(from, {});
    packet::Burst burst;
    burst.push(std::move(packet));
    outbound(from, burst);
  }

  // ---- what arrives

  void deliver(Input& input) {
    std::size_t count = 1 + input.u8() % 64;
    if (queue_.empty()) return;
    const unsigned to = queue_.front().to;
    packet::Burst burst;
    std::uint64_t cars = 0;
    while (!queue_.empty() && queue_.front().to == to && count-- > 0 && cars < 200) {
      cars += push(queue_.front(), burst);
      if (history_.size() < kMaxHistory) history_.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    inbound(to, burst, cars);
  }
  // ---- the network

  [[nodiscard]] Datagram* queued(std::uint8_t which) {
    return queue_.empty() ? nullptr : &queue_[which % queue_.size()];
  }
  void reorder(Input& input) {
    if (queue_.size() < 2) return;
    std::swap(*queued(input.u8()), *queued(input.u8()));
  }
  void lose(Input& input) {
    if (!queue_.empty()) queue_.erase(queue_.begin() + input.u8() % static_cast<int>(queue_.size()));
  }
  void repeat(Input& input) {
    const auto which = input.u8();
    for (unsigned left = 1 + input.u8() % 4; left > 0; --left)
      if (!history_.empty() && queue_.size() < kMaxQueue)
        queue_.push_front(history_[(which + left) % history_.size()]);
  }
  void alter(Input& input) {
    auto* datagram = queued(input.u8());
    if (datagram == nullptr || datagram->bytes.empty()) return;
    auto& bytes = datagram->bytes;
    switch (input.u8() % 8) {
      case 0:
      case 1:
        bytes[input.u16() % bytes.size()] ^= static_cast<std::uint8_t>(1U << (input.u8() & 7U));
        break;
      case 2:
        bytes.resize(input.u16() % bytes.size());
        break;
      case 3:
        append(bytes, input.string());
        break;
      case 4:
        datagram->meta.segment_size = input.u16();
        break;
      case 5:
        datagram->meta.tos = input.u8();
        break;
      case 6:
        datagram->meta.source.port = input.u16();
        break;
      default:
        datagram->meta.udp_encapsulated = !datagram->meta.udp_encapsulated;
        break;
    }
    if (bytes.empty()) datagram->meta.segment_size = 0;
  }
  // Buffers as UDP_GRO fills them: packets of one size, a last one that may be shorter.
  void join(Input& input) {
    const auto which = input.u8();
    if (queue_.size() < 2) return;
    auto &first = queue_[which % queue_.size()], &second = queue_[(which + 1U) % queue_.size()];
    if (first.to != second.to || first.bytes.size() + second.bytes.size() > 9000) return;
    if (first.meta.segment_size == 0)
      first.meta.segment_size = static_cast<std::uint16_t>(first.bytes.size());
    append(first.bytes, second.bytes);
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>((which + 1U) % queue_.size()));
  }
  // A peer who holds the keys: any plaintext, any sequence number.
  void forge(Input& input) {
    const auto which = input.u8(), how = input.u8();
    if (sas_.empty()) return;
    const unsigned from = how & 1U;
    auto& flow = this->flow(which % sas_.size(), from);
    const std::uint64_t sequence = std::max<std::uint64_t>(
        1, flow.last_sequence + 1000 + input.u16() * ((how & 2U) != 0 ? 70'000U : 1U) + ++forged_);
    if (!flow.sender->algorithms.esn && sequence > UINT32_MAX) return;
    const std::size_t block = flow.cipher->block_size() < 4 ? 4 : flow.cipher->block_size();
    Bytes plaintext;
    if ((how & 4U) != 0) {
      plaintext = to_bytes(input.rest());
      plaintext.resize((plaintext.size() / block + 1) * block);
    } else {
      auto packet = flow_packet(input, input.u8(), from);
      packet.payload = payload(input.u8());
      plaintext = wire::test::packet_of(packet);
      append(plaintext, Bytes(how >> 4U));  // RFC 4303 2.7: TFC padding
      const std::size_t pad = wire::esp_pad_length(plaintext.size(), block);
      const auto next = packet.source.is_v4() ? IpProtocol::kIpv4 : IpProtocol::kIpv6;
      const std::size_t size = plaintext.size();
      plaintext.resize(size + pad + 2);
      wire::write_esp_trailer(MutableByteView(plaintext).subspan(size), pad,
                              (how & 8U) != 0 ? IpProtocol::kNoNext : next);
    }
    Datagram made{1 - from, flow.seal(plaintext, sequence), {}};
    made.meta.source = outer(from), made.meta.destination = outer(1 - from);
    made.meta.udp_encapsulated = setting_.udp;
    remember_forged(made.to, made.bytes, plaintext, *flow.receiver);
    if (queue_.size() < kMaxQueue) queue_.push_front(std::move(made));
  }
  void remember_forged(unsigned to, const Bytes& car, const Bytes& plaintext,
                       const policy::ChildSa& receiver) {
    const auto trailer = wire::parse_esp_trailer(plaintext);
    if (!trailer) return;
    const Bytes inner(plaintext.begin(),
                      plaintext.begin() + static_cast<std::ptrdiff_t>(trailer->payload_size));
    const auto view = wire::parse_packet(inner);
    if (!view ||
        trailer->next_header != (view->family == IpFamily::kIpv4 ? IpProtocol::kIpv4 : IpProtocol::kIpv6))
      return;
    if (policy::matches(receiver.local_ts, receiver.remote_ts, *view, policy::Direction::kInbound))
      remember(to, car, inner);
  }

  // ---- the control side

  void change_sa(Input& input) {
    const auto which = input.u8(), how = input.u8();
    if (sas_.empty()) return;
    const std::size_t sa = sas_.size() - 1 - which % sas_.size();
    const unsigned side = how & 1U;
    switch (how >> 1U & 3U) {
      case 0:
        return install(sa, side);
      case 1:
        return update(sa, side, input.u8());
      case 2:
        return remove(sa, side);
      default:
        remove(sa, 0), remove(sa, 1);
    }
  }
  void control(Input& input) {
    const auto how = input.u8();
    const unsigned side = how & 1U;
    auto& gateway = gateways_[side];
    switch (how >> 1U & 3U) {
      case 0:
        return set_spd(side, input.u8());
      case 1: {
        const policy::ChildSaId id{1 + input.u8() % kMaxSas};
        const unsigned mtu = input.u16();
        if (id.value <= sas_.size() && flow(id.value - 1, side).at_sender) {
          gateway.mtu[id.value] = mtu == 0 ? 1500 : mtu;
          gateway.largest_mtu = std::max(gateway.largest_mtu, mtu);
        }
        return gateway.engine.set_path_mtu(id, mtu);
      }
      case 2: {
        const auto spi = gateway.engine.allocate_spi(rng_);
        require(spi && spi->value > 255, "RFC 4303 2.1: no reserved SPI");
        return gateway.engine.release_spi(*spi);
      }
      default:
        static_cast<void>(gateway.engine.reclaim());
    }
  }
  void time(Input& input) {
    now_ += std::chrono::milliseconds(1U << (input.u8() % 18U));
    for (unsigned side = 0; side < 2; ++side) poll(side);
  }

  std::deque<Datagram> history_;
  std::uint32_t next_sequence_ = 0, serial_ = 0;
  std::uint64_t forged_ = 0;
};

}  // namespace
}  // namespace merlon::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace merlon::fuzz;
  Input input{merlon::ByteView(data, size)};
  const TunnelSetting setting{input};
  Network network{setting};
  network.run(input);
  return 0;
}
