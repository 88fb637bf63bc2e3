// What the engines ask for, carried out; what the packet engine tells, passed on; and how a host looks from outside.
#include <fmt/format.h>

#include <algorithm>

#include "base/overloaded.h"
#include "base/writer.h"
#include "policy/traffic_selector.h"
#include "sim/event_text.h"
#include "sim/host_life.h"
#include "wire/ike/header.h"
#include "wire/udp_encap.h"

namespace merlon::sim {
namespace {

// Late packets of a replaced SA are taken for some seconds; what is there for longer has been forgotten.
constexpr std::chrono::seconds kOrphanAge{90};

ike::IkeSaEstablished mistaken(ike::IkeSaEstablished event) {
  event.remote_id = "somebody.example.com";
  return event;
}

}  // namespace

void Host::perform(ike::Transmit& action) {
  sabotage(action);
  const std::uint16_t port = action.natt ? plan_.options.natt_port : plan_.options.ike_port;
  const IpAddress source = action.local.address.is_unspecified() ? address_ : action.local.address;
  transmit({Carrier::kUdp,
            {source, port},
            action.remote,
            0,
            action.natt ? wire::with_non_esp_marker(action.payload) : action.payload},
           {});
  sabotage_after(action);
}

void Host::perform(ike::TransmitKeepalive& action) {
  transmit({Carrier::kUdp,
            {action.local.address, plan_.options.natt_port},
            action.remote,
            0,
            to_bytes(wire::kNatKeepalive)},
           {});
}

std::string Host::sa_name(std::string_view kind, std::uint64_t number) const {
  return fmt::format("{} {} {}", name(), kind, number);
}

void Host::perform(ike::InstallChildSa& action) {
  const policy::ChildSaPtr sa = sabotaged(action.child_sa);
  if (const auto done = life_->data_plane.install(sa); !done)
    return fail("a negotiated Child SA can be installed", done.error().message);
  // The daemon keeps no keys; here the first one's are kept where a test wants to install them again.
  life_->child_sas[sa->id] = in_.sabotage == Sabotage::kReinstallKeys
                                 ? sa
                                 : std::make_shared<const policy::ChildSa>(policy::without_keys(*sa));
  in_.checker.installed(number_, sa);
  if (in_.watch.key_seen)
    for (const policy::DirectionKeys* keys : {&sa->inbound, &sa->outbound})
      for (const Secret* key : {&keys->encryption, &keys->integrity})
        in_.watch.key_seen(sa_name("Child", sa->id.value), key->bytes());
  line(fmt::format("    installs Child SA {} in {} out {}{}  {}", sa->child().name, sa->inbound_spi,
                   sa->outbound_spi, sa->use_outbound ? "" : " (inbound only)",
                   policy::to_text(sa->local_ts, sa->remote_ts)));
  poll_data_plane();
}

void Host::perform(ike::UpdateChildSa& action) {
  const auto at = life_->child_sas.find(action.id);
  if (at == life_->child_sas.end())
    return fail("what is updated is there", fmt::format("Child SA {}", action.id.value));
  auto changed = std::make_shared<policy::ChildSa>(policy::without_keys(*at->second));
  changed->path = action.path;
  changed->use_outbound = action.use_outbound;
  if (const auto done = life_->data_plane.update(changed); !done)
    return fail("what is updated is there", done.error().message);
  at->second = std::move(changed);
  line(fmt::format("    updates Child SA in {}: {}, {}", at->second->inbound_spi,
                   at->second->use_outbound ? "in use" : "inbound only", at->second->path.remote));
  poll_data_plane();
}

void Host::perform(ike::RemoveChildSa& action) {
  if (in_.sabotage == Sabotage::kKeepChildSas) return;
  const auto at = life_->child_sas.find(action.id);
  policy::ChildSaPtr sa;
  if (at != life_->child_sas.end()) {
    sa = at->second;
    line(fmt::format("    removes Child SA in {} out {}", at->second->inbound_spi, at->second->outbound_spi));
    life_->spis.removed_with_its_sa(at->second->inbound_spi);
    life_->child_sas.erase(at);
  }
  if (const auto done = life_->data_plane.remove(action.id); !done)
    fail("what is removed was there", done.error().message);
  in_.checker.removed(number_, action.id);
  if (in_.watch.sa_gone) in_.watch.sa_gone(sa_name("Child", action.id.value), in_.queue.elapsed());
  if (sa) sabotage_removed(sa);
}

void Host::complete_later(Duration longest, std::function<ike::Answer()> work) {
  const auto most = static_cast<std::uint64_t>(longest.count());
  if (most == 0) return complete(work());
  after(Duration(static_cast<std::int64_t>(between(life_->worker_rng, 0, most))),
        [this, work = std::move(work)] {
          complete(work());
          pump();
        });
}

void Host::complete(ike::Answer answer) {
  const auto* const done = std::get_if<ike::KeyExchangeDone>(&answer);
  const bool watched = in_.watch.key_seen && done != nullptr && done->shared_secret;
  const std::string secret = watched ? sa_name("key exchange", done->request) : std::string();
  if (watched) in_.watch.key_seen(secret, done->shared_secret->bytes());
  life_->engine.complete(now(), std::move(answer));
  // Keys were derived from it, and nothing else ever is.
  if (watched && in_.watch.sa_gone) in_.watch.sa_gone(secret, in_.queue.elapsed());
}
void Host::perform(ike::RunKeyExchange& action) {
  complete_later(plan_.slow_actions,
                 [this, action = std::move(action)] { return ike::run(action, life_->rng); });
}
void Host::perform(ike::SignRequest& action) {
  complete_later(plan_.slow_actions + plan_.slow_signatures,
                 [action = std::move(action)] { return ike::run(action); });
}

void Host::perform(ike::Event& event) {
  if (in_.trace.on()) {
    // What a message holds is said where it is sent, beside its arrow.
    const auto* message = std::get_if<ike::MessageTraced>(&event);
    if (message != nullptr && message->sent && !message->retransmission)
      in_.trace.words(number_, payload_words(*message));
    else if (message == nullptr)
      for (const std::string& text : event_lines(event)) line(text);
  }
  if (!std::holds_alternative<ike::MessageTraced>(event)) in_.trace.digest().add(200 + event.index());
  if (const auto* established = std::get_if<ike::IkeSaEstablished>(&event))
    in_.checker.established(number_,
                            in_.sabotage == Sabotage::kMistakePeer ? mistaken(*established) : *established);
  if (const auto* keys = std::get_if<ike::IkeKeysTraced>(&event); keys && in_.watch.key_seen)
    for (const Secret* key :
         {&keys->sk_ei, &keys->sk_er, &keys->sk_ai, &keys->sk_ar, &keys->sk_d, &keys->sk_pi, &keys->sk_pr})
      in_.watch.key_seen(sa_name("IKE", keys->id.initiator.value), key->bytes());
  if (const auto* closed = std::get_if<ike::IkeSaClosed>(&event); closed && in_.watch.sa_gone)
    in_.watch.sa_gone(sa_name("IKE", closed->id.initiator.value), in_.queue.elapsed());
  life_->supervisor.handle(now(), event);
}

void Host::perform(ike::Initiate& command) {
  Endpoint local = command.local;
  if (local.address.is_unspecified()) local.address = address_;
  line(fmt::format("    supervisor: initiate {} {}{}", command.connection, fmt::join(command.children, ", "),
                   command.packet ? " for a packet" : ""));
  Result<ikev2::Begun> begun;
  if (command.packet) {
    begun =
        life_->engine.acquire(now(), command.connection, command.children.front(), local, command.remote,
                              ikev2::Engine::TriggeringPacket{command.packet->local, command.packet->remote});
  } else {
    begun = life_->engine.initiate(now(), command.connection, local, command.remote, command.children);
  }
  if (!begun) {
    line("    does not begin: " + begun.error().message);
    life_->supervisor.refused(now(), command.connection, begun.error());
  } else if (*begun == ikev2::Begun::kNothingToDo) {
    life_->supervisor.nothing_to_do(now(), command.connection);
  }
}

void Host::perform(ike::ResolveName& command) {
  life_->supervisor.resolved(now(), command.request,
                             merlon::fail(ErrorCode::kNotFound, "the simulator has no names"));
}

void Host::perform(ike::Terminate& command) {
  line(fmt::format("    supervisor: terminate {} {}", command.connection, command.child));
  static_cast<void>(life_->engine.terminate(now(), command.connection, command.child));
}

// ---- the packet engine's reports -----------------------------------------------------------------------------------------------------

void Host::read_data_plane_events() {
  while (const auto event = life_->data_plane.next_event()) handle(*event);
}

void Host::handle(const esp::Event& event) {
  std::visit(
      Overloaded{
          [&](const esp::SoftExpired& e) { life_->engine.report(now(), ike::ChildSaSoftExpired{e.sa}); },
          [&](const esp::HardExpired& e) { life_->engine.report(now(), ike::ChildSaHardExpired{e.sa}); },
          [&](const esp::Acquire& e) {
            const auto [local, remote] = policy::selectors_of_packet(e.packet, policy::Direction::kOutbound);
            life_->supervisor.acquire(now(), e.connection->name, e.connection->children[e.child_index].name,
                                      ike::TriggeringPacket{local, remote});
          },
          [&](const esp::PeerMoved& e) {
            life_->engine.report(now(), ike::ChildSaPeerMoved{e.sa, e.remote});
          },
          [&](const esp::FirstInbound& e) {
            life_->engine.report(now(), ike::ChildSaInbound{e.sa, now().monotonic});
          },
          [&](const esp::UnknownSpi& e) {
            life_->engine.unknown_spi(now(), e.source, e.udp_encapsulated, e.spi);
          },
          [&](const esp::Audit& e) {
            if (e.reason == esp::DropReason::kSelectorMismatch && e.sa.value != 0)
              life_->engine.selectors_violated(now(), e.sa, {});
          },
      },
      event);
}

void Host::report_inbound() {
  for (const auto& [id, sa] : life_->child_sas) {
    const auto stats = life_->data_plane.stats(id);
    if (stats && stats->inbound.last_used != kNever &&
        now().monotonic - stats->inbound.last_used < std::chrono::seconds(2))
      life_->engine.report(now(), ike::ChildSaInbound{id, stats->inbound.last_used});
  }
}

// ---- from outside ------------------------------------------------------------------------------------------------------------------

std::vector<ike::IkeSaStatus> Host::status() const {
  return life_ ? life_->engine.status() : std::vector<ike::IkeSaStatus>();
}
std::vector<policy::ChildSaId> Host::installed() const {
  return life_ ? life_->data_plane.installed() : std::vector<policy::ChildSaId>();
}
std::size_t Host::spis_held() const {
  return life_ ? life_->spis.held() : 0;
}
std::size_t Host::packets_held() const {
  return life_ ? life_->pool.in_use() : 0;
}
std::size_t Host::half_open_count() const {
  return life_ ? life_->engine.half_open_count() : 0;
}
std::size_t Host::lingering_count() const {
  return life_ ? life_->engine.lingering_count() : 0;
}
std::size_t Host::memory_used() const {
  return life_ ? life_->engine.memory_used() : 0;
}
std::size_t Host::ike_sa_count() const {
  return life_ ? life_->engine.ike_sa_count() : 0;
}
bool Host::stopping() const {
  return life_ && life_->stopping;
}
bool Host::idle() const {
  return !life_ || life_->engine.idle();
}

std::optional<policy::ChildSaId> Host::orphan() {
  if (!life_) return std::nullopt;
  std::set<policy::ChildSaId> known;
  for (const auto& sa : status())
    for (const auto& child : sa.children) known.insert(child.id);
  std::map<policy::ChildSaId, Instant> unknown;
  for (const policy::ChildSaId id : life_->data_plane.installed()) {
    if (known.contains(id)) continue;
    const auto before = life_->unknown_since.find(id);
    unknown[id] = before == life_->unknown_since.end() ? now().monotonic : before->second;
    if (now().monotonic - unknown[id] > kOrphanAge) return id;
  }
  life_->unknown_since = std::move(unknown);
  return std::nullopt;
}

std::string Host::describe() const {
  if (!life_) return name() + " does not run\n";
  std::string text = fmt::format(
      "{}: {} IKE SAs with those that end, {} Child SAs in the packet engine, {} SPIs held, {} packets "
      "held\n",
      name(), ike_sa_count(), installed().size(), spis_held(), packets_held());
  for (const auto& sa : status()) {
    text += fmt::format("  {} {}-{} {} {} {} -> {}\n", sa.connection, sa.id.initiator, sa.id.responder,
                        sa.initiator ? "initiator" : "responder", sa.phase, sa.local, sa.remote);
    for (const auto& child : sa.children)
      text += fmt::format("    {} in {} out {}{}{} {} === {}\n", child.child, child.inbound_spi,
                          child.outbound_spi, child.rekeying ? " rekeying" : "",
                          child.outbound_in_use ? "" : " (inbound only)", child.local_ts, child.remote_ts);
  }
  for (const auto& one : life_->supervisor.status())
    text += fmt::format("  supervisor: {} {}, {} attempts, {} failures in a row{}\n", one.connection,
                        ike::name(one.phase), one.attempts, one.failures,
                        one.last_error ? ", last: " + one.last_error->sentence : "");
  return text;
}

ike::Counters Host::counters() const {
  ike::Counters all = past_;
  if (life_) all.merge(life_->engine.counters());
  return all;
}

DropCounts Host::drops() const {
  DropCounts all = past_drops_;
  if (life_)
    for (std::size_t i = 0; i < all.size(); ++i)
      all[i] += life_->data_plane.drops(static_cast<esp::DropReason>(i));
  return all;
}

}  // namespace merlon::sim
