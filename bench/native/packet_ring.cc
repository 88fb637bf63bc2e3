// AF_PACKET: rings that the kernel writes into (TPACKET_V2, TPACKET_V3), and sending past the IP stack.
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "bench/native/ways.h"
#include "bench/trouble.h"

namespace merlon::bench {
namespace {

constexpr std::size_t kRingBytes = 4U << 20U, kBlockV3 = 32U << 10U, kBlockV2 = 64U << 10U;
constexpr const char* kDeviceDrops =
    "nft 'add table netdev bench; add chain netdev bench in { type filter hook ingress device veth-b "
    "priority 0; }; "
    "add rule netdev bench in ip protocol 50 drop; add rule netdev bench in ip6 nexthdr 50 drop'";
constexpr const char* kStackDrops =
    "nft 'add table inet bench; add chain inet bench in { type filter hook prerouting priority -450; }; "
    "add rule inet bench in ip protocol 50 ip frag-off & 0x3fff == 0 fib daddr type local drop; "
    "add rule inet bench in ip6 nexthdr 50 fib daddr type local drop'";

void set(int fd, int option, const void* value, socklen_t size) {
  if (setsockopt(fd, SOL_PACKET, option, value, size) != 0)
    give_up("packet socket option " + std::to_string(option) + ": " +
            std::strerror(errno));  // NOLINT(concurrency-mt-unsafe)
}

sockaddr_ll device(unsigned index, int protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(static_cast<std::uint16_t>(protocol));
  address.sll_ifindex = static_cast<int>(index);
  return address;
}

// Whole packets of protocol 50; fragments have to be put together by the stack.
void keep_esp(int fd) {
  std::array program = {
      sock_filter BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      sock_filter BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x60, 5, 0),
      sock_filter BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 50, 0, 6),
      sock_filter BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 4, 0),
      sock_filter BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      sock_filter BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 50, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      sock_filter BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog whole{static_cast<unsigned short>(program.size()), program.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole) != 0) give_up("no packet filter");
}

// IPv4 alone: by the first byte of the SPI.
void fan_out(int fd, unsigned workers) {
  const int group = 7 | PACKET_FANOUT_CBPF << 16;
  set(fd, PACKET_FANOUT, &group, sizeof group);
  std::array program = {
      sock_filter BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
      sock_filter BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
      sock_filter BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 2),
      sock_filter BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
      sock_filter BPF_STMT(BPF_RET | BPF_A, 0),
  };
  const sock_fprog whole{static_cast<unsigned short>(program.size()), program.data()};
  set(fd, PACKET_FANOUT_DATA, &whole, sizeof whole);
}

class Ring {
 public:
  Ring(unsigned index, RingVersion version, unsigned workers, Beside beside) : version_(version) {
    fd_ = io::Fd(socket(AF_PACKET, SOCK_DGRAM, 0));  // nothing comes before it is bound
    if (!fd_) give_up("no packet socket");
    const int number = version == RingVersion::kV2 ? TPACKET_V2 : TPACKET_V3;
    set(fd_.get(), PACKET_VERSION, &number, sizeof number);
    keep_esp(fd_.get());
    if (version == RingVersion::kV2) {
      const tpacket_req wanted{kBlockV2, kRingBytes / kBlockV2, kBuffer, kRingBytes / kBuffer};
      set(fd_.get(), PACKET_RX_RING, &wanted, sizeof wanted);
    } else {
      tpacket_req3 wanted{kBlockV3, kRingBytes / kBlockV3, kBuffer, kRingBytes / kBuffer, 0, 0, 0};
      wanted.tp_retire_blk_tov = 1;  // ms, the shortest
      set(fd_.get(), PACKET_RX_RING, &wanted, sizeof wanted);
    }
    void* memory = mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), 0);
    if (memory == MAP_FAILED) give_up("no ring");
    ring_ = static_cast<std::uint8_t*>(memory);
    const sockaddr_ll address = device(index, beside == Beside::kStackDrops ? ETH_P_IP : ETH_P_ALL);
    if (bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) give_up("bind");
    if (workers > 1) fan_out(fd_.get(), workers);
  }
  ~Ring() { munmap(ring_, kRingBytes); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  std::size_t receive() { return version_ == RingVersion::kV2 ? receive_v2() : receive_v3(); }

 private:
  std::size_t receive_v2() {
    std::size_t count = 0;
    for (; count < kBurst; ++count) {
      auto* header = reinterpret_cast<tpacket2_hdr*>(ring_ + next_ * kBuffer);
      const std::atomic_ref<std::uint32_t> status(header->tp_status);
      if ((status.load(std::memory_order_acquire) & TP_STATUS_USER) == 0) break;
      take(reinterpret_cast<std::uint8_t*>(header) + header->tp_net, header->tp_snaplen, count);
      status.store(TP_STATUS_KERNEL, std::memory_order_release);
      next_ = (next_ + 1) % (kRingBytes / kBuffer);
    }
    return count;
  }
  std::size_t receive_v3() {
    std::size_t count = 0;
    while (count < kBurst) {
      auto* block = reinterpret_cast<tpacket_block_desc*>(ring_ + next_ * kBlockV3);
      const std::atomic_ref<std::uint32_t> status(block->hdr.bh1.block_status);
      if ((status.load(std::memory_order_acquire) & TP_STATUS_USER) == 0) break;
      std::uint8_t* at = reinterpret_cast<std::uint8_t*>(block) + block->hdr.bh1.offset_to_first_pkt;
      for (std::uint32_t i = 0; i < block->hdr.bh1.num_pkts; ++i) {
        const auto* header = reinterpret_cast<const tpacket3_hdr*>(at);
        take(at + header->tp_net, header->tp_snaplen, count++ % kBurst);
        at += header->tp_next_offset;
      }
      status.store(TP_STATUS_KERNEL, std::memory_order_release);
      next_ = (next_ + 1) % (kRingBytes / kBlockV3);
    }
    return count;
  }
  void take(const std::uint8_t* packet, std::size_t size, std::size_t slot) {
    std::memcpy(buffers_[slot].data(), packet, std::min(size, kBuffer));
  }

  const RingVersion version_;
  io::Fd fd_;
  std::uint8_t* ring_ = nullptr;
  std::size_t next_ = 0;
  std::array<std::array<std::uint8_t, kBuffer>, kBurst> buffers_;
};

class RingIn : public WayIn {
 public:
  RingIn(const Link& link, RingVersion version, unsigned workers, Beside beside)
      : link_(link), beside_(beside) {
    link_.at_receiver([&] {
      shell(beside == Beside::kDeviceDrops ? kDeviceDrops : kStackDrops);
      for (unsigned i = 0; i < workers; ++i)
        rings_.push_back(std::make_unique<Ring>(link.receiver_index(), version, workers, beside));
    });
  }
  ~RingIn() override {
    link_.at_receiver([this] {
      shell(beside_ == Beside::kDeviceDrops ? "nft delete table netdev bench"
                                            : "nft delete table inet bench");
    });
  }
  RingIn(const RingIn&) = delete;
  RingIn& operator=(const RingIn&) = delete;
  std::size_t receive() override {
    std::size_t all = 0;
    for (const auto& ring : rings_) all += ring->receive();
    return all;
  }
  [[nodiscard]] int fd() const override { return rings_.empty() ? -1 : rings_[0]->fd(); }

 private:
  const Link& link_;
  const Beside beside_;
  std::vector<std::unique_ptr<Ring>> rings_;
};

class PacketOut : public WayOut {
 public:
  PacketOut(const Link& link, IpFamily family, std::size_t size)
      : frames_{link.frame(family, size, 0x80), link.frame(family, size, 0x84)},
        address_(device(link.sender_index(), ETH_P_IP)) {
    link.at_sender([&] { fd_ = io::Fd(socket(AF_PACKET, SOCK_RAW, 0)); });
    const int yes = 1;
    set(fd_.get(), PACKET_QDISC_BYPASS, &yes, sizeof yes);
    const int bytes = 4 << 20;
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    if (bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) != 0) give_up("bind");
    for (std::size_t i = 0; i < kBurst; ++i) {
      Bytes& frame = frames_[i % 2];
      parts_[i] = {frame.data(), frame.size()};
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  std::size_t send(std::size_t count) override {
    const int sent = sendmmsg(fd_.get(), messages_.data(), static_cast<unsigned>(count), 0);
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }

 private:
  std::array<Bytes, 2> frames_;  // for one worker and for another
  sockaddr_ll address_;
  io::Fd fd_;
  std::array<iovec, kBurst> parts_{};
  std::array<mmsghdr, kBurst> messages_{};
};

class RingOut : public WayOut {
 public:
  RingOut(const Link& link, IpFamily family, std::size_t size) : frame_(link.frame(family, size, 0x80)) {
    link.at_sender([&] { fd_ = io::Fd(socket(AF_PACKET, SOCK_RAW, 0)); });
    const int version = TPACKET_V2, yes = 1;
    set(fd_.get(), PACKET_VERSION, &version, sizeof version);
    set(fd_.get(), PACKET_QDISC_BYPASS, &yes, sizeof yes);
    const tpacket_req wanted{kBlockV2, kBytes / kBlockV2, kBuffer, kBytes / kBuffer};
    set(fd_.get(), PACKET_TX_RING, &wanted, sizeof wanted);
    void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), 0);
    if (memory == MAP_FAILED) give_up("no ring");
    ring_ = static_cast<std::uint8_t*>(memory);
    const sockaddr_ll address = device(link.sender_index(), ETH_P_IP);
    if (bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) give_up("bind");
  }
  ~RingOut() override { munmap(ring_, kBytes); }
  RingOut(const RingOut&) = delete;
  RingOut& operator=(const RingOut&) = delete;
  std::size_t send(std::size_t wanted) override {
    std::size_t count = 0;
    for (; count < wanted; ++count) {
      auto* header = reinterpret_cast<tpacket2_hdr*>(ring_ + next_ * kBuffer);
      const std::atomic_ref<std::uint32_t> status(header->tp_status);
      if (status.load(std::memory_order_acquire) != TP_STATUS_AVAILABLE) break;
      constexpr std::size_t kData = TPACKET2_HDRLEN - sizeof(sockaddr_ll);
      std::memcpy(reinterpret_cast<std::uint8_t*>(header) + kData, frame_.data(), frame_.size());
      header->tp_len = static_cast<std::uint32_t>(frame_.size());
      status.store(TP_STATUS_SEND_REQUEST, std::memory_order_release);
      next_ = (next_ + 1) % (kBytes / kBuffer);
    }
    return sendto(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0 ? count : 0;
  }

 private:
  static constexpr std::size_t kBytes = 1U << 20U;
  Bytes frame_;
  io::Fd fd_;
  std::uint8_t* ring_ = nullptr;
  std::size_t next_ = 0;
};

}  // namespace

std::unique_ptr<WayIn> ring_in(const Link& link, RingVersion version, unsigned workers, Beside beside) {
  return std::make_unique<RingIn>(link, version, workers, beside);
}

std::unique_ptr<WayIn> drop_in(const Link& link) {
  return std::make_unique<RingIn>(link, RingVersion::kV2, 0, Beside::kDeviceDrops);
}

std::unique_ptr<WayOut> packet_out(const Link& link, IpFamily family, std::size_t size) {
  return std::make_unique<PacketOut>(link, family, size);
}

std::unique_ptr<WayOut> ring_out(const Link& link, IpFamily family, std::size_t size) {
  return std::make_unique<RingOut>(link, family, size);
}

}  // namespace merlon::bench
