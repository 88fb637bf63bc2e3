// NAT detection (RFC 7296 2.23): each side sends SHA-1 digests of the addresses it believes in.
#pragma once

#include <span>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "wire/ike/message.h"
#include "wire/ike/notify_data.h"

namespace merlon::ikev2 {

// SHA-1(SPIi | SPIr | IP | port). In an IKE_SA_INIT request SPIr is 0.
[[nodiscard]] wire::NatDetectionDigest nat_detection_digest(const IkeSaId& spis, const Endpoint& endpoint);

// Our two notifications: NAT_DETECTION_SOURCE_IP for `local`, NAT_DETECTION_DESTINATION_IP for `remote`.
// `hide_local` puts in a digest that matches nothing: so the peer takes us for being behind a NAT and
// encapsulates (PathProtocol::kUdp). So does an unspecified local address.
[[nodiscard]] std::vector<wire::NotifyPayload> nat_detection_notifies(const IkeSaId& spis,
                                                                      const Endpoint& local,
                                                                      const Endpoint& remote,
                                                                      bool hide_local);

struct NatDetection {
  bool supported = false;  // the peer sent both kinds
  bool local_behind_nat = false, remote_behind_nat = false;
  [[nodiscard]] bool any() const { return local_behind_nat || remote_behind_nat; }
  friend bool operator==(const NatDetection&, const NatDetection&) = default;
};

// Judges the peer's notifications by the addresses of the datagram that carried them. Several sources are
// alternatives: one that matches is enough. A notification of the wrong size matches nothing.
[[nodiscard]] NatDetection detect_nat(const IkeSaId& spis, const Endpoint& local, const Endpoint& remote,
                                      std::span<const wire::Payload> payloads);

}  // namespace merlon::ikev2
