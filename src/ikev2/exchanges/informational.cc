// INFORMATIONAL (RFC 7296 1.4).
//
//   one side                              the other
//     HDR, SK {D(ESP, SPIs)}          -->                        Child SAs: the sender's inbound SPIs (1.4.1)
//                                     <--  HDR, SK {D(ESP, SPIs)}   their other halves; none where deletes cross
//     HDR, SK {D(IKE)}                -->                        this IKE SA with all its children
//                                     <--  HDR, SK {}
//     HDR, SK {}                      -->                        are you there? (2.4)
//                                     <--  HDR, SK {}
//     HDR, SK {N(INVALID_SPI | INVALID_SELECTORS | INVALID_MESSAGE_ID)} -->   something is wrong (1.5, 2.3, 3.10.1)
//                                     <--  HDR, SK {}
//     HDR, SK {N(AUTHENTICATION_FAILED)} -->                     you did not prove yourself (2.21.2)
//                                     <--  HDR, SK {}
#include "ikev2/exchanges/informational.h"

#include "ikev2/established.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/create_child_sa.h"

namespace merlon::ikev2 {

static_assert(leads_to<&on_informational_request, Established, Next<Established, Lingering>>);
static_assert(leads_to<&on_informational_response, Established, Next<Established>>);
static_assert(leads_to<&on_improper_request, Established, Next<Established, Lingering>>);
static_assert(leads_to<&begin_delete_ike, Established, Next<Closing, Closed>>);
static_assert(leads_to<&on_message_while_closing, Closing, Next<Closing, Lingering, Closed>>);

using ike::Counter;
using ike::RarePath;
using ike::diagnosis::Exchange;
using wire::ExchangeType;
using wire::NotifyType;

// ---- ours

void begin_delete_children(Shard& shard, IkeSa& sa, Established& established) {
  DeletingChild own;
  std::erase_if(established.tasks, [&](const Task& task) {
    const auto* one = std::get_if<DeleteChildTask>(&task.what);
    if (!one || task_ready_at(established, task) > shard.time()) return false;
    own.inbound_spis.push_back(one->inbound_spi);
    return true;
  });
  if (own.inbound_spis.empty()) return;
  const std::vector<wire::Payload> payloads{
      wire::DeletePayload{SecurityProtocol::kEsp, own.inbound_spis, false}};
  shard.count(Counter::kChildDeletesSent, own.inbound_spis.size());
  if (established.channel.request(shard, sa, ExchangeType::kInformational, payloads,
                                  RetransmissionSchedule::of(*sa.connection)))
    established.own = std::move(own);
}

void begin_probe(Shard& shard, IkeSa& sa, Established& established, unsigned datagram_size) {
  shard.count(Counter::kLivenessChecks);
  const auto schedule = RetransmissionSchedule::of(*sa.connection);
  if (datagram_size != 0 && established.channel.probe(shard, sa, datagram_size, schedule)) {
    established.own = Probing{datagram_size};
    return;
  }
  if (established.channel.request(shard, sa, ExchangeType::kInformational, {}, schedule))
    established.own = Probing{};
}

void begin_notice(Shard& shard, IkeSa& sa, Established& established, NoticeTask notice) {
  if (notice.only_on && *notice.only_on != sa.own_spi()) return;
  // The packet came before what it belongs to was finished here: it is known now.
  if (const auto spi = wire::read_invalid_spi(notice.notify);
      notice.notify.type == NotifyType::kInvalidSpi && spi &&
      std::any_of(established.children.begin(), established.children.end(),
                  [&](const ChildSaRecord& record) { return record.sa->inbound_spi == *spi; }))
    return;
  const auto type = notice.notify.type;
  const std::vector<wire::Payload> payloads{std::move(notice.notify)};
  const bool sent = established.channel
                        .request(shard, sa, ExchangeType::kInformational, payloads,
                                 RetransmissionSchedule::of(*sa.connection))
                        .has_value();
  if (!sent) return;
  established.own = Notifying{};
  shard.emit(ike::Event(ike::ErrorNotified{
      sa.connection_name(), sa.id, true, ike::diagnosis::told_to_peer(subject_of(sa), type, notice.about)}));
}

Next<Closing, Closed> begin_delete_ike(Shard& shard, IkeSa& sa, Established&& phase, ike::Failure reason) {
  const std::vector<wire::Payload> payloads{wire::DeletePayload{}};
  auto schedule = RetransmissionSchedule::of(*sa.connection);
  schedule.tries = std::min(schedule.tries, kMaxDeleteSends);
  const bool sent =
      phase.channel.request(shard, sa, ExchangeType::kInformational, payloads, schedule).has_value();
  if (sent) shard.count(Counter::kIkeDeletesSent);
  (void)give_up(shard, sa, phase, std::move(reason));
  if (!sent) return Closed{};
  return Closing{std::move(phase.channel), phase.redundant};
}

// RFC 7296 2.8.2: the peer, which lost, deletes what its rekey made. But where our answer to that rekey was lost, it
// gave the rekey up with the IKE SA that is now closed, and never will.
static void hurry(Shard& shard, IkeSpi redundant) {
  auto* sa = shard.find(redundant);
  auto* established = sa ? sa->established() : nullptr;
  if (!established) return;
  established->replaced_until = std::min(established->replaced_until, shard.time() + kHurriedPatience);
  shard.touch(*sa);
}

namespace {

// What stands in the data, for people.
std::string about(const wire::NotifyPayload& notify) {
  if (notify.type == NotifyType::kInvalidSpi) {
    if (const auto spi = wire::read_invalid_spi(notify)) return fmt::format("SPI {}", *spi);
  } else if (notify.type == NotifyType::kInvalidMessageId) {
    if (const auto id = wire::read_invalid_message_id(notify)) return fmt::format("Message ID {}", id->value);
  } else if (notify.type == NotifyType::kInvalidSelectors) {
    if (const auto name = wire::read_child_sa_name(notify)) return fmt::format("SPI {}", name->spi);
  }
  return {};
}

// RFC 7296 1.5: inside the IKE SA, so the peer means it. A rekey asks for the same thing in a way that is right
// whatever the truth is: a peer that has the Child SA rekeys it, one that has not says CHILD_SA_NOT_FOUND, and it is
// made anew (2.25). What is young may have crossed its own exchange.
void heed_invalid_spi(Shard& shard, Established& established, const wire::NotifyPayload& notify) {
  constexpr Duration kYoung = std::chrono::seconds(10);
  const auto spi = wire::read_invalid_spi(notify);
  auto* record = spi ? find_child_by_outbound(established, *spi) : nullptr;
  if (!record || !record->live() || record->replaced || shard.time() - record->established < kYoung) return;
  shard.count(Counter::kLostChildSasHeard);
  queue_rekey_child(established, *record);
}

// Error notifications in INFORMATIONAL that end nothing: counted, told to people now and then, and heeded.
void hear_errors(Shard& shard, const IkeSa& sa, Established& established,
                 std::span<const wire::Payload> payloads) {
  for (const auto* notify : wire::find_all<wire::NotifyPayload>(payloads)) {
    if (!wire::is_error(notify->type)) continue;
    if (notify->type == NotifyType::kInvalidSpi) heed_invalid_spi(shard, established, *notify);
    if (shard.time() < established.next_heard) continue;
    established.next_heard = shard.time() + kNoticeInterval;
    shard.emit(ike::Event(
        ike::ErrorNotified{sa.connection_name(), sa.id, false,
                           ike::diagnosis::told_by_peer(subject_of(sa), notify->type, about(*notify))}));
  }
}

}  // namespace

Next<Established> on_informational_response(Shard& shard, IkeSa& sa, Established&& phase,
                                            Incoming&& incoming) {
  const auto kind = std::holds_alternative<DeletingChild>(phase.own) ? ike::ExchangeKind::kDelete
                    : std::holds_alternative<Notifying>(phase.own)   ? ike::ExchangeKind::kOtherInformational
                                                                     : ike::ExchangeKind::kLiveness;
  shard.counters().add(kind, ike::ExchangeRole::kInitiator, ike::ExchangeResult::kOk);
  hear_errors(shard, sa, phase, incoming.payloads);
  if (const auto* own = std::get_if<DeletingChild>(&phase.own)) {
    // RFC 7296 1.4.1: whatever the answer says, our halves go now.
    for (auto& record : phase.children)
      if (std::find(own->inbound_spis.begin(), own->inbound_spis.end(), record.sa->inbound_spi) !=
          own->inbound_spis.end())
        close_child(shard, sa, record, record.replaced ? "replaced by a rekey" : "deleted by us");
  }
  // Answered before it was sent again in fragments: the path carries what was asked.
  if (const auto* own = std::get_if<Probing>(&phase.own); own && own->datagram_size != 0) {
    const bool whole = phase.channel.answered_sends() == 1;
    if (!whole) shard.count(RarePath::kPathProbeUnanswered);
    shard.path_probed({phase.channel.path().remote.address, own->datagram_size, whole});
  }
  phase.own = std::monostate{};
  return std::move(phase);
}

// ---- the peer's
namespace {

// The outbound half moves to what is newest when the old one goes (RFC 7296 2.8); with several, to what took its place.
void move_outbound(Shard& shard, Established& established, const ChildSaRecord& gone) {
  for (auto record = established.children.rbegin(); record != established.children.rend(); ++record)
    if (record->child_index == gone.child_index && record->live() && !record->replaced &&
        record->sa->resource == gone.sa->resource)
      return use_outbound(shard, *record);
}

void mark_target_gone(Established& established, const ChildSaRecord& record) {
  if (auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
      own && (*own)->rekeys == record.sa->id)
    (*own)->target_gone = true;
}

// Deletes what one SPI names; the SPI of its other half belongs into the answer.
std::optional<Spi> delete_child(Shard& shard, const IkeSa& sa, Established& established, Spi outbound_spi) {
  auto* record = find_child_by_outbound(established, outbound_spi);
  const auto decision =
      on_peer_request(own_exchange(established), PeerRequest::kDeleteChild, named_child(established, record));
  shard.counters().add_collision(decision.row);
  if (!record) {
    // Perhaps what our own exchange is about to make: its answer is late, and the peer has deleted it since.
    if (auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
        own && (*own)->deleted_early.size() < kMaxDeletedEarly)
      (*own)->deleted_early.push_back(outbound_spi);
    return std::nullopt;
  }
  if (decision.followup == Followup::kOwnTargetGone) mark_target_gone(established, *record);
  if (decision.reply != Reply::kAccept) return std::nullopt;
  const auto inbound_spi = record->sa->inbound_spi;
  // A delete of ours that waits in the list is done with this.
  std::erase_if(established.tasks, [&](const Task& task) {
    const auto* queued = std::get_if<DeleteChildTask>(&task.what);
    return queued && queued->inbound_spi == inbound_spi;
  });
  close_child(shard, sa, *record, record->replaced ? "replaced by a rekey" : "deleted by the peer");
  move_outbound(shard, established, *record);
  return inbound_spi;
}

}  // namespace

Next<Established, Lingering> deleted_by_peer(Shard& shard, IkeSa& sa, Established&& phase) {
  // RFC 7296 2.8.2: the peer has answered our own rekey. What that made is ours to delete if it lost, and it can be named
  // only when its secret is derived: this IKE SA, with the keys that it needs, stays until then.
  if (auto* own = std::get_if<std::unique_ptr<RekeyingIke>>(&phase.own);
      own && (*own)->chosen && (*own)->pending != 0) {
    shard.count(RarePath::kDeleteWaitsForIkeRekey);
    phase.delete_waits = true;
    return std::move(phase);
  }
  shard.count(Counter::kIkeDeletesReceived);
  const auto decision = on_peer_request(own_exchange(phase), PeerRequest::kDeleteIkeSa, NamedChild::kNone);
  shard.counters().add_collision(decision.row);
  (void)phase.channel.respond(shard, sa, ExchangeType::kInformational, {});
  phase.channel.forget_request();
  // RFC 7296 2.8.2: the peer never saw our crossing rekey, and took its own for done.
  if (auto* own = std::get_if<std::unique_ptr<RekeyingIke>>(&phase.own)) {
    const auto crossed = std::move((*own)->crossed);
    settle_for_peers_rekey(shard, sa, phase, crossed);
  }
  auto reason = phase.successor ? ike::diagnosis::deleted_by_us(subject_of(sa), "replaced by a rekey")
                                : ike::diagnosis::deleted_by_peer(subject_of(sa));
  return linger(shard, sa, std::move(phase), std::move(reason));
}

Next<Established, Lingering> on_informational_request(Shard& shard, IkeSa& sa, Established&& phase,
                                                      Incoming&& incoming) {
  const auto deletes = wire::find_all<wire::DeletePayload>(incoming.payloads);
  for (const auto* one : deletes)
    if (one->protocol == SecurityProtocol::kIke) return deleted_by_peer(shard, sa, std::move(phase));
  // RFC 7296 2.21.2: we did not convince the peer, or it could not read our answer; with these it has closed the IKE SA.
  for (const auto type : {NotifyType::kAuthenticationFailed, NotifyType::kInvalidSyntax}) {
    if (!wire::find_notify(incoming.payloads, type)) continue;
    (void)phase.channel.respond(shard, sa, ExchangeType::kInformational, {});
    const auto exchange =
        type == NotifyType::kAuthenticationFailed ? Exchange::kIkeAuth : Exchange::kInformational;
    auto why = ike::diagnosis::peer_refused(subject_of(sa), exchange, type, true);
    return linger(shard, sa, std::move(phase), std::move(why));
  }
  hear_errors(shard, sa, phase, incoming.payloads);
  std::vector<Spi> deleted;
  for (const auto* one : deletes) {
    if (one->protocol != SecurityProtocol::kEsp) continue;
    shard.count(Counter::kChildDeletesReceived, one->spis.size());
    for (const auto spi : one->spis)
      if (const auto inbound_spi = delete_child(shard, sa, phase, spi)) deleted.push_back(*inbound_spi);
  }
  std::vector<wire::Payload> payloads;
  if (!deleted.empty())
    payloads.emplace_back(wire::DeletePayload{SecurityProtocol::kEsp, std::move(deleted), false});
  (void)phase.channel.respond(shard, sa, ExchangeType::kInformational, payloads);
  const auto kind = !deletes.empty()            ? ike::ExchangeKind::kDelete
                    : incoming.payloads.empty() ? ike::ExchangeKind::kLiveness
                                                : ike::ExchangeKind::kOtherInformational;
  shard.counters().add(kind, ike::ExchangeRole::kResponder, ike::ExchangeResult::kOk);
  return std::move(phase);
}

Next<Established, Lingering> on_improper_request(Shard& shard, IkeSa& sa, Established&& phase,
                                                 Incoming&& incoming) {
  const bool critical =
      incoming.malformed && incoming.malformed->notify == NotifyType::kUnsupportedCriticalPayload;
  auto notify = critical ? wire::make_unsupported_critical_payload(incoming.malformed->payload_type)
                         : wire::make_notify(NotifyType::kInvalidSyntax);
  if (critical) shard.count(Counter::kDropUnsupportedCritical);
  if (!incoming.malformed) shard.count(Counter::kDropWrongPhase);
  const std::vector<wire::Payload> payloads{std::move(notify)};
  (void)phase.channel.respond(shard, sa, incoming.exchange, payloads);
  // RFC 7296 2.5: an unsupported critical payload only refuses its message; 2.21.3: bad syntax ends the IKE
  // SA.
  if (critical) return std::move(phase);
  auto why =
      ike::diagnosis::protocol(subject_of(sa), Exchange::kInformational,
                               incoming.malformed ? incoming.malformed->error.message
                                                  : "a request that has no place in an established IKE SA",
                               NotifyType::kInvalidSyntax);
  return linger(shard, sa, std::move(phase), std::move(why));
}

Next<Closing, Lingering, Closed> on_message_while_closing(Shard& shard, IkeSa& sa, Closing&& phase,
                                                          Incoming&& incoming) {
  if (incoming.response) {
    if (phase.redundant) hurry(shard, *phase.redundant);
    return Closed{};
  }
  const auto deletes = wire::find_all<wire::DeletePayload>(incoming.payloads);
  const bool of_ike = std::any_of(deletes.begin(), deletes.end(),
                                  [](const auto* one) { return one->protocol == SecurityProtocol::kIke; });
  if (of_ike) {
    // RFC 7296 2.25.2: both closed it.
    shard.count(RarePath::kDeletesOfIkeSaCross);
    (void)phase.channel.respond(shard, sa, ExchangeType::kInformational, {});
    phase.channel.forget_request();
    return linger(shard, std::move(phase.channel));
  }
  std::vector<wire::Payload> payloads;
  // RFC 7296 2.5, 2.21.3: also while it is being closed.
  if (incoming.malformed)
    payloads.emplace_back(incoming.malformed->notify == NotifyType::kUnsupportedCriticalPayload
                              ? wire::make_unsupported_critical_payload(incoming.malformed->payload_type)
                              : wire::make_notify(incoming.malformed->notify));
  else if (incoming.exchange == ExchangeType::kCreateChildSa)
    payloads.emplace_back(wire::make_notify(NotifyType::kTemporaryFailure));
  (void)phase.channel.respond(shard, sa, incoming.exchange, payloads);
  return std::move(phase);
}

}  // namespace merlon::ikev2
