#include "bench/native/link.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>

#include "bench/trouble.h"
#include "wire/ip/checksum.h"

namespace merlon::bench {
namespace {

io::Fd own_namespace() {
  return io::Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

constexpr const char* kPrepare =
    "ip link set lo up; sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 "
    "net.ipv6.conf.default.autoconf=0 net.ipv4.conf.all.rp_filter=0";

io::Fd new_namespace() {
  if (unshare(CLONE_NEWNET) != 0) give_up("no network namespace can be made: is this root?");
  shell(kPrepare);
  return own_namespace();
}

}  // namespace

void shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) give_up("failed: " + command);  // NOLINT(concurrency-mt-unsafe)
}

Link::Visit::Visit(int to) : home_(own_namespace()) {
  if (setns(to, CLONE_NEWNET) != 0) give_up("setns");
}

Link::Visit::~Visit() {
  setns(home_.get(), CLONE_NEWNET);
}

Link::Link() {
  const io::Fd home = own_namespace();
  receiver_ = new_namespace();
  sender_ = new_namespace();
  const std::string receiver = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(receiver_.get());
  shell(
      "ip link add veth-a address 02:00:00:00:00:01 numrxqueues 1 numtxqueues 1 type veth peer name veth-b "
      "address "
      "02:00:00:00:00:02 numrxqueues 1 numtxqueues 1 && ip link set veth-b netns " +
      receiver +
      " && ip addr add 192.0.2.1/24 dev veth-a && ip -6 addr add 2001:db8::1/64 dev veth-a nodad && "
      "ip link set veth-a up && ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev veth-a && "
      "ip -6 neigh add 2001:db8::2 lladdr 02:00:00:00:00:02 dev veth-a");
  sender_index_ = if_nametoindex("veth-a");
  at_receiver([this] {
    shell(
        "ip addr add 192.0.2.2/24 dev veth-b && ip -6 addr add 2001:db8::2/64 dev veth-b nodad && "
        "ip link set veth-b up && ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev veth-b");
    receiver_index_ = if_nametoindex("veth-b");
  });
  shell(
      "for i in $(seq 500); do ip link show veth-a 2>/dev/null | grep -q LOWER_UP && exit 0; sleep 0.01; "
      "done; exit 1");
  setns(home.get(), CLONE_NEWNET);
}

IpAddress Link::sender_address(IpFamily family) {
  return *IpAddress::parse(family == IpFamily::kIpv4 ? "192.0.2.1" : "2001:db8::1");
}

IpAddress Link::receiver_address(IpFamily family) {
  return *IpAddress::parse(family == IpFamily::kIpv4 ? "192.0.2.2" : "2001:db8::2");
}

Bytes Link::frame(IpFamily family, std::size_t size, std::uint8_t first) const {
  Bytes out = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
  const bool v4 = family == IpFamily::kIpv4;
  const auto high = [](std::size_t value) { return static_cast<std::uint8_t>(value >> 8U); };
  const auto low = [](std::size_t value) { return static_cast<std::uint8_t>(value); };
  if (v4) {
    append(out, Bytes{0x08, 0x00, 0x45, 0, high(size), low(size), 0, 0, 0x40, 0, 64, 50, 0, 0});
  } else {
    append(out, Bytes{0x86, 0xdd, 0x60, 0, 0, 0, high(size - 40), low(size - 40), 50, 64});
  }
  append(out, sender_address(family).bytes());
  append(out, receiver_address(family).bytes());
  if (v4) {
    const std::uint16_t sum = wire::internet_checksum(ByteView(out).subspan(kEthernetHeader));
    out[kEthernetHeader + 10] = high(sum);
    out[kEthernetHeader + 11] = low(sum);
  }
  const std::size_t esp = out.size();
  out.resize(kEthernetHeader + size, 0x55);
  out[esp] = first;
  return out;
}

}  // namespace merlon::bench
