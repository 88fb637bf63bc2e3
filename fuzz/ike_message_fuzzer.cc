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

namespace {

using merlon::ByteView;
namespace wire = merlon::wire;

void fuzz_message(ByteView input) {
  const auto message = wire::parse_message(input);
  if (!message) return;
  MERLON_ASSERT(!wire::describe(*message).empty());
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
