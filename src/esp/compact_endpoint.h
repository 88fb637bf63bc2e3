// An endpoint in eight bytes: one of IPv4 as it is, one of IPv6 elsewhere.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/ip_address.h"

namespace merlon::esp {

class CompactEndpoint {
 public:
  CompactEndpoint() : CompactEndpoint(Endpoint{}) {}
  explicit CompactEndpoint(const Endpoint& endpoint) {
    if (endpoint.address.is_v4()) {
      std::uint32_t address = 0;
      std::memcpy(&address, endpoint.address.bytes().data(), sizeof address);
      value_ = pack(address, endpoint.port);
    } else {
      value_ = reinterpret_cast<std::uintptr_t>(new Endpoint(endpoint));
    }
  }
  ~CompactEndpoint() {
    if (!is_v4()) delete elsewhere();
  }
  CompactEndpoint(const CompactEndpoint& other) : CompactEndpoint(other.get()) {}
  CompactEndpoint& operator=(const CompactEndpoint& other) {
    CompactEndpoint copy(other);
    std::swap(value_, copy.value_);
    return *this;
  }

  [[nodiscard]] bool is_v4() const { return (value_ & kIpv4) != 0; }
  [[nodiscard]] Endpoint get() const {
    Endpoint out;
    put_in(out);
    return out;
  }
  // Without a copy in between, which would wait for the stores of its parts.
  void put_in(Endpoint& out) const {
    if (!is_v4()) {
      out = *elsewhere();
      return;
    }
    const auto address = static_cast<std::uint32_t>(value_ >> 32U);
    out.address.assign_v4(reinterpret_cast<const std::uint8_t*>(&address));
    out.port = static_cast<std::uint16_t>(value_ >> 16U);
  }
  friend bool operator==(const CompactEndpoint& a, const Endpoint& b) { return a.get() == b; }

 private:
  // address as it stands in memory (32 bits) | port (16) | kIpv4; a pointer's lowest bit is never set.
  static constexpr std::uint64_t kIpv4 = 1;
  static std::uint64_t pack(std::uint32_t address, std::uint16_t port) {
    return std::uint64_t{address} << 32U | std::uint64_t{port} << 16U | kIpv4;
  }
  [[nodiscard]] const Endpoint* elsewhere() const {
    return reinterpret_cast<const Endpoint*>(static_cast<std::uintptr_t>(value_));
  }
  std::uint64_t value_ = 0;
};
static_assert(sizeof(CompactEndpoint) == 8);

}  // namespace merlon::esp
