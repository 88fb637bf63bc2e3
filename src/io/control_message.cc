#include "io/control_message.h"

// linux/errqueue.h uses timespec without including it.
#include <linux/errqueue.h>
#include <netinet/udp.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/check.h"
#include "io/socket_address.h"

namespace merlon::io {
namespace {

// Copies a value out of a control message that is large enough for it.
template <class T>
std::optional<T> value_of(const cmsghdr& message) {
  if (message.cmsg_len < CMSG_LEN(sizeof(T))) return std::nullopt;
  T value{};
  std::memcpy(&value, CMSG_DATA(&message), sizeof value);
  return value;
}

template <class Visit>
void for_each_control(const msghdr& header, Visit visit) {
  auto* mutable_header = const_cast<msghdr*>(&header);  // the macros want it so
  for (cmsghdr* message = CMSG_FIRSTHDR(mutable_header); message != nullptr;
       message = CMSG_NXTHDR(mutable_header, message))
    visit(*message);
}

bool is(const cmsghdr& message, int level, int type) {
  return message.cmsg_level == level && message.cmsg_type == type;
}

void take_error(const cmsghdr& message, SocketError& out) {
  const auto extended = value_of<sock_extended_err>(message);
  if (!extended) return;
  out.origin = extended->ee_origin == SO_EE_ORIGIN_ICMP    ? SocketError::Origin::kIcmp
               : extended->ee_origin == SO_EE_ORIGIN_ICMP6 ? SocketError::Origin::kIcmp6
                                                           : SocketError::Origin::kLocal;
  out.error_number = static_cast<int>(extended->ee_errno);
  out.icmp_type = extended->ee_type;
  out.icmp_code = extended->ee_code;
  if (out.error_number == EMSGSIZE) out.mtu = extended->ee_info;
  // The reporter's address stands right behind (SO_EE_OFFENDER); AF_UNSPEC where there is none.
  const std::size_t rest = message.cmsg_len - CMSG_LEN(sizeof *extended);
  const auto reporter = endpoint_of(CMSG_DATA(&message) + sizeof *extended, rest);
  if (reporter && out.origin != SocketError::Origin::kLocal) out.reporter = reporter->address;
}

}  // namespace

template <class T>
void ControlWriter::add(int level, int type, const T& value) {
  MERLON_ASSERT(used_ + CMSG_SPACE(sizeof value) <= sizeof buffer_.bytes);
  std::memset(buffer_.bytes + used_, 0, CMSG_SPACE(sizeof value));
  cmsghdr message{};
  message.cmsg_level = level;
  message.cmsg_type = type;
  message.cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(buffer_.bytes + used_, &message, sizeof message);
  std::memcpy(buffer_.bytes + used_ + CMSG_LEN(0), &value, sizeof value);
  used_ += CMSG_SPACE(sizeof value);
}

void ControlWriter::packet_info(IpFamily family, const IpAddress& source, unsigned interface_index) {
  const bool has_source = !source.is_unspecified();
  if (!has_source && interface_index == 0) return;
  if (family == IpFamily::kIpv4) {
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<int>(interface_index);
    if (has_source) info.ipi_spec_dst = to_in_addr(source);
    add(IPPROTO_IP, IP_PKTINFO, info);
  } else {
    in6_pktinfo info{};
    info.ipi6_ifindex = interface_index;
    if (has_source) info.ipi6_addr = to_in6_addr(source);
    add(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
}

void ControlWriter::traffic_class(IpFamily family, std::uint8_t value) {
  if (value == 0) return;
  const int octet = value;
  if (family == IpFamily::kIpv4)
    add(IPPROTO_IP, IP_TOS, octet);
  else
    add(IPPROTO_IPV6, IPV6_TCLASS, octet);
}

void ControlWriter::segment_size(std::uint16_t bytes) {
  add(SOL_UDP, UDP_SEGMENT, bytes);
}

void ControlWriter::attach(msghdr& header) {
  header.msg_control = used_ == 0 ? nullptr : buffer_.bytes;
  header.msg_controllen = used_;
}

ReceivedControl read_control(const msghdr& header) {
  ReceivedControl out;
  for_each_control(header, [&out](const cmsghdr& message) {
    if (is(message, IPPROTO_IP, IP_PKTINFO)) {
      const auto info = value_of<in_pktinfo>(message);
      if (!info) return;
      out.destination = from_in_addr(info->ipi_addr);
      out.interface_index = static_cast<unsigned>(info->ipi_ifindex);
    } else if (is(message, IPPROTO_IPV6, IPV6_PKTINFO)) {
      const auto info = value_of<in6_pktinfo>(message);
      if (!info) return;
      out.destination = from_in6_addr(info->ipi6_addr);
      out.interface_index = info->ipi6_ifindex;
    } else if (is(message, IPPROTO_IP, IP_TOS)) {
      out.traffic_class = value_of<std::uint8_t>(message).value_or(0);
    } else if (is(message, IPPROTO_IPV6, IPV6_TCLASS)) {
      out.traffic_class = static_cast<std::uint8_t>(value_of<int>(message).value_or(0));
    } else if (is(message, SOL_UDP, UDP_GRO)) {
      out.segment_size = static_cast<std::uint16_t>(value_of<int>(message).value_or(0));
    }
  });
  return out;
}

SocketError read_error_control(const msghdr& header) {
  SocketError out;
  for_each_control(header, [&out](const cmsghdr& message) {
    if (is(message, IPPROTO_IP, IP_RECVERR) || is(message, IPPROTO_IPV6, IPV6_RECVERR))
      take_error(message, out);
  });
  return out;
}

}  // namespace merlon::io
