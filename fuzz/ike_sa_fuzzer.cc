// Everything that can happen to a live engine, from a peer who holds the keys and means harm.
//
// Two engines, the target and an honest peer, begin a real handshake; its first bytes say how far it comes.
// Then the fuzzer acts for the peer: it learnt the keys of every IKE SA of the target, seals what it likes
// with them, in clear or protected, whole or in fragments, replays, holds back and tampers with what the
// honest peer sent, moves the clock, answers slow actions late, reports from the packet engine, gives
// commands, loads another configuration. ike_sa_fuzzer_host.h says what must hold all the same. In the end
// everybody leaves, and nothing may be left.
//
// An input: three bytes of setting, then steps: a byte of what, a byte of length, so many bytes that say how.
#include "fuzz/ike_sa_fuzzer_input.h"
#include "fuzz/ike_setting.h"
#include "fuzz/step_mutator.h"

namespace merlon::fuzz {

const std::size_t kSettingSize = 3;

// Its detail begins with a message that is in turn, with all that it needs, more often than not.
Step usual_step(SeededRng& rng) {
  const auto byte = [&](std::uint64_t bound) { return static_cast<std::uint8_t>(rng.below(bound)); };
  Step made{byte(16), {byte(3), byte(8), byte(12), 0}};
  if (made.what == 4 && rng.below(2) == 0) made.how[1] = 0x0c;  // an answer to IKE_SA_INIT, see in_clear()
  append(made.how, rng.bytes(rng.below(12)));
  return made;
}

namespace {

constexpr std::size_t kMaxSteps = 80, kMaxQueue = 64, kMaxHistory = 64;
const IpAddress kTargetAddress = IpAddress::v4(0xc0000201), kPeerAddress = IpAddress::v4(0xc6336401),
                kElsewhere = IpAddress::v4(0xcb007107);

class Session {
 public:
  explicit Session(const IkeSetting& setting)
      : setting_(setting),
        target_(1, options_of(setting, 0), now_,
                [this](auto&& transmit) { from_target(std::move(transmit)); }),
        peer_(2, options_of(setting, 1), now_,
              [this](auto&& transmit) { queue(to_target_, std::move(transmit)); }) {
    now_.monotonic = Instant(1h);
    now_.wall = kToday;
    peer_.shard = 1;
    target_.may_authenticate = !setting.wrong_secret;
    target_.connection = connection_of(setting, true);
    peer_.connection = connection_of(setting, false);
    target_.engine.trace(kOffice, setting.trace, true);
    target_.engine.configure(now_, {target_.connection}, credentials_of(setting, true));
    peer_.engine.configure(now_, {peer_.connection}, credentials_of(setting, false));
    around_.of_peer = peer_.connection.get();
    around_.public_value =
        to_bytes(value(crypto::KeyExchange::generate(KeMethod::kCurve25519, peer_.rng))->public_value());
    begin();
  }

  void run(Input& input) {
    for (std::size_t steps = 0; !input.empty() && steps < kMaxSteps; ++steps) {
      const auto what = input.u8();
      const Bytes how = input.string();
      Input detail{how};
      step(what, detail);
      target_.drain();
    }
    (void)target_.engine.status();
    target_.engine.counters().for_each([](const auto&) {});
    // A connection that the configuration has no more ends as well, whatever was in flight.
    if (setting_.liveness || removed_) target_.require_silence_ends_all();
    target_.require_clean();
  }

 private:
  struct Datagram {
    Bytes payload;
    bool natt = false;
    Endpoint remote;  // as the receiver sees it
  };

  // ---- the honest peer
  // ---------------------------------------------------------------------------------------------
  void begin() {
    Host& first = setting_.initiator ? target_ : peer_;
    const auto to = setting_.initiator ? kPeerAddress : kTargetAddress,
               from = setting_.initiator ? kTargetAddress : kPeerAddress;
    require(first.engine.initiate(now_, kOffice, {from, 500}, {to, 500}, {}).has_value(),
            "a connection can be begun");
    first.drain();
    target_began_ = setting_.initiator;
    const unsigned deliveries[] = {0, 1, 2, 40};
    for (unsigned left = deliveries[setting_.stage];
         left > 0 && (deliver_honest(true) || deliver_honest(false)); --left)
      continue;
    target_.slow = setting_.slow;
  }
  void queue(std::deque<Datagram>& where, ike::Transmit&& transmit) const {
    if (where.size() >= kMaxQueue) return;
    // The target sees the peer through a NAT, where there is one.
    const Endpoint source =
        &where == &to_target_ && setting_.nat ? Endpoint{kElsewhere, 10500} : transmit.local;
    where.push_back({std::move(transmit.payload), transmit.natt, source});
  }
  void from_target(ike::Transmit&& transmit) {
    sent_bytes_ += transmit.payload.size();
    queue(to_peer_, std::move(transmit));
  }
  bool deliver_honest(bool target) {
    auto& from = target ? to_target_ : to_peer_;
    if (from.empty()) return false;
    auto datagram = std::move(from.front());
    from.pop_front();
    if (target) {
      to_target(std::move(datagram));
    } else {
      const std::uint16_t port = datagram.natt ? 4500 : 500;
      peer_.engine.receive(now_, {{kPeerAddress, port}, datagram.remote, datagram.natt, datagram.payload});
      peer_.drain();
    }
    return true;
  }

  // ---- towards the target
  // ------------------------------------------------------------------------------------------
  void to_target(Datagram datagram) {
    const std::uint16_t port = datagram.natt ? 4500 : 500;
    const bool unproven = target_.known.empty() && !target_began_;
    sent_bytes_ = 0;
    target_.engine.receive(now_, {{kTargetAddress, port}, datagram.remote, datagram.natt, datagram.payload});
    target_.drain();
    // RFC 7296 2.6: nobody can use us to hit somebody else harder than directly.
    if (unproven)
      require(sent_bytes_ <= 3 * datagram.payload.size() + 64, "an answer to a stranger is small");
    if (history_.size() < kMaxHistory) history_.push_back(std::move(datagram));
  }
  Datagram from_peer(Bytes payload, std::uint8_t way) const {
    Datagram made{std::move(payload), (way & 1U) != 0, {kPeerAddress, 500}};
    if (setting_.nat) made.remote = {kElsewhere, 10500};
    if ((way & 6U) == 6) made.remote = {kElsewhere, static_cast<std::uint16_t>(20000 + way)};
    return made;
  }
  [[nodiscard]] KnownSa* known(std::uint8_t which) {
    auto& all = target_.known;
    return all.empty() ? nullptr : &all[all.size() - 1 - which % all.size()];
  }
  void look_around() {
    around_.spis.clear();
    for (const auto& [id, sa] : target_.installed) {
      around_.spis.push_back(sa->outbound_spi);  // what the peer names them by
      around_.spis.push_back(sa->inbound_spi);
    }
  }
  // `kind`: bits 0 and 1 the exchange, 2 a response, 3 a stranger's flags, 4 to 7 what is wrong with its
  // number.
  wire::IkeHeader header_for(const KnownSa& sa, std::uint8_t kind, bool unusual) const {
    using wire::ExchangeType;
    constexpr ExchangeType kExchanges[] = {ExchangeType::kInformational, ExchangeType::kCreateChildSa,
                                           ExchangeType::kIkeAuth, ExchangeType::kIkeSaInit};
    wire::IkeHeader made;
    made.initiator_spi = sa.id.initiator;
    made.responder_spi = sa.id.responder;
    made.exchange_type = unusual ? static_cast<ExchangeType>(kind) : kExchanges[kind & 3U];
    made.flags.response = (kind & 4U) != 0;
    made.flags.initiator = !sa.host_is_initiator != ((kind & 0x88U) == 0x88U);
    const std::uint32_t expected = made.flags.response ? sa.outstanding : sa.next_request;
    const std::uint32_t shifts[] = {0, 0, 0, 1, 0xffffffff, 0, 0xfffffffe, 0x7fffffff};
    made.message_id = {expected + shifts[kind >> 4U & 7U]};
    return made;
  }

  // ---- the steps
  // ---------------------------------------------------------------------------------------------------
  void step(std::uint8_t what, Input& input) {
    look_around();
    switch (what % 16) {
      case 0:
      case 1:
        return sealed(input);
      case 2:
        return sealed_bytes(input);
      case 3:
        return fragment(input);
      case 4:
        return in_clear(input);
      case 5:
        return raw(input);
      case 6:
        return replay(input);
      case 7:
        return time(input);
      case 8:
        return report(input);
      case 9:
        return command(input);
      case 10:
        return (void)(deliver_honest(true) || deliver_honest(false));
      case 11:
        return (void)(deliver_honest(false) || deliver_honest(true));
      case 12:
        return tamper(input);
      case 13:
        return (void)target_.carry_out(input.u8());
      case 14:
        return configure(input);
      default:
        for (unsigned i = 0; i < 8 && (deliver_honest(true) || deliver_honest(false)); ++i) continue;
    }
  }

  void sealed(Input& input) {
    auto* sa = known(input.u8());
    const auto kind = input.u8(), start = input.u8(), way = input.u8();
    if (sa == nullptr) return;
    const auto header = header_for(*sa, kind, false);
    std::vector<wire::Payload> made;
    start_with(made, start, around_);
    for (auto& one : payloads(input, around_)) made.push_back(std::move(one));
    auto bytes = sa->as_peer.seal(header, made, peer_.rng);
    if (bytes) to_target(from_peer(std::move(*bytes), way));
  }
  void sealed_bytes(Input& input) {
    auto* sa = known(input.u8());
    const auto kind = input.u8();
    const auto first = static_cast<wire::PayloadType>(input.u8());
    if (sa == nullptr) return;
    auto bytes = sa->as_peer.seal_encoded(header_for(*sa, kind, (kind & 0xc0U) == 0xc0U),
                                          {first, to_bytes(input.rest())}, peer_.rng);
    if (bytes) to_target(from_peer(std::move(*bytes), 0));
  }
  void fragment(Input& input) {
    auto* sa = known(0);
    const auto kind = input.u8();
    const auto first = static_cast<wire::PayloadType>(input.u8());
    const std::uint16_t number = input.u8(), total = input.u8();
    if (sa == nullptr) return;
    auto bytes = sa->as_peer.seal_fragment(header_for(*sa, kind, false), first, number, total, input.rest(),
                                           peer_.rng);
    if (bytes) to_target(from_peer(std::move(*bytes), 0));
  }
  void in_clear(Input& input) {
    auto* sa = known(input.u8());
    const auto kind = input.u8(), way = input.u8();
    wire::Message message;
    if (sa != nullptr && (kind & 8U) == 0) {
      message.header = header_for(*sa, kind, false);
    } else if ((kind & 4U) != 0 && target_.last_init) {
      // RFC 7296 2.4: one of perhaps many answers to IKE_SA_INIT.
      message.header = *target_.last_init;
      message.header.responder_spi = {std::uint64_t{input.u8()} << 8U | 1U};
      message.header.flags = {.initiator = false, .version = false, .response = true};
      answer_init(message.payloads, around_);
    } else {
      message.header.initiator_spi = {std::uint64_t{input.u8()} << 8U | 1U};
      message.header.exchange_type = wire::ExchangeType::kIkeSaInit;
      message.header.flags.initiator = true;
    }
    start_with(message.payloads, kind, around_);
    for (auto& one : payloads(input, around_)) message.payloads.push_back(std::move(one));
    auto bytes = wire::encode_message(message);
    if (bytes) to_target(from_peer(std::move(*bytes), way));
  }
  void raw(Input& input) { to_target(from_peer(to_bytes(input.rest()), 0)); }
  void replay(Input& input) {
    const auto which = input.u8(), way = input.u8();
    const auto flip = input.u16();
    if (history_.empty()) return;
    auto again = history_[which % history_.size()];
    if (flip != 0 && !again.payload.empty())
      again.payload[flip % again.payload.size()] ^= static_cast<std::uint8_t>(1U << (flip >> 13U));
    if (way != 0) again.remote = from_peer({}, way).remote;
    to_target(std::move(again));
  }
  void time(Input& input) {
    const auto how = input.u8();
    const auto deadline = target_.engine.next_deadline();
    if (how < 0x80 && deadline != kNever)
      now_.monotonic = std::max(now_.monotonic, deadline);
    else
      now_.monotonic += std::chrono::milliseconds(1U << (how % 18U));
    if ((how & 0x40U) != 0) now_.wall += std::chrono::hours(how);
    target_.advance();
    if (peer_.engine.next_deadline() <= now_.monotonic) peer_.engine.advance(now_), peer_.drain();
  }
  void report(Input& input) {
    const auto how = input.u8();
    policy::ChildSaId id{how};
    if (!target_.installed.empty()) {
      auto at = target_.installed.begin();
      std::advance(at, (how / 4U) % target_.installed.size());
      id = at->second->id;
    }
    switch (how % 4) {
      case 0:
        target_.engine.report(now_, ike::ChildSaSoftExpired{id});
        break;
      case 1:
        target_.engine.report(now_, ike::ChildSaHardExpired{id});
        break;
      case 2:
        target_.engine.report(now_, ike::ChildSaPeerMoved{id, {kElsewhere, input.u16()}});
        break;
      default:
        target_.engine.report(now_, ike::ChildSaInbound{id, now_.monotonic});
        break;
    }
    target_.drain();
    target_.advance();
  }
  void command(Input& input) {
    auto& engine = target_.engine;
    target_began_ = true;
    const std::string child = (input.u8() & 1U) != 0 && setting_.two_children ? "dmz" : "net";
    const Endpoint local{kTargetAddress, 500}, remote{kPeerAddress, 500};
    switch (input.u8() % 8) {
      case 0:
        (void)engine.initiate(now_, kOffice, local, remote, {});
        break;
      case 1:
        (void)engine.terminate(now_, kOffice, "");
        break;
      case 2:
        (void)engine.terminate(now_, kOffice, child);
        break;
      case 3:
        (void)engine.rekey_ike_sa(now_, kOffice);
        break;
      case 4:
        (void)engine.rekey_child_sa(now_, kOffice, child);
        break;
      case 5:
        engine.check_paths(now_);
        break;
      case 6: {
        const auto& config = target_.connection->children.front();
        (void)engine.acquire(
            now_, kOffice, child, local, remote,
            ikev2::Engine::TriggeringPacket{config.local_ts.front(), config.remote_ts.front()});
        break;
      }
      default:
        (void)peer_.engine.rekey_child_sa(now_, kOffice, child), peer_.drain();
        break;
    }
    target_.drain();
    target_.advance();
  }
  // A message of the honest peer with other payloads in it: its AUTH stays good.
  void tamper(Input& input) {
    if (to_target_.empty()) return;
    auto datagram = std::move(to_target_.front());
    to_target_.pop_front();
    auto message = wire::parse_message(datagram.payload);
    require(message.has_value(), "an honest message can be parsed");
    KnownSa* sa = nullptr;
    for (auto& one : target_.known)
      if (one.id == message->header.ike_sa_id()) sa = &one;
    std::vector<wire::Payload> inside = message->payloads;
    if (sa != nullptr) {
      auto opened = sa->as_host.open(datagram.payload, *message);
      if (!opened) return to_target(std::move(datagram));
      inside = std::move(opened->payloads);
    }
    change(inside, input);
    message->payloads = inside;
    auto bytes =
        sa != nullptr ? sa->as_peer.seal(message->header, inside, peer_.rng) : wire::encode_message(*message);
    if (!bytes) return;
    datagram.payload = std::move(*bytes);
    to_target(std::move(datagram));
  }
  void change(std::vector<wire::Payload>& inside, Input& input) {
    for (unsigned changes = 0; !input.empty() && changes < 8; ++changes) {
      const auto how = input.u8(), where = input.u8();
      const auto at =
          inside.begin() + static_cast<std::ptrdiff_t>(inside.empty() ? 0 : where % inside.size());
      if (how % 4 == 0 && !inside.empty())
        inside.erase(at);
      else if (how % 4 == 1 && !inside.empty())
        inside.push_back(wire::Payload(*at));
      else if (how % 4 == 2 && !inside.empty())
        *at = payload(input, around_);
      else
        inside.insert(at, payload(input, around_));
    }
  }
  void configure(Input& input) {
    const auto how = input.u8();
    auto changed = std::make_shared<policy::Connection>(*connection_of(setting_, true));
    std::vector<policy::ConnectionPtr> connections{changed};
    switch (how % 6) {
      case 0:
        changed->liveness_interval = 3s;
        break;
      case 1:
        changed->children.front().local_ts = value(policy::parse_traffic_selectors("10.9.0.0/16"));
        break;
      case 2:
        changed->children.insert(changed->children.begin(), changed->children.front()),
            changed->children.front().name = "new";
        break;
      case 3:
        if (changed->children.size() > 1) changed->children.erase(changed->children.begin());
        break;
      case 4:
        connections.clear();
        break;
      default:
        connections = {target_.connection};
        break;
    }
    removed_ = connections.empty();
    target_.engine.configure(now_, connections, credentials_of(setting_, true));
    target_.drain();
    target_.advance();
    if (!connections.empty()) target_.connection = connections.front();
  }

  IkeSetting setting_;
  Now now_{};
  std::deque<Datagram> to_target_, to_peer_;
  std::size_t sent_bytes_ = 0;
  bool removed_ = false;       // the connection, from the configuration
  bool target_began_ = false;  // who asks may answer a small answer with much
  Host target_, peer_;
  Surroundings around_;
  std::vector<Datagram> history_;
};

}  // namespace
}  // namespace merlon::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace merlon::fuzz;
  Input input{merlon::ByteView(data, size)};
  const IkeSetting setting{input};
  Session session{setting};
  session.run(input);
  return 0;
}
