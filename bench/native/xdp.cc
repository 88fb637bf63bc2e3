// AF_XDP in copy mode, the one that veth has: an XDP program hands whole packets of protocol 50 to the socket, and everything
// else to the stack.
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "bench/native/ways.h"
#include "bench/trouble.h"

namespace merlon::bench {
namespace {

constexpr std::uint32_t kFrames = 4096, kRing = 2048;

std::string reason(const std::string& what) {
  return what + ": " + std::strerror(errno);  // NOLINT(concurrency-mt-unsafe)
}

int bpf(int command, bpf_attr& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

std::uint64_t address_of(const void* what) {
  return reinterpret_cast<std::uint64_t>(what);
}

bpf_insn step(int code, int to, int from, int offset, int value) {
  bpf_insn out{};
  out.code = static_cast<std::uint8_t>(code);
  out.dst_reg = static_cast<std::uint8_t>(to & 0xf);
  out.src_reg = static_cast<std::uint8_t>(from & 0xf);
  out.off = static_cast<std::int16_t>(offset);
  out.imm = value;
  return out;
}

io::Fd load(const std::vector<bpf_insn>& code) {
  std::array<char, 16384> log{};
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_XDP;
  attributes.insns = address_of(code.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(code.size());
  attributes.license = address_of("GPL");
  attributes.log_buf = address_of(log.data());
  attributes.log_size = log.size();
  attributes.log_level = 1;
  const int fd = bpf(BPF_PROG_LOAD, attributes);
  if (fd < 0) give_up(reason("no XDP program") + "\n" + log.data());
  return io::Fd(fd);
}

// r2 data, r3 its end, r4 what was loaded.
io::Fd load_program(int map) {
  const int jeq = BPF_JMP | BPF_JEQ | BPF_K, jne = BPF_JMP | BPF_JNE | BPF_K;
  const std::vector<bpf_insn> code = {
      step(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0),
      step(BPF_LDX | BPF_MEM | BPF_W, 3, 1, 4, 0),
      step(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0),
      step(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, 34),
      step(BPF_JMP | BPF_JGT | BPF_X, 4, 3, 13, 0),  // 4 -> pass
      step(BPF_LDX | BPF_MEM | BPF_H, 4, 2, 12, 0),
      step(jeq, 4, 0, 4, 0xdd86),   // 6 -> 11
      step(jne, 4, 0, 10, 0x0008),  // 7 -> pass
      step(BPF_LDX | BPF_MEM | BPF_B, 4, 2, 23, 0),
      step(BPF_LDX | BPF_MEM | BPF_H, 5, 2, 20, 0),
      step(BPF_JMP | BPF_JA, 0, 0, 2, 0),  // 10 -> 13
      step(BPF_LDX | BPF_MEM | BPF_B, 4, 2, 20, 0),
      step(BPF_ALU64 | BPF_MOV | BPF_K, 5, 0, 0, 0),
      step(jne, 4, 0, 4, 50),  // 13 -> pass
      step(BPF_ALU64 | BPF_AND | BPF_K, 5, 0, 0, 0xff3f),
      step(jne, 5, 0, 2, 0),                         // 15 -> pass
      step(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 16, 0),  // the queue
      step(BPF_JMP | BPF_JA, 0, 0, 2, 0),            // 17 -> 20
      step(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS),
      step(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
      step(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map),
      step(0, 0, 0, 0, 0),
      step(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, XDP_PASS),
      step(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
      step(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  return load(code);
}

io::Fd attach(const io::Fd& program, unsigned index, XdpMode mode) {
  bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<std::uint32_t>(program.get());
  attributes.link_create.target_ifindex = index;
  attributes.link_create.attach_type = BPF_XDP;
  attributes.link_create.flags = mode == XdpMode::kGeneric ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
  io::Fd link(bpf(BPF_LINK_CREATE, attributes));
  if (!link) give_up(reason("attach the XDP program"));
  return link;
}

// One of the four rings that a program shares with the kernel.
template <class Entry>
struct SharedRing {
  std::uint32_t *producer = nullptr, *consumer = nullptr;
  Entry* entries = nullptr;

  SharedRing() = default;
  ~SharedRing() {
    if (memory_ != nullptr) munmap(memory_, size_);
  }
  SharedRing(const SharedRing&) = delete;
  SharedRing& operator=(const SharedRing&) = delete;

  void map(int fd, const xdp_ring_offset& offset, off_t page) {
    size_ = offset.desc + kRing * sizeof(Entry);
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
    if (memory == MAP_FAILED) give_up(reason("no AF_XDP ring"));
    memory_ = memory;
    auto* base = static_cast<std::uint8_t*>(memory);
    producer = reinterpret_cast<std::uint32_t*>(base + offset.producer);
    consumer = reinterpret_cast<std::uint32_t*>(base + offset.consumer);
    entries = reinterpret_cast<Entry*>(base + offset.desc);
  }
  [[nodiscard]] std::uint32_t waiting() const {
    return std::atomic_ref(*producer).load(std::memory_order_acquire) - *consumer;
  }
  Entry& at(std::uint32_t index) { return entries[index % kRing]; }
  void consume(std::uint32_t count) {
    std::atomic_ref(*consumer).store(*consumer + count, std::memory_order_release);
  }
  void produce(std::uint32_t count) {
    std::atomic_ref(*producer).store(*producer + count, std::memory_order_release);
  }

 private:
  void* memory_ = nullptr;
  std::size_t size_ = 0;
};

class XdpSocket {
 public:
  XdpSocket(unsigned index, bool receives) {
    fd_ = io::Fd(socket(AF_XDP, SOCK_RAW, 0));
    if (!fd_) give_up(reason("no AF_XDP socket"));
    void* memory = mmap(nullptr, std::size_t{kFrames} * kBuffer, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    frames = static_cast<std::uint8_t*>(memory);
    xdp_umem_reg memory_of{};
    memory_of.addr = address_of(memory);
    memory_of.len = std::uint64_t{kFrames} * kBuffer;
    memory_of.chunk_size = kBuffer;
    set(XDP_UMEM_REG, &memory_of, sizeof memory_of);
    for (const int ring :
         {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, receives ? XDP_RX_RING : XDP_TX_RING})
      set(ring, &kRing, sizeof kRing);
    xdp_mmap_offsets offsets{};
    socklen_t size = sizeof offsets;
    if (getsockopt(fd_.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) != 0) give_up(reason("offsets"));
    fill.map(fd_.get(), offsets.fr, static_cast<off_t>(XDP_UMEM_PGOFF_FILL_RING));
    completion.map(fd_.get(), offsets.cr, static_cast<off_t>(XDP_UMEM_PGOFF_COMPLETION_RING));
    if (receives) {
      rx.map(fd_.get(), offsets.rx, XDP_PGOFF_RX_RING);
    } else {
      tx.map(fd_.get(), offsets.tx, static_cast<off_t>(XDP_PGOFF_TX_RING));
    }
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_ifindex = index;
    address.sxdp_flags = XDP_COPY;
    // The kernel gives a queue free a little after its socket was closed.
    for (int i = 0; bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0; ++i) {
      if (errno != EBUSY || i == 500) give_up(reason("bind AF_XDP"));
      usleep(10'000);
    }
  }
  ~XdpSocket() { munmap(frames, std::size_t{kFrames} * kBuffer); }
  XdpSocket(const XdpSocket&) = delete;
  XdpSocket& operator=(const XdpSocket&) = delete;
  [[nodiscard]] int fd() const { return fd_.get(); }

  std::uint8_t* frames = nullptr;
  SharedRing<std::uint64_t> fill, completion;
  SharedRing<xdp_desc> rx, tx;

 private:
  void set(int option, const void* value, socklen_t size) {
    if (setsockopt(fd_.get(), SOL_XDP, option, value, size) != 0) give_up(reason("AF_XDP option"));
  }
  io::Fd fd_;
};

class XdpIn : public WayIn {
 public:
  XdpIn(const Link& link, XdpMode mode) {
    link.at_receiver([&] {
      socket_ = std::make_unique<XdpSocket>(link.receiver_index(), true);
      bpf_attr map{};
      map.map_type = BPF_MAP_TYPE_XSKMAP;
      map.key_size = map.value_size = 4;
      map.max_entries = 1;
      map_ = io::Fd(bpf(BPF_MAP_CREATE, map));
      const std::uint32_t key = 0;
      const int fd = socket_->fd();
      bpf_attr entry{};
      entry.map_fd = static_cast<std::uint32_t>(map_.get());
      entry.key = address_of(&key);
      entry.value = address_of(&fd);
      if (!map_ || bpf(BPF_MAP_UPDATE_ELEM, entry) != 0) give_up(reason("no map of AF_XDP sockets"));
      program_ = load_program(map_.get());
      link_ = attach(program_, link.receiver_index(), mode);
    });
    for (std::uint32_t i = 0; i < kRing; ++i) socket_->fill.at(i) = std::uint64_t{i} * kBuffer;
    socket_->fill.produce(kRing);
  }
  std::size_t receive() override {
    auto& rx = socket_->rx;
    auto& fill = socket_->fill;
    const std::uint32_t count = std::min<std::uint32_t>(rx.waiting(), kBurst);
    for (std::uint32_t i = 0; i < count; ++i) {
      const xdp_desc& entry = rx.at(*rx.consumer + i);
      std::memcpy(buffers_[i].data(), socket_->frames + entry.addr + kEthernetHeader,
                  entry.len - kEthernetHeader);
      fill.at(*fill.producer + i) = entry.addr / kBuffer * kBuffer;
    }
    rx.consume(count);
    fill.produce(count);
    return count;
  }
  [[nodiscard]] int fd() const override { return socket_->fd(); }

 private:
  std::unique_ptr<XdpSocket> socket_;
  io::Fd map_, program_, link_;
  std::array<std::array<std::uint8_t, kBuffer>, kBurst> buffers_;
};

class XdpOut : public WayOut {
 public:
  XdpOut(const Link& link, IpFamily family, std::size_t size) : frame_(link.frame(family, size, 0x80)) {
    link.at_sender([&] { socket_ = std::make_unique<XdpSocket>(link.sender_index(), false); });
  }
  std::size_t send(std::size_t count) override {
    auto& tx = socket_->tx;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint64_t place = std::uint64_t{(*tx.producer + i) % kFrames} * kBuffer;
      std::memcpy(socket_->frames + place, frame_.data(), frame_.size());
      tx.at(*tx.producer + i) = {place, static_cast<std::uint32_t>(frame_.size()), 0};
    }
    tx.produce(static_cast<std::uint32_t>(count));
    while (sendto(socket_->fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0 && errno == EAGAIN) {  // 32 a call
    }
    socket_->completion.consume(socket_->completion.waiting());
    return count;
  }

 private:
  Bytes frame_;
  std::unique_ptr<XdpSocket> socket_;
};

}  // namespace

std::unique_ptr<WayIn> xdp_in(const Link& link, XdpMode mode) {
  return std::make_unique<XdpIn>(link, mode);
}

io::Fd attach_idle_xdp(const std::string& device, XdpMode mode) {
  const std::vector<bpf_insn> code = {step(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS),
                                      step(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)};
  return attach(load(code), if_nametoindex(device.c_str()), mode);  // the link keeps the program
}

std::unique_ptr<WayOut> xdp_out(const Link& link, IpFamily family, std::size_t size) {
  return std::make_unique<XdpOut>(link, family, size);
}

}  // namespace merlon::bench
