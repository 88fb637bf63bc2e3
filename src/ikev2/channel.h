// One protected conversation with a peer: encryption, Message IDs and windows (RFC 7296 2.2, 2.3),
// retransmission (2.1) and fragments (RFC 7383). The exchanges above it see typed, decrypted, authenticated
// payloads and nothing else.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "ike/actions.h"
#include "ikev2/fragmentation.h"
#include "ikev2/message_protection.h"
#include "ikev2/retransmission.h"
#include "ikev2/token_bucket.h"
#include "wire/ike/message.h"

namespace merlon::ikev2 {

class Shard;
struct IkeSa;

// Where IKE messages travel.
struct Path {
  Endpoint local, remote;
  bool natt = false;
  friend bool operator==(const Path&, const Path&) = default;
};

// A datagram on its way through the engine.
struct Arrival {
  const ike::Datagram& datagram;
  wire::Message message;
  [[nodiscard]] Path path() const { return {datagram.local, datagram.remote, datagram.natt}; }
};

// A message that was authenticated and decrypted and lies in the window.
struct Incoming {
  wire::ExchangeType exchange = wire::ExchangeType::kInformational;
  bool response = false;
  std::vector<wire::Payload> payloads;
  std::optional<wire::ParseError>
      malformed;  // authentic, but what is inside contradicts its format (RFC 7296 2.21.3)
  Path path;
};

class Channel {
 public:
  struct Setup {
    IkeSaId id;
    bool initiator = false;  // whether we are the original initiator of the IKE SA: the I flag
    Path path;
    bool fragmentation = false;  // both sides announced it (RFC 7383 2.3)
    std::size_t fragment_size = 1280;
    std::uint32_t next_own_id = 0, next_peer_id = 0;
  };
  Channel(Setup setup, MessageProtection protection)
      : id_(setup.id),
        initiator_(setup.initiator),
        fragmentation_(setup.fragmentation),
        fragment_size_(static_cast<std::uint16_t>(setup.fragment_size)),
        path_(setup.path),
        protection_(std::move(protection)),
        own_id_(setup.next_own_id),
        peer_id_(setup.next_peer_id) {}

  [[nodiscard]] const Path& path() const { return path_; }
  void set_path(const Path& path) { path_ = path; }
  // Once a responder knows whose connection it is.
  void set_fragment_size(std::size_t size) { fragment_size_ = static_cast<std::uint16_t>(size); }
  // RFC 7296 2.3: an authentic request whose Message ID is ahead of the window: the peer counts otherwise than we do.
  // What lies behind the window are late copies of what was answered, which are no error and which anybody can send
  // again.
  [[nodiscard]] std::optional<MessageId> beyond_window(const Arrival& arrival);
  // Message IDs stay below this one (EngineOptions::last_message_id).
  void limit_message_ids(std::uint32_t last) { last_id_ = last; }
  // The peer is authenticated: it may send larger messages.
  void trust();
  // From now on nothing but repeated requests is looked at, and nothing is collected.
  void only_repeat();
  // Fragments whose others never came: given up at this time (kNever: none are waited for).
  [[nodiscard]] Instant fragments_deadline() const;
  void drop_stale_fragments(Shard& shard);
  [[nodiscard]] bool fragmentation() const { return fragmentation_; }

  // RFC 7296 2.3: one request of ours at a time. Errors: what sealing gives; the Message ID stays unused
  // then.
  Result<> request(Shard& shard, const IkeSa& sa, wire::ExchangeType exchange,
                   std::span<const wire::Payload> payloads, const RetransmissionSchedule& schedule);
  // An INFORMATIONAL request without meaning, filled up to one IP datagram of `datagram_size` bytes that routers may not
  // fragment. When it is not answered, the same message goes out in fragments (RFC 7383 2.5.2), so that a path too
  // narrow for it costs no more than one retransmission. Needs fragmentation(). kInvalidArgument: too small a size.
  Result<> probe(Shard& shard, const IkeSa& sa, std::size_t datagram_size,
                 const RetransmissionSchedule& schedule);
  // Answers the request that open() gave last. The bytes are kept for the peer's retransmissions.
  Result<> respond(Shard& shard, const IkeSa& sa, wire::ExchangeType exchange,
                   std::span<const wire::Payload> payloads);

  // Window, authentication, decryption, reassembly, answers to retransmitted requests. nullopt: nothing
  // (more) to do; the reason was counted. A request is never given twice, and a response ends the request
  // that it answers.
  [[nodiscard]] std::optional<Incoming> open(Shard& shard, const IkeSa& sa, const Arrival& arrival);

  [[nodiscard]] bool requesting() const { return own_.has_value(); }
  // The request is moot: no more retransmissions, and its response will be ignored.
  void forget_request() { own_.reset(); }
  [[nodiscard]] Instant deadline() const { return own_ ? own_->next_send : kNever; }
  enum class Due { kNothing, kSentAgain, kGivenUp };
  Due advance(Shard& shard, const IkeSa& sa);
  [[nodiscard]] unsigned sends() const { return own_ ? own_->sends : 0; }
  // Of the request that was answered last.
  [[nodiscard]] unsigned answered_sends() const { return answered_sends_; }
  [[nodiscard]] Instant first_sent() const { return own_ ? own_->first_sent : Instant{}; }
  // RFC 7296 2.2: the IKE SA is rekeyed before Message IDs run out,
  [[nodiscard]] bool nearly_exhausted() const {
    const auto soft = last_id_ - std::max(kSpareMessageIds, last_id_ >> 16U);
    return own_id_ > soft || peer_id_ > soft;
  }
  // and closed when that has not helped: the last one is for the Delete.
  [[nodiscard]] bool exhausted() const { return own_id_ >= last_id_ - 1 || peer_id_ >= last_id_ - 1; }

  static constexpr std::uint32_t kSpareMessageIds = 16;

 private:
  struct OwnRequest {
    std::vector<Bytes> datagrams;
    RetransmissionSchedule schedule;
    unsigned sends = 1;
    Instant first_sent, next_send;
  };
  enum class Window { kRequest, kRepeatedRequest, kResponse, kOutside };
  [[nodiscard]] wire::IkeHeader header(wire::ExchangeType exchange, bool response,
                                       std::uint32_t message_id) const;
  [[nodiscard]] Window judge(const wire::IkeHeader& received) const;
  void transmit(Shard& shard, const std::vector<Bytes>& datagrams, const Path& path) const;
  // `again`: the copy asks for the answer (RFC 7383 2.6.1: of fragments the first one does).
  void take_copy(Shard& shard, const Path& path, std::size_t size, bool again);
  [[nodiscard]] bool may_answer_elsewhere(Shard& shard, const Path& path, std::size_t size, bool again);
  void note_source(Reassembly::Outcome outcome, const Path& from);
  [[nodiscard]] std::optional<Incoming> open_whole(Shard& shard, const Arrival& arrival);
  [[nodiscard]] std::optional<Incoming> open_fragment(Shard& shard, const Arrival& arrival, bool repeated);
  [[nodiscard]] DatagramLimit limit(const Path& path) const;

  IkeSaId id_;
  bool initiator_ = false, fragmentation_ = false, answering_ = false, only_repeats_ = false;
  bool from_several_places_ = false;  // the fragments of the request that is collected, or was opened last
  std::uint16_t fragment_size_ = 1280;
  Path path_, reply_path_, fragments_from_;
  MessageProtection protection_;
  std::uint32_t own_id_ = 0, peer_id_ = 0;  // of the next request of each side
  std::uint32_t last_id_ = 0xFFFFFFFF;
  std::optional<OwnRequest> own_;
  unsigned answered_sends_ = 0;
  std::vector<Bytes> last_response_;
  // Of answers to copies of the last request that come from another address: how often, and for how many bytes that came from there.
  TokenBucket repeats_elsewhere_{1, 4};
  Endpoint elsewhere_;
  std::size_t credit_elsewhere_ = 0;
  Reassembly requests_, responses_;
};

}  // namespace merlon::ikev2
