#include "ikev2/nat_detection.h"

#include <algorithm>

#include "crypto/hash.h"

namespace merlon::ikev2 {

using wire::NotifyType;

wire::NatDetectionDigest nat_detection_digest(const IkeSaId& spis, const Endpoint& endpoint) {
  return crypto::sha1({wire::nat_detection_input(spis, endpoint.address.bytes(), endpoint.port)});
}

std::vector<wire::NotifyPayload> nat_detection_notifies(const IkeSaId& spis, const Endpoint& local,
                                                        const Endpoint& remote, bool hide_local) {
  // No datagram comes from the unspecified address and port 0, so the peer finds that this digest fits
  // nothing.
  const Endpoint source = hide_local || local.address.is_unspecified()
                              ? Endpoint{IpAddress::any(remote.address.family()), 0}
                              : local;
  return {
      wire::make_nat_detection(NotifyType::kNatDetectionSourceIp, nat_detection_digest(spis, source)),
      wire::make_nat_detection(NotifyType::kNatDetectionDestinationIp, nat_detection_digest(spis, remote))};
}

NatDetection detect_nat(const IkeSaId& spis, const Endpoint& local, const Endpoint& remote,
                        std::span<const wire::Payload> payloads) {
  const auto sources = wire::find_all_notify(payloads, NotifyType::kNatDetectionSourceIp);
  const auto destinations = wire::find_all_notify(payloads, NotifyType::kNatDetectionDestinationIp);
  NatDetection found;
  if (sources.empty() || destinations.empty()) return found;
  found.supported = true;
  const auto any_matches = [](const std::vector<const wire::NotifyPayload*>& notifies,
                              const wire::NatDetectionDigest& digest) {
    return std::any_of(notifies.begin(), notifies.end(),
                       [&](const wire::NotifyPayload* notify) { return equal(notify->data, digest); });
  };
  found.remote_behind_nat = !any_matches(sources, nat_detection_digest(spis, remote));
  found.local_behind_nat = !any_matches(destinations, nat_detection_digest(spis, local));
  return found;
}

}  // namespace merlon::ikev2
