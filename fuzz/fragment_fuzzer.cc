// A peer that holds the keys and means harm: what it puts inside SK and SKF payloads goes through decryption,
// padding and parsing, and its fragments through reassembly. Reassembly must stay within its limits, and a
// message that it calls complete must be made of one fragment for each number up to one total.
//
// The input is a list of steps: a byte of what, a fragment number, a total, a length, and so many bytes of
// content.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/check.h"
#include "base/reader.h"
#include "base/rng.h"
#include "ikev2/fragmentation.h"

namespace {

using namespace merlon;         // NOLINT
using namespace merlon::ikev2;  // NOLINT

struct Ends {
  MessageProtection peer, us;
};

IkeKeys some_keys() {
  IkeKeys keys;
  keys.sk_ei = Secret(36);
  keys.sk_er = Secret(36);
  return keys;
}

Ends make_ends() {
  const crypto::MessageCipherSuite suite{EncrId::kAesGcm16, 256, IntegId::kNone};
  const IkeKeys keys = some_keys();
  auto peer = MessageProtection::create(suite, keys, true);
  auto us = MessageProtection::create(suite, keys, false);
  MERLON_ASSERT(peer.has_value() && us.has_value());
  return {std::move(*peer), std::move(*us)};
}

wire::IkeHeader header_of(std::uint32_t message_id) {
  wire::IkeHeader header;
  header.initiator_spi = {1};
  header.responder_spi = {2};
  header.flags.initiator = true;
  header.message_id = {message_id};
  return header;
}

void whole_message(MessageProtection& peer, MessageProtection& us, Rng& rng, wire::PayloadType first,
                   ByteView content) {
  const auto sealed = peer.seal_encoded(header_of(0), {first, to_bytes(content)}, rng);
  if (!sealed) return;
  const auto message = wire::parse_message(*sealed);
  MERLON_ASSERT(message.has_value());
  const auto opened = us.open(*sealed, *message);
  MERLON_ASSERT(opened.has_value() || opened.error().kind == OpenFailure::kMalformed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  SeededRng rng(1);
  auto ends = make_ends();
  Reassembly reassembly;
  ByteReader reader(ByteView(data, size));
  while (true) {
    const auto what = reader.u8(), number = reader.u8(), total = reader.u8(), length = reader.u8();
    if (!what || !number || !total || !length) break;
    const auto content = reader.take(std::min<std::size_t>(*length, reader.remaining()));
    if ((*what & 1U) != 0) {
      whole_message(ends.peer, ends.us, rng, static_cast<wire::PayloadType>(*number), *content);
      continue;
    }
    const std::uint32_t id = (*what >> 1U) & 1U;
    const auto sealed = ends.peer.seal_fragment(header_of(id), static_cast<wire::PayloadType>(*what), *number,
                                                *total, *content, rng);
    MERLON_ASSERT(sealed.has_value());
    const auto message = wire::parse_message(*sealed);
    if (!message) continue;  // a number beyond its total
    auto fragment = ends.us.open_fragment(*sealed, *message);
    MERLON_ASSERT(fragment.has_value());
    MERLON_ASSERT(equal(fragment->content, *content));
    const auto outcome = reassembly.add({id}, std::move(*fragment), Instant{});
    MERLON_ASSERT(reassembly.stored_bytes() <= kMaxReassembledBytes);
    if (outcome != Reassembly::Outcome::kComplete) continue;
    const auto whole = reassembly.take();
    MERLON_ASSERT(whole.has_value() && whole->fragments == *total && reassembly.stored_bytes() == 0);
    (void)wire::parse_payloads(whole->first, whole->content);
  }
  return 0;
}
