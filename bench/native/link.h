// Two network namespaces with a veth between them, and packets of protocol 50 for it. Both end with the process.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/ip_address.h"
#include "io/fd.h"

namespace merlon::bench {

inline constexpr std::size_t kEthernetHeader = 14;

class Link {
 public:
  Link();  // ends the program where it cannot be made

  // Runs something in a namespace; sockets opened there stay there.
  template <class Body>
  auto at_sender(Body body) const {
    const Visit visit(sender_.get());
    return body();
  }
  template <class Body>
  auto at_receiver(Body body) const {
    const Visit visit(receiver_.get());
    return body();
  }

  [[nodiscard]] static IpAddress sender_address(IpFamily family);
  [[nodiscard]] static IpAddress receiver_address(IpFamily family);
  [[nodiscard]] unsigned sender_index() const { return sender_index_; }
  [[nodiscard]] unsigned receiver_index() const { return receiver_index_; }

  // An Ethernet frame with an IP packet of `size` bytes with ESP in it; the SPI's first byte is `first`.
  [[nodiscard]] Bytes frame(IpFamily family, std::size_t size, std::uint8_t first) const;

 private:
  class Visit {
   public:
    explicit Visit(int to);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    io::Fd home_;
  };

  io::Fd sender_, receiver_;
  unsigned sender_index_ = 0, receiver_index_ = 0;
};

// Ends the program with a shell command that fails.
void shell(const std::string& command);

}  // namespace merlon::bench
