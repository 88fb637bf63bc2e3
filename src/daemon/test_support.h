// What the tests of this room share: events and SAs with secrets that can be told again.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "ike/events.h"

namespace merlon::daemon::test {

inline IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}
inline Endpoint at(const std::string& address, std::uint16_t port = 4500) {
  return {ip(address), port};
}

// A secret that every test can look for: 0xa5 and its size.
inline Secret secret(std::size_t size) {
  Secret out(size);
  for (std::uint8_t& byte : out.mutable_bytes()) byte = 0xa5;
  return out;
}
inline constexpr const char* kSecretHex = "a5a5a5a5";

inline policy::ConnectionPtr connection(const std::string& name = "paris") {
  auto out = std::make_shared<policy::Connection>();
  out->name = name;
  out->source = "merlon.toml:1";
  out->remote_addresses = {"192.0.2.2"};
  policy::LocalAuth local;
  local.psk = SharedSecret(secret(20));
  out->local_auth.push_back(local);
  policy::ChildConfig child;
  child.name = "offices";
  child.local_ts = policy::parse_traffic_selectors("10.1.0.0/16").value();
  child.remote_ts = policy::parse_traffic_selectors("10.2.0.0/16").value();
  out->children.push_back(child);
  return out;
}

inline std::shared_ptr<policy::ChildSa> child_sa(EncrId encr = EncrId::kAesGcm16, std::size_t key_size = 36,
                                                 IntegId integ = IntegId::kNone, std::size_t integ_size = 0) {
  auto sa = std::make_shared<policy::ChildSa>();
  sa->id = {1};
  sa->connection = connection();
  sa->inbound_spi = {0x00000101};
  sa->outbound_spi = {0x00000202};
  sa->algorithms = {encr, 256, integ, true};
  for (policy::DirectionKeys* keys : {&sa->inbound, &sa->outbound}) {
    keys->encryption = secret(key_size);
    keys->integrity = secret(integ_size);
  }
  sa->local_ts = sa->connection->children[0].local_ts;
  sa->remote_ts = sa->connection->children[0].remote_ts;
  sa->path = {at("192.0.2.1"), at("192.0.2.2"), true};
  return sa;
}

inline constexpr IkeSaId kIkeSa{{0x0001020304050607}, {0xc02e7a3031a03188}};

}  // namespace merlon::daemon::test
