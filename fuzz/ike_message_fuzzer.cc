// Feeds the IKE message parser, and the parser of decrypted payload chains, and demands that what they accept
// survives a round trip: encoded and parsed again it is the same value, and encoded again the same bytes.
//
// The input's first byte says what the rest is: an even one a whole message, an odd one a decrypted chain
// whose first payload has the type of the second byte.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "wire/ike/describe.h"
#include "wire/ike/message.h"
#include "wire/ike/notify_data.h"

namespace {

using merlon::ByteView;
namespace wire = merlon::wire;

// What a notification carries; what is read and written again is the same.
void fuzz_notify(const wire::NotifyPayload& notify) {
  if (const auto cookie = wire::read_cookie(notify))
    MERLON_ASSERT(wire::make_cookie(*cookie).data == notify.data);
  if (const auto digest = wire::read_nat_detection(notify))
    MERLON_ASSERT(wire::make_nat_detection(notify.type, *digest).data == notify.data);
  if (const auto wanted = wire::read_invalid_ke_payload(notify))
    MERLON_ASSERT(wire::make_invalid_ke_payload(*wanted).data == notify.data);
  if (const auto hashes = wire::read_signature_hash_algorithms(notify))
    MERLON_ASSERT(wire::make_signature_hash_algorithms(*hashes).data == notify.data);
  if (const auto child = wire::read_child_sa_name(notify))
    MERLON_ASSERT(wire::make_rekey_sa(*child).spi == notify.spi);
  if (const auto size = wire::read_set_window_size(notify))
    MERLON_ASSERT(wire::make_set_window_size(*size).data == notify.data);
  if (const auto type = wire::read_unsupported_critical_payload(notify))
    MERLON_ASSERT(wire::make_unsupported_critical_payload(*type).data == notify.data);
  if (const auto spi = wire::read_invalid_spi(notify))
    MERLON_ASSERT(wire::make_invalid_spi(*spi).data == notify.data);
  if (const auto id = wire::read_invalid_message_id(notify))
    MERLON_ASSERT(wire::make_invalid_message_id(*id).data == notify.data);
  if (const auto lifetime = wire::read_auth_lifetime(notify))
    MERLON_ASSERT(wire::make_auth_lifetime(*lifetime).data == notify.data);
}

void look_inside(const std::vector<wire::Payload>& payloads) {
  for (const auto& payload : payloads)
    if (const auto* notify = std::get_if<wire::NotifyPayload>(&payload)) fuzz_notify(*notify);
}

void fuzz_message(ByteView input) {
  const auto message = wire::parse_message(input);
  if (!message) return;
  MERLON_ASSERT(!wire::describe(*message).empty());
  look_inside(message->payloads);
  const auto encoded = wire::encode_message(*message);
  MERLON_ASSERT(encoded.has_value());
  const auto again = wire::parse_message(*encoded);
  MERLON_ASSERT(again.has_value());
  MERLON_ASSERT(again->payloads == message->payloads);
  const auto encoded_again = wire::encode_message(*again);
  MERLON_ASSERT(encoded_again.has_value() && *encoded_again == *encoded);
}

void fuzz_chain(wire::PayloadType first, ByteView input) {
  const auto payloads = wire::parse_payloads(first, input);
  if (!payloads) return;
  look_inside(*payloads);
  const auto encoded = wire::encode_payloads(*payloads);
  MERLON_ASSERT(encoded.has_value());
  MERLON_ASSERT(encoded->first == first);
  const auto again = wire::parse_payloads(encoded->first, encoded->bytes);
  MERLON_ASSERT(again.has_value());
  MERLON_ASSERT(*again == *payloads);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  if (input.size() < 2) return 0;
  if (input[0] % 2 == 0)
    fuzz_message(input.subspan(1));
  else
    fuzz_chain(static_cast<wire::PayloadType>(input[1]), input.subspan(2));
  return 0;
}
