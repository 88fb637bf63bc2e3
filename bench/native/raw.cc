// Raw sockets, as Merlon opens them and barer.
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>

#include <array>

#include "bench/native/ways.h"
#include "bench/trouble.h"
#include "io/raw_esp_socket.h"
#include "io/socket_address.h"
#include "io/spi_steering.h"

namespace merlon::bench {
namespace {

constexpr unsigned kSocketBuffer = 4U << 20U;
constexpr unsigned kSteeringBits = 6;

io::RawEspSocketOptions options_for(IpFamily family) {
  io::RawEspSocketOptions options;
  options.local = IpAddress::any(family);
  options.receive_buffer = options.send_buffer = kSocketBuffer;
  options.path_mtu_mode = io::PathMtuMode::kDo;
  return options;
}

class RawIn : public WayIn {
 public:
  RawIn(const Link& link, IpFamily family, unsigned workers) {
    link.at_receiver([&] {
      for (unsigned i = 0; i < workers; ++i) {
        sockets_.push_back(value(io::RawEspSocket::open(options_for(family))));
        if (workers > 1 && !io::keep_own_spis(sockets_.back(), {kSteeringBits, workers}, i))
          give_up("no filter");
      }
    });
    for (std::size_t i = 0; i < kBurst; ++i) slots_[i].buffer = buffers_[i];
  }
  std::size_t receive() override {
    std::size_t all = 0;
    for (io::RawEspSocket& socket : sockets_) all += value(socket.receive_burst(slots_));
    return all;
  }
  [[nodiscard]] int fd() const override { return sockets_[0].fd(); }

 private:
  std::vector<io::RawEspSocket> sockets_;
  std::array<io::ReceivedDatagram, kBurst> slots_;
  std::array<std::array<std::uint8_t, kBuffer>, kBurst> buffers_;
};

class MerlonOut : public WayOut {
 public:
  MerlonOut(const Link& link, IpFamily family, ByteView esp) : payload_(to_bytes(esp)) {
    link.at_sender([&] { socket_.emplace(value(io::RawEspSocket::open(options_for(family)))); });
    for (io::OutgoingDatagram& datagram : datagrams_) {
      datagram.payload = payload_;
      datagram.source = Link::sender_address(family);
      datagram.destination = {Link::receiver_address(family), 0};
    }
  }
  std::size_t send(std::size_t count) override {
    return socket_->send_burst(std::span(datagrams_).first(count), outcomes_);
  }

 private:
  const Bytes payload_;
  std::optional<io::RawEspSocket> socket_;
  std::array<io::OutgoingDatagram, kBurst> datagrams_;
  std::array<io::SendOutcome, kBurst> outcomes_{};
};

class BareOut : public WayOut {
 public:
  BareOut(const Link& link, IpFamily family, Bytes payload, RawOut how)
      : payload_(std::move(payload)), address_(io::socket_address({Link::receiver_address(family), 0})) {
    link.at_sender([&] {
      const int protocol = how == RawOut::kWithHeaders ? IPPROTO_RAW : 50;
      fd_ = io::Fd(socket(family == IpFamily::kIpv4 ? AF_INET : AF_INET6, SOCK_RAW, protocol));
      if (!fd_ || (how == RawOut::kConnected && connect(fd_.get(), address_.get(), address_.length) != 0))
        give_up("no raw socket");
      setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof kSocketBuffer);
    });
    for (std::size_t i = 0; i < kBurst; ++i) {
      parts_[i] = {payload_.data(), payload_.size()};
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
      if (how == RawOut::kConnected) continue;
      messages_[i].msg_hdr.msg_name = &address_.storage;
      messages_[i].msg_hdr.msg_namelen = address_.length;
    }
  }
  std::size_t send(std::size_t count) override {
    const int sent = sendmmsg(fd_.get(), messages_.data(), static_cast<unsigned>(count), 0);
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }

 private:
  Bytes payload_;
  io::SocketAddress address_;
  io::Fd fd_;
  std::array<iovec, kBurst> parts_{};
  std::array<mmsghdr, kBurst> messages_{};
};

}  // namespace

std::unique_ptr<WayIn> raw_in(const Link& link, IpFamily family, unsigned workers) {
  return std::make_unique<RawIn>(link, family, workers);
}

std::unique_ptr<WayOut> raw_out(const Link& link, IpFamily family, std::size_t size, RawOut how) {
  const Bytes frame = link.frame(family, size, 0x80);
  const std::size_t headers = kEthernetHeader + (family == IpFamily::kIpv4 ? 20 : 40);
  if (how == RawOut::kAsMerlon)
    return std::make_unique<MerlonOut>(link, family, ByteView(frame).subspan(headers));
  const std::size_t skipped = how == RawOut::kWithHeaders ? kEthernetHeader : headers;
  return std::make_unique<BareOut>(link, family, to_bytes(ByteView(frame).subspan(skipped)), how);
}

}  // namespace merlon::bench
