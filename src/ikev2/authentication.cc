// What both sides have in common: the octets that are signed, and the MAC of a pre-shared key. How we prove
// ourselves is in authentication_local.cc, how the peer is checked in authentication_peer.cc.
#include "ikev2/authentication.h"

#include "crypto/prf.h"

namespace merlon::ikev2 {

// RFC 7296 2.15: InitiatorSignedOctets = RealMessage1 | NonceRData | MACedIDForI, and the same for the
// responder.
Result<Bytes> signed_octets(const SignedOctetsInput& input) {
  MERLON_TRY(const Secret maced_id, crypto::prf(input.prf, input.sk_p, {input.id_body}));
  return concat(input.first_message, input.other_nonce, maced_id.bytes());
}

// RFC 7296 2.15: the pad string makes the MAC key useless for anything but IKEv2.
Result<Bytes> psk_auth_data(PrfId prf, const Secret& psk, ByteView octets) {
  MERLON_TRY(const Secret key, crypto::prf(prf, psk.bytes(), {as_bytes("Key Pad for IKEv2")}));
  MERLON_TRY(const Secret mac, crypto::prf(prf, key.bytes(), {octets}));
  return to_bytes(mac.bytes());
}

Result<wire::AuthPayload> psk_auth_payload(PrfId prf, const Secret& psk, ByteView octets) {
  wire::AuthPayload payload;
  payload.method = AuthMethod::kSharedKeyMic;
  MERLON_TRY(payload.data, psk_auth_data(prf, psk, octets));
  return payload;
}

}  // namespace merlon::ikev2
