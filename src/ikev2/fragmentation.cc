#include "ikev2/fragmentation.h"

#include <algorithm>

namespace merlon::ikev2 {

namespace {

constexpr std::size_t kUdpHeader = 8, kNonEspMarker = 4;
constexpr std::size_t kSkfOverhead = wire::kIkeHeaderSize + wire::kGenericHeaderSize + 4;  // RFC 7383 2.5

std::size_t ip_header(IpFamily family) {
  return family == IpFamily::kIpv4 ? 20 : 40;
}
// RFC 7383 2.5.1: what every path of the family carries.
std::size_t minimum_datagram(IpFamily family) {
  return family == IpFamily::kIpv4 ? 576 : 1280;
}

std::size_t behind_headers(std::size_t datagram, IpFamily family, bool natt) {
  const std::size_t headers = ip_header(family) + kUdpHeader + (natt ? kNonEspMarker : 0);
  return datagram > headers ? datagram - headers : 0;
}

std::size_t fragment_content(const MessageProtection& protection, std::size_t ike_message_bytes) {
  return ike_message_bytes > kSkfOverhead ? protection.content_that_fits(ike_message_bytes - kSkfOverhead)
                                          : 0;
}

}  // namespace

std::size_t DatagramLimit::ike_message_bytes() const {
  return behind_headers(bytes, family, natt);
}

Result<std::vector<Bytes>> seal_fragmented(MessageProtection& protection, const wire::IkeHeader& header,
                                           std::span<const wire::Payload> payloads,
                                           const DatagramLimit& limit, bool allowed, Rng& rng) {
  MERLON_TRY(auto encoded, wire::encode_payloads(payloads));
  const std::size_t whole =
      wire::kIkeHeaderSize + wire::kGenericHeaderSize + protection.sealed_size(encoded.bytes.size());
  std::vector<Bytes> messages;
  if (!allowed || whole <= limit.ike_message_bytes()) {
    auto message = protection.seal_encoded(header, encoded, rng);
    wipe(encoded.bytes);
    if (!message) return tl::unexpected(message.error());
    messages.push_back(std::move(*message));
    return messages;
  }

  std::size_t piece = fragment_content(protection, limit.ike_message_bytes());
  if (piece == 0)
    piece = fragment_content(protection,
                             behind_headers(minimum_datagram(limit.family), limit.family, limit.natt));
  const std::size_t total = (encoded.bytes.size() + piece - 1) / piece;
  if (total > kMaxFragments)
    return fail(ErrorCode::kExhausted, "a message of {} bytes needs {} fragments of {} bytes; {} is the most",
                encoded.bytes.size(), total, piece, kMaxFragments);
  for (std::size_t number = 1; number <= total; ++number) {
    const std::size_t offset = (number - 1) * piece;
    const auto content =
        ByteView(encoded.bytes).subspan(offset, std::min(piece, encoded.bytes.size() - offset));
    // RFC 7383 2.5: the first fragment names the first payload inside, the others "No Next Payload".
    MERLON_TRY(Bytes message,
               protection.seal_fragment(header, number == 1 ? encoded.first : wire::PayloadType::kNone,
                                        static_cast<std::uint16_t>(number), static_cast<std::uint16_t>(total),
                                        content, rng));
    messages.push_back(std::move(message));
  }
  wipe(encoded.bytes);
  return messages;
}

void Reassembly::clear() {
  id_.reset();
  total_ = 0;
  complete_ = false;
  first_ = wire::PayloadType::kNone;
  for (auto& [number, part] : parts_) wipe(part);
  parts_.clear();
  share_.clear();
  bytes_ = 0;
}

Reassembly::Outcome Reassembly::add(MessageId id, OpenedFragment fragment, Instant now,
                                    MemoryBudget* budget) {
  // RFC 7383 2.6: fragment numbers run from 1 to the total.
  if (fragment.number == 0 || fragment.number > fragment.total || fragment.total > kMaxFragments)
    return Outcome::kDropped;
  if (id_ != id) {
    clear();
    id_ = id;
  }
  if (complete_) return Outcome::kDuplicate;
  if (fragment.total < total_) return Outcome::kDropped;  // RFC 7383 2.6.1
  if (fragment.total > total_) {                          // RFC 7383 2.6.1
    clear();
    id_ = id;
    total_ = fragment.total;
  }
  if (parts_.contains(fragment.number)) return Outcome::kDuplicate;
  if (bytes_ + fragment.content.size() > limit_) return Outcome::kDropped;
  // What a part costs beside its bytes, so that many small ones are no way around.
  constexpr std::size_t kPartOverhead = 128;
  if (budget && !share_.grow(*budget, fragment.content.size() + kPartOverhead, limit_ > kMaxUnprovenBytes))
    return Outcome::kNoMemory;

  if (parts_.empty()) since_ = now;
  if (fragment.number == 1) first_ = fragment.first;
  bytes_ += fragment.content.size();
  parts_.emplace(fragment.number, std::move(fragment.content));
  if (parts_.size() < total_) return Outcome::kStored;
  complete_ = true;
  return Outcome::kComplete;
}

std::optional<Reassembly::Whole> Reassembly::take() {
  if (!complete_ || parts_.empty()) return std::nullopt;
  Whole whole;
  whole.first = first_;
  whole.fragments = total_;
  whole.content.reserve(bytes_);
  for (auto& [number, part] : parts_) {
    append(whole.content, part);
    wipe(part);
  }
  parts_.clear();
  share_.clear();
  bytes_ = 0;
  return whole;
}

}  // namespace merlon::ikev2
