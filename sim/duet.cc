#include "sim/duet.h"

#include <algorithm>
#include <stdexcept>

#include "ike/credentials.h"
#include "policy/proposal.h"
#include "sim/digest.h"
#include "sim/event_queue.h"
#include "sim/event_text.h"
#include "sim/network.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;

// Longer than any patience of the engine; nothing in a duet has a lifetime or asks whether its peer is alive.
constexpr Duration kHorizon = 1000s;

template <class T>
T sure(Result<T> result) {
  if (!result) throw std::logic_error(result.error().message);
  return std::move(*result);
}

constexpr std::array kNames{"A", "B"};
constexpr std::array kAddresses{"192.0.2.1", "198.51.100.1"};
constexpr std::array kNetworks{"10.1.0.0/24", "10.2.0.0/24"};
constexpr std::array kOtherNetworks{"10.1.1.0/24", "10.2.1.0/24"};

policy::ChildConfig child(std::string name, std::string_view local, std::string_view remote, bool pfs) {
  policy::ChildConfig made;
  made.name = std::move(name);
  made.local_ts = sure(policy::parse_traffic_selectors(local));
  made.remote_ts = sure(policy::parse_traffic_selectors(remote));
  made.proposals = {sure(policy::parse_esp_proposal(pfs ? "aes128gcm16-x25519" : "aes128gcm16"))};
  made.start = policy::StartMode::kWait;
  return made;
}

policy::ConnectionPtr connection_of(std::size_t here, bool pfs) {
  const std::size_t there = 1 - here;
  auto made = std::make_shared<policy::Connection>();
  made->name = "duet";
  made->remote_addresses = {kAddresses[there]};
  made->ike_proposals = {sure(policy::parse_ike_proposal("aes128gcm16-prfsha256-x25519"))};
  policy::LocalAuth local;
  local.kind = policy::AuthKind::kPsk;
  local.id_text = kAddresses[here];
  local.id = sure(Identity::parse(local.id_text));
  made->local_auth = {local};
  policy::RemoteAuth remote;
  remote.kind = policy::AuthKind::kPsk;
  remote.id_text = kAddresses[there];
  remote.id = sure(Identity::parse(remote.id_text));
  made->remote_auth = {remote};
  made->children = {child("net", kNetworks[here], kNetworks[there], pfs),
                    child("net2", kOtherNetworks[here], kOtherNetworks[there], pfs)};
  made->liveness_interval = 0s;
  return made;
}

std::shared_ptr<ike::Credentials> credentials() {
  auto made = std::make_shared<ike::Credentials>();
  auto& entry = made->by_connection["duet"];
  const std::string psk = "known to both, and to nobody else";
  entry.local_psk = Secret::copy_of(as_bytes(psk));
  entry.remote_psk = Secret::copy_of(as_bytes(psk));
  return made;
}

ikev2::EngineOptions engine_options(const DuetOptions& options) {
  ikev2::EngineOptions made;
  made.trace_all = options.trace;
  return made;
}

Endpoint endpoint(std::size_t number) {
  return {sure(IpAddress::parse(kAddresses[number])), 500};
}

}  // namespace

std::string_view to_text(Operation operation) {
  switch (operation) {
    case Operation::kRekeyChild:
      return "rekey Child SA";
    case Operation::kRekeyIke:
      return "rekey IKE SA";
    case Operation::kDeleteChild:
      return "delete Child SA";
    case Operation::kDeleteIke:
      return "delete IKE SA";
    case Operation::kCreateChild:
      return "create Child SA";
  }
  return "?";
}

// --- a peer

DuetPeer::DuetPeer(std::size_t number, const DuetOptions& options)
    : rng(number + 1), engine(engine_options(options), rng, *this) {}

Result<Spi> DuetPeer::allocate() {
  std::uint32_t value = 0;
  do value = rng.uniform<std::uint32_t>() | 0x100U;
  while (!spis.insert(value).second);
  return Spi{value};
}

void DuetPeer::release(Spi spi) {
  if (spis.erase(spi.value) == 0) fault = "an SPI is given back twice";
}

// --- what happens

Duet::Duet(const DuetOptions& options)
    : options_(options),
      peers_{std::make_unique<DuetPeer>(0, options), std::make_unique<DuetPeer>(1, options)},
      now_(kStart),
      begun_(kStart) {}

Now Duet::now() const {
  return {now_, kFirstDay};
}

void Duet::line(std::string text) {
  if (options_.trace) lines_.push_back(std::move(text));
}

void Duet::begin(Operation at_a, Operation at_b) {
  for (std::size_t i = 0; i < 2; ++i) {
    peers_[i]->engine.configure(now(), {connection_of(i, options_.pfs)}, credentials());
    drain(i);
  }
  const std::array<std::string, 1> net{"net"};
  if (!peers_[0]->engine.initiate(now(), "duet", endpoint(0), endpoint(1), net))
    throw std::logic_error("a duet cannot be initiated");
  drain(0);
  if (!settle() || peers_[0]->installed.size() != 1 || peers_[1]->installed.size() != 1)
    throw std::logic_error("a duet cannot be established");
  lines_.clear();
  begun_ = now_;
  command(0, at_a);
  command(1, at_b);
}

void Duet::command(std::size_t at, Operation operation) {
  auto& engine = peers_[at]->engine;
  line(std::string(kNames[at]) + ": " + std::string(to_text(operation)));
  switch (operation) {
    case Operation::kRekeyChild:
      (void)engine.rekey_child_sa(now(), "duet", "net");
      break;
    case Operation::kRekeyIke:
      (void)engine.rekey_ike_sa(now(), "duet");
      break;
    case Operation::kDeleteChild:
      (void)engine.terminate(now(), "duet", "net");
      break;
    case Operation::kDeleteIke:
      (void)engine.terminate(now(), "duet", "");
      break;
    case Operation::kCreateChild: {
      const std::array<std::string, 1> net2{"net2"};
      (void)engine.initiate(now(), "duet", endpoint(at), endpoint(1 - at), net2);
      break;
    }
  }
  told(at, static_cast<std::uint64_t>(operation));
  drain(at);
}

Instant Duet::next_deadline() const {
  return std::min(peers_[0]->engine.next_deadline(), peers_[1]->engine.next_deadline());
}

std::vector<Choice> Duet::choices(unsigned faults_left) const {
  std::vector<Choice> made;
  std::set<std::uint64_t> seen;  // of two messages that are the same only one counts
  for (std::size_t i = 0; i < in_flight_.size(); ++i) {
    if (!seen.insert(in_flight_[i].digest).second) continue;
    made.push_back({Choice::Kind::kDeliver, i});
    if (faults_left == 0) continue;
    made.push_back({Choice::Kind::kLose, i});
    made.push_back({Choice::Kind::kDouble, i});
  }
  for (std::size_t i = 0; i < 2; ++i)
    if (!peers_[i]->unanswered.empty()) made.push_back({Choice::Kind::kComplete, i});
  if (made.empty() && next_deadline() < begun_ + kHorizon) made.push_back({Choice::Kind::kTick, 0});
  return made;
}

void Duet::take(const Choice& choice) {
  switch (choice.kind) {
    case Choice::Kind::kTick:
      return tick();
    case Choice::Kind::kComplete:
      return carry_out(choice.index);
    case Choice::Kind::kDouble:
      return deliver(Message(in_flight_[choice.index]));
    case Choice::Kind::kDeliver:
    case Choice::Kind::kLose:
      break;
  }
  const Message message = std::move(in_flight_[choice.index]);
  in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(choice.index));
  if (choice.kind == Choice::Kind::kLose)
    line("   lost, on its way to " + std::string(kNames[message.to]));
  else
    deliver(message);
}

bool Duet::settle() {
  for (unsigned steps = 0; steps < 2000; ++steps) {
    const auto next = choices(0);
    if (next.empty()) return true;
    take(next.front());
  }
  return false;
}

void Duet::deliver(const Message& message) {
  const auto& transmit = message.transmit;
  told(message.to, message.digest);
  line("   arrives at " + std::string(kNames[message.to]));
  peers_[message.to]->engine.receive(now(),
                                     {transmit.remote, transmit.local, transmit.natt, transmit.payload});
  drain(message.to);
}

void Duet::carry_out(std::size_t at) {
  auto& peer = *peers_[at];
  const ike::Action action = std::move(peer.unanswered.front());
  peer.unanswered.erase(peer.unanswered.begin());
  line(std::string(kNames[at]) + ": a key exchange is done");
  told(at, 0xc0ffeeU);
  peer.engine.complete(now(), ike::run(std::get<ike::RunKeyExchange>(action), peer.rng));
  drain(at);
}

void Duet::tick() {
  now_ = std::max(now_, next_deadline());
  line("after " +
       std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(now_ - begun_).count()) + " ms");
  for (std::size_t i = 0; i < 2; ++i) {
    if (peers_[i]->engine.next_deadline() > now_) continue;
    told(i, static_cast<std::uint64_t>((now_ - kStart).count()));
    drain(i);
  }
}

void Duet::drain(std::size_t at) {
  auto& engine = peers_[at]->engine;
  for (unsigned rounds = 0;; ++rounds) {
    if (rounds > 1000) throw std::logic_error("an engine never comes to rest");
    if (engine.next_deadline() <= now_) engine.advance(now());
    auto actions = engine.drain();
    if (actions.empty()) return;
    for (auto& action : actions) perform(at, action);
    if (!options_.slow_crypto && !peers_[at]->unanswered.empty()) carry_out(at);
  }
}

void Duet::perform(std::size_t at, ike::Action& action) {
  auto& peer = *peers_[at];
  if (auto* transmit = std::get_if<ike::Transmit>(&action)) {
    Message message{1 - at, std::move(*transmit), 0};
    message.transmit.local.address = endpoint(at).address;
    if (message.transmit.local.port == 0) message.transmit.local.port = endpoint(at).port;
    Digest digest;
    digest.add(message.transmit.payload);
    digest.add(at);
    message.digest = digest.value();
    in_flight_.push_back(std::move(message));
  } else if (auto* install = std::get_if<ike::InstallChildSa>(&action)) {
    const bool fresh = peer.installed
                           .emplace(install->child_sa->id.value,
                                    DuetPeer::Installed{install->child_sa, install->child_sa->use_outbound})
                           .second;
    if (!fresh) peer.fault = "a Child SA is installed twice";
  } else if (auto* update = std::get_if<ike::UpdateChildSa>(&action)) {
    const auto found = peer.installed.find(update->id.value);
    if (found == peer.installed.end())
      peer.fault = "a Child SA that is not there is updated";
    else
      found->second.use_outbound = update->use_outbound;
  } else if (auto* removed = std::get_if<ike::RemoveChildSa>(&action)) {
    const auto found = peer.installed.find(removed->id.value);
    if (found == peer.installed.end()) {
      peer.fault = "a Child SA that is not there is removed";
    } else {
      peer.release(found->second.sa->inbound_spi);
      peer.installed.erase(found);
    }
  } else if (auto* event = std::get_if<ike::Event>(&action)) {
    if (std::holds_alternative<ike::NegotiationFailed>(*event)) ++peer.failures;
    if (options_.trace)
      for (auto& text : event_lines(*event)) line(std::string(kNames[at]) + ": " + text);
  } else if (std::holds_alternative<ike::RunKeyExchange>(action)) {
    peer.unanswered.push_back(std::move(action));
  }
}

void Duet::told(std::size_t at, std::uint64_t input) {
  Digest digest;
  digest.add(peers_[at]->history);
  digest.add(input);
  digest.add(static_cast<std::uint64_t>((now_ - kStart).count()));
  peers_[at]->history = digest.value();
}

std::uint64_t Duet::digest() const {
  Digest digest;
  for (const auto& peer : peers_) digest.add(peer->history);
  std::vector<std::uint64_t> messages;
  for (const auto& message : in_flight_) messages.push_back(message.digest);
  std::sort(messages.begin(), messages.end());
  for (const std::uint64_t one : messages) digest.add(one);
  digest.add(static_cast<std::uint64_t>((now_ - kStart).count()));
  return digest.value();
}

}  // namespace merlon::sim
