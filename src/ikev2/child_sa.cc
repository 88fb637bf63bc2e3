#include "ikev2/child_sa.h"

#include <algorithm>

#include "ike/diagnosis.h"
#include "ikev2/ike_sa.h"
#include "ikev2/shard.h"
#include "wire/ike/notify_data.h"

namespace merlon::ikev2 {

using ike::Counter;
using wire::NotifyType;

std::string describe(const policy::EspAlgorithms& algorithms) {
  auto text = name(algorithms.encr, algorithms.key_bits);
  if (algorithms.integ != IntegId::kNone) text += "/" + name(algorithms.integ);
  return text + (algorithms.esn ? "/ESN" : "");
}

Instant soft_expiry(Shard& shard, const policy::SaLifetime& lifetime) {
  if (lifetime.soft.count() <= 0) return kNever;
  auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(lifetime.soft);
  const auto jitter =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::min(lifetime.jitter, lifetime.soft));
  if (jitter.count() > 0)
    wait -= std::chrono::milliseconds(shard.rng().below(static_cast<std::uint64_t>(jitter.count()) + 1));
  return shard.time() + wait;
}

Instant hard_expiry(const Shard& shard, const policy::SaLifetime& lifetime) {
  return lifetime.hard.count() <= 0 ? kNever : shard.time() + lifetime.hard;
}

policy::OuterPath outer_path(const Shard& shard, const IkeSa& sa, const Path& path) {
  using policy::PathProtocol;
  policy::OuterPath outer{path.local, path.remote, false};
  const auto wanted = sa.connection->encapsulation;
  outer.udp_encapsulation = wanted == PathProtocol::kUdp || (wanted == PathProtocol::kAuto && sa.nat.any());
  if (outer.udp_encapsulation && !path.natt) {
    outer.local.port = shard.options().natt_port;
    outer.remote.port = 4500;
  }
  return outer;
}

// ---- making one
namespace {
policy::ChildSaPtr assemble(Shard& shard, const IkeSa& sa, const PeerAuthenticated& peer,
                            const ChildAgreement& agreement, const policy::EspAlgorithms& algorithms,
                            ChildKeys keys, const Path& path) {
  // Only an authenticated peer has Child SAs: that is what `peer` stands here for.
  MERLON_ASSERT(peer.connection() != nullptr);
  auto child = std::make_shared<policy::ChildSa>();
  child->id = shard.next_child_id();
  child->connection = sa.connection;
  child->child_index = agreement.child_index;
  child->inbound_spi = agreement.inbound_spi;
  child->outbound_spi = agreement.outbound_spi;
  child->algorithms = algorithms;
  child->outbound =
      std::move(agreement.initiator ? keys.initiator_to_responder : keys.responder_to_initiator);
  child->inbound = std::move(agreement.initiator ? keys.responder_to_initiator : keys.initiator_to_responder);
  child->local_ts = agreement.local_ts;
  child->remote_ts = agreement.remote_ts;
  child->path = outer_path(shard, sa, path);
  child->use_outbound = agreement.use_outbound;
  child->resource = agreement.resource;
  const auto& lifetime = child->child().lifetime;
  child->soft_bytes = lifetime.soft_bytes;
  child->hard_bytes = lifetime.hard_bytes;
  child->soft_packets = lifetime.soft_packets;
  child->hard_packets = lifetime.hard_packets;
  return child;
}

ChildLine begin_line(const ChildAgreement& agreement) {
  const bool nonce_i = nonce_is_lower(agreement.nonce_i, agreement.nonce_r);
  return {agreement.initiator, to_bytes(nonce_i ? agreement.nonce_i : agreement.nonce_r)};
}
}  // namespace

Result<policy::ChildSaId> create_child_sa(Shard& shard, IkeSa& sa, Established& established,
                                          const ChildAgreement& agreement) {
  const policy::EspAlgorithms algorithms{agreement.chosen.encr, agreement.chosen.key_bits,
                                         agreement.chosen.integ, agreement.chosen.esn};
  MERLON_TRY(auto keys, derive_child_keys(established.algorithms.prf, established.sk_d, algorithms,
                                          agreement.nonce_i, agreement.nonce_r, agreement.shared_secret));
  const auto child = assemble(shard, sa, established.peer, agreement, algorithms, std::move(keys),
                              established.channel.path());
  const auto& config = child->child();
  ChildSaRecord record;
  record.sa = child;
  record.child_index = agreement.child_index;
  record.established = shard.time();
  record.soft = soft_expiry(shard, config.lifetime);
  record.hard = hard_expiry(shard, config.lifetime);
  record.outbound_in_use = agreement.use_outbound;
  record.line = agreement.replaces ? agreement.line : begin_line(agreement);
  established.children.push_back(std::move(record));
  shard.child_belongs(child->id, sa);
  shard.count(agreement.replaces ? Counter::kChildSasRekeyed : Counter::kChildSasEstablished);
  shard.emit(ike::InstallChildSa{child});
  ike::ChildSaEstablished event{sa.connection_name(),
                                config.name,
                                sa.id,
                                child->id,
                                child->inbound_spi,
                                child->outbound_spi,
                                agreement.replaces.has_value(),
                                child->path.udp_encapsulation,
                                describe(algorithms),
                                policy::to_text(child->local_ts),
                                policy::to_text(child->remote_ts)};
  shard.emit(ike::Event(std::move(event)));
  if (shard.keys_traced(sa)) shard.emit(ike::Event(ike::ChildKeysTraced{child}));
  return child->id;
}

// ---- the responder's answer
namespace {
ChildRefusal refuse(NotifyType type, ike::Failure failure, const policy::ChildConfig& child) {
  failure.notify_type = static_cast<std::uint16_t>(type);
  return {wire::make_notify(type), std::move(failure), child.name};
}
std::optional<Spi> offered_spi(const wire::SaPayload& sa, std::size_t index) {
  const auto spi = sa.proposals[index].child_spi();
  // RFC 4303 2.1: 0 to 255 are reserved.
  return spi && spi->value > 255 ? spi : std::nullopt;
}
}  // namespace

tl::expected<ChildAnswer, ChildRefusal> answer_child(const IkeSa& sa, const policy::Connection& connection,
                                                     const ChildQuestion& question) {
  ike::diagnosis::Subject subject{&connection, {}, sa.path.remote};
  const auto& tsi = question.tsi->selectors;
  const auto& tsr = question.tsr->selectors;
  ChildAnswer answer;
  if (question.child_index) {
    const auto& child = connection.children[*question.child_index];
    answer.child_index = *question.child_index;
    answer.narrowed = policy::narrow(child.local_ts, child.remote_ts, tsr, tsi);
  } else if (auto choice = policy::choose_child(connection, tsi, tsr)) {
    answer.child_index = choice->child_index;
    answer.narrowed = std::move(choice->narrowed);
  }
  // RFC 7296 2.9: TS_UNACCEPTABLE when nothing of the proposal is acceptable.
  if (answer.narrowed.verdict != policy::NarrowVerdict::kAccepted) {
    const auto type = answer.narrowed.verdict == policy::NarrowVerdict::kSinglePairRequired
                          ? NotifyType::kSinglePairRequired
                          : NotifyType::kTsUnacceptable;
    auto failure = ike::diagnosis::no_selectors(subject, {}, {}, tsr, tsi);
    failure.sentence = policy::explain_ts_mismatch(connection, tsi, tsr);
    return tl::unexpected(
        refuse(type, std::move(failure), connection.children[question.child_index.value_or(0)]));
  }
  const auto& child = connection.children[answer.child_index];
  subject.child = child.name;
  auto selection =
      policy::select_esp(child.proposals, question.sa->proposals, {question.with_ke, question.ke_received});
  // RFC 7296 2.7
  if (!selection)
    return tl::unexpected(
        refuse(NotifyType::kNoProposalChosen,
               ike::diagnosis::no_proposal(subject, child.proposals, question.sa->proposals), child));
  const auto spi = offered_spi(*question.sa, selection->offered_index);
  if (!spi)
    return tl::unexpected(refuse(
        NotifyType::kNoProposalChosen,
        ike::diagnosis::protocol(subject, ike::diagnosis::Exchange::kCreateChild,
                                 "the chosen proposal has no usable SPI", NotifyType::kNoProposalChosen),
        child));
  answer.selection = std::move(*selection);
  answer.outbound_spi = *spi;
  return answer;
}

void append_child_answer(std::vector<wire::Payload>& payloads, const ChildAnswer& answer, Spi inbound_spi) {
  wire::SaPayload chosen;
  chosen.proposals.push_back(answer.selection.answer);
  chosen.proposals.back().set_spi(inbound_spi);
  // SA stands first; TSi and TSr at the end (RFC 7296 1.3.1). The caller has put nonce and KE between, when
  // there are any.
  payloads.insert(payloads.begin(), std::move(chosen));
  payloads.emplace_back(wire::TsiPayload{answer.narrowed.remote_ts, {}, false});
  payloads.emplace_back(wire::TsrPayload{answer.narrowed.local_ts, {}, false});
  // RFC 7296 2.9: more could be had, in another Child SA.
  if (answer.narrowed.additional_possible)
    payloads.emplace_back(wire::make_notify(NotifyType::kAdditionalTsPossible));
}

// ---- the initiator's question
ChildProposed propose_child(const policy::Connection& connection, const ChildIntent& intent, Spi inbound_spi,
                            bool with_ke) {
  const auto& child = connection.children[intent.child_index];
  wire::Proposal spi_bytes;
  spi_bytes.set_spi(inbound_spi);
  std::optional<policy::TrafficSelector> local, remote;
  if (intent.packet) {
    local = intent.packet->local;
    remote = intent.packet->remote;
  }
  return {policy::esp_offer(child.proposals, spi_bytes.spi, with_ke),
          policy::selectors_to_propose(child.local_ts, local),
          policy::selectors_to_propose(child.remote_ts, remote)};
}

tl::expected<ChildAccepted, ike::Failure> check_child_answer(const IkeSa& sa,
                                                             const policy::Connection& connection,
                                                             std::size_t child_index,
                                                             const ChildProposed& proposed,
                                                             std::span<const wire::Payload> payloads) {
  using ike::diagnosis::Exchange;
  const ike::diagnosis::Subject subject{&connection, connection.children[child_index].name, sa.path.remote};
  const auto* chosen = wire::find<wire::SaPayload>(payloads);
  const auto* tsi = wire::find<wire::TsiPayload>(payloads);
  const auto* tsr = wire::find<wire::TsrPayload>(payloads);
  if (!chosen || !tsi || !tsr)
    return tl::unexpected(
        ike::diagnosis::protocol(subject, Exchange::kCreateChild, "the answer lacks SA, TSi or TSr"));
  auto esp = policy::verify_esp_choice(proposed.offer, chosen->proposals);
  if (!esp) return tl::unexpected(ike::diagnosis::proposal_not_ours(subject, esp.error()));
  const auto spi = offered_spi(*chosen, 0);
  if (!spi)
    return tl::unexpected(
        ike::diagnosis::protocol(subject, Exchange::kCreateChild, "the chosen proposal has no usable SPI"));
  // RFC 7296 2.9: a subset of what was proposed.
  if (auto subset = policy::verify_narrowed(proposed.tsi, proposed.tsr, tsi->selectors, tsr->selectors);
      !subset)
    return tl::unexpected(ike::diagnosis::protocol(subject, Exchange::kCreateChild, subset.error().message));
  return ChildAccepted{*esp, *spi, tsi->selectors, tsr->selectors};
}

// ---- the end of one
void close_child(Shard& shard, const IkeSa& sa, ChildSaRecord& record, std::string_view reason) {
  if (record.remove_at != kNever) return;
  const bool replaced = record.replaced;
  record.remove_at = replaced ? shard.time() + kLateInbound : shard.time();
  shard.count(Counter::kChildSasClosed);
  shard.emit(ike::Event(ike::ChildSaClosed{sa.connection_name(), record.sa->child().name, record.sa->id,
                                           record.sa->inbound_spi, record.sa->outbound_spi, replaced,
                                           std::string(reason)}));
}

void sweep_children(Shard& shard, Established& established) {
  std::erase_if(established.children, [&](const ChildSaRecord& record) {
    if (record.remove_at > shard.time()) return false;
    shard.child_gone(record.sa->id);
    shard.emit(ike::RemoveChildSa{record.sa->id});
    return true;
  });
}

void use_outbound(Shard& shard, ChildSaRecord& record) {
  if (record.outbound_in_use) return;
  record.outbound_in_use = true;
  shard.emit(ike::UpdateChildSa{record.sa->id, record.sa->path, true});
}

void update_child_paths(Shard& shard, IkeSa& sa, Established& established) {
  for (auto& record : established.children) {
    const auto path = outer_path(shard, sa, established.channel.path());
    if (path == record.sa->path) continue;
    // The published SA is immutable; ours remembers the path for what comes later.
    auto moved = std::make_shared<policy::ChildSa>();
    const auto& from = *record.sa;
    moved->id = from.id;
    moved->connection = from.connection;
    moved->child_index = from.child_index;
    moved->inbound_spi = from.inbound_spi;
    moved->outbound_spi = from.outbound_spi;
    moved->algorithms = from.algorithms;
    moved->local_ts = from.local_ts;
    moved->remote_ts = from.remote_ts;
    moved->path = path;
    moved->use_outbound = record.outbound_in_use;
    moved->resource = from.resource;
    record.sa = std::move(moved);
    shard.emit(ike::UpdateChildSa{record.sa->id, path, record.outbound_in_use});
  }
}

}  // namespace merlon::ikev2
