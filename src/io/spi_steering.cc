#include "io/spi_steering.h"

#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "base/check.h"
#include "io/system_error.h"

namespace merlon::io {
namespace {

// From the SPI's first byte, in the accumulator, to the number.
std::vector<sock_filter> number_of_byte(const SpiSteering& steering) {
  MERLON_ASSERT(steering.bits >= 1 && steering.bits <= 8 && steering.count >= 1);
  return {BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 8 - steering.bits),
          BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, steering.count)};
}

}  // namespace

Result<> steer_by_spi(UdpSocket& socket, const SpiSteering& steering) {
  // The program sees the datagram from its payload on. A load beyond its end ends it with 0.
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, steering.ike), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 24)};
  for (const sock_filter& step : number_of_byte(steering)) program.push_back(step);
  program.push_back(BPF_STMT(BPF_RET | BPF_A, 0));
  const sock_fprog whole{static_cast<unsigned short>(program.size()), program.data()};
  if (setsockopt(socket.fd(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &whole, sizeof whole) != 0)
    return fail_errno(errno, "let the kernel choose a UDP socket by SPI");
  return {};
}

Result<> keep_own_spis(RawEspSocket& socket, const SpiSteering& steering, unsigned number) {
  std::vector<sock_filter> program;
  if (socket.family() == IpFamily::kIpv4) {
    program.push_back(BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0));  // the IP header's length
    program.push_back(BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0));
  } else {
    program.push_back(BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0));
  }
  for (const sock_filter& step : number_of_byte(steering)) program.push_back(step);
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, UINT32_MAX));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  return socket.attach_filter(program);
}

}  // namespace merlon::io
