// A gateway that does wrong, where a test asks for it: sabotage.h.
#include <algorithm>

#include "policy/traffic_selector.h"
#include "sim/host_life.h"
#include "wire/esp.h"
#include "wire/ike/header.h"
#include "wire/ip/icmp.h"

namespace merlon::sim {
namespace {

// IKE header: Message ID in bytes 20 to 23. ESP header: sequence number in bytes 4 to 7.
constexpr std::size_t kMessageIdEnd = 23, kSequenceEnd = 7;
constexpr std::size_t kInnerWithMore =
    60;  // an inner packet this long holds more than its mark and its number

std::shared_ptr<policy::ChildSa> copy_of(const policy::ChildSa& sa, const policy::ChildSa& keys) {
  auto copy = std::make_shared<policy::ChildSa>(policy::without_keys(sa));
  copy->inbound = {keys.inbound.encryption.clone(), keys.inbound.integrity.clone()};
  copy->outbound = {keys.outbound.encryption.clone(), keys.outbound.integrity.clone()};
  return copy;
}

policy::TrafficSelector elsewhere() {
  return policy::selector_for(IpPrefix{IpAddress::v4(0x0b000000), 8});
}

bool is_protected(const wire::IkeHeader& header) {
  return header.next_payload == wire::PayloadType::kSk || header.next_payload == wire::PayloadType::kSkf;
}

}  // namespace

std::vector<policy::ConnectionPtr> Host::policies() const {
  if (in_.sabotage != Sabotage::kForgetExceptions) return plan_.connections;
  std::vector<policy::ConnectionPtr> made;
  for (const policy::ConnectionPtr& connection : plan_.connections) {
    auto copy = std::make_shared<policy::Connection>(*connection);
    std::erase_if(copy->children,
                  [](const auto& child) { return child.action != policy::ChildAction::kProtect; });
    made.push_back(std::move(copy));
  }
  return made;
}

policy::ChildSaPtr Host::sabotaged(const policy::ChildSaPtr& sa) const {
  const bool second = number_ == 1;
  switch (in_.sabotage) {
    case Sabotage::kReinstallKeys: {
      const auto older =
          std::find_if(life_->child_sas.begin(), life_->child_sas.end(),
                       [&](const auto& entry) { return entry.second->child_index == sa->child_index; });
      return copy_of(*sa, older == life_->child_sas.end() ? *sa : *older->second);
    }
    case Sabotage::kOneKeyBothWays: {
      auto copy = copy_of(*sa, *sa);
      copy->outbound = {sa->inbound.encryption.clone(), sa->inbound.integrity.clone()};
      return copy;
    }
    case Sabotage::kWidenBothEnds: {
      auto copy = copy_of(*sa, *sa);
      (second ? copy->remote_ts : copy->local_ts).push_back(elsewhere());
      return copy;
    }
    case Sabotage::kCorruptKey:
    case Sabotage::kWidenSelectors:
    case Sabotage::kOtherAlgorithms:
    case Sabotage::kOtherChild:
    case Sabotage::kOtherConnection:
    case Sabotage::kShortKey:
      break;
    default:
      return sa;
  }
  if (!second) return sa;
  auto copy = copy_of(*sa, *sa);
  if (in_.sabotage == Sabotage::kCorruptKey) copy->inbound.encryption.mutable_bytes()[0] ^= 1U;
  if (in_.sabotage == Sabotage::kWidenSelectors) copy->remote_ts.push_back(elsewhere());
  if (in_.sabotage == Sabotage::kOtherAlgorithms) copy->algorithms.esn = !copy->algorithms.esn;
  if (in_.sabotage == Sabotage::kOtherChild)
    copy->child_index = (copy->child_index + 1) % copy->connection->children.size();
  if (in_.sabotage == Sabotage::kOtherConnection) {
    auto renamed = std::make_shared<policy::Connection>(*copy->connection);
    renamed->name = "nobody's";
    copy->connection = std::move(renamed);
  }
  if (in_.sabotage == Sabotage::kShortKey)
    copy->inbound.encryption = Secret::copy_of(sa->inbound.encryption.bytes().first(3));
  return copy;
}

void Host::sabotage(ike::Transmit& action) {
  const auto header = wire::IkeHeader::parse(action.payload);
  if (!header || header->exchange_type == wire::ExchangeType::kIkeSaInit) return;
  const bool request = !header->flags.response;
  if (request && in_.sabotage == Sabotage::kSkipMessageId && header->message_id.value > 0)
    action.payload[kMessageIdEnd] ^= 8U;
  if (request && in_.sabotage == Sabotage::kAlterRetransmission)
    action.payload.back() ^= static_cast<std::uint8_t>(++life_->inner_count);
  if (in_.sabotage == Sabotage::kTruncateMessages) action.payload.resize(wire::kIkeHeaderSize - 8);
  if (in_.sabotage != Sabotage::kRepeatIkeIv || !is_protected(*header)) return;
  const std::size_t at = wire::kIkeHeaderSize + (header->next_payload == wire::PayloadType::kSkf ? 8 : 4);
  const auto iv = action.payload.begin() + static_cast<std::ptrdiff_t>(at);
  std::array<std::uint8_t, 8> own{};
  std::copy_n(iv, own.size(), own.begin());
  const auto& first = life_->first_ivs.try_emplace(header->ike_sa_id(), own).first->second;
  // The peer cannot read it any more, and has to have read IKE_AUTH.
  if (header->exchange_type != wire::ExchangeType::kIkeAuth) std::copy(first.begin(), first.end(), iv);
}

void Host::sabotage_after(const ike::Transmit& action) {
  if (in_.sabotage != Sabotage::kTwoRequests) return;
  const auto header = wire::IkeHeader::parse(action.payload);
  if (!header || header->flags.response || header->exchange_type == wire::ExchangeType::kIkeSaInit) return;
  Bytes second = action.payload;
  ++second[kMessageIdEnd];
  transmit({Carrier::kUdp, {address_, plan_.options.ike_port}, action.remote, 0, std::move(second)}, {});
}

void Host::sabotage_after(const WireDatagram& esp, policy::ChildSaId sa) {
  if (in_.sabotage == Sabotage::kReuseSequence) return transmit(esp, sa);
  if (in_.sabotage != Sabotage::kReuseIv) return;
  const auto at = life_->child_sas.find(sa);
  if (at == life_->child_sas.end() || at->second->algorithms.encr != EncrId::kAesGcm16) return;
  WireDatagram again = esp;
  ++again.payload[kSequenceEnd];
  transmit(std::move(again), sa);
}

void Host::sabotage_removed(const policy::ChildSaPtr& sa) {
  if (in_.sabotage == Sabotage::kReleaseTwice) life_->spis.removed_with_its_sa(sa->inbound_spi);
  if (in_.sabotage == Sabotage::kRemoveTwice) {
    ike::RemoveChildSa again{sa->id};
    perform(again);
  }
  if (in_.sabotage == Sabotage::kUpdateRemoved) {
    ike::UpdateChildSa update{sa->id, sa->path, true};
    perform(update);
  }
  if (in_.sabotage != Sabotage::kSendUnderRemoved) return;
  Bytes packet(64, 0);
  for (unsigned i = 0; i < 4; ++i)
    packet[i] = static_cast<std::uint8_t>(sa->outbound_spi.value >> (24 - 8 * i));
  transmit({Carrier::kEsp, {address_, 0}, sa->path.remote, 0, std::move(packet)}, sa->id);
}

void Host::sabotage_outbound(ByteView packet) {
  if (in_.sabotage != Sabotage::kSendInClear && in_.sabotage != Sabotage::kRefuseWhatFits) return;
  if (lives_ != 1 || ++life_->inner_count != 50) return;
  if (in_.sabotage == Sabotage::kSendInClear)
    return transmit({Carrier::kUdp, {address_, 4500}, {address_, 4500}, 0, to_bytes(packet)}, {});
  if (const auto answer = wire::build_packet_too_big(packet, address_, 1000))
    in_.checker.refused(number_, *answer);
}

bool Host::sabotage_inner(ByteView packet) {
  switch (in_.sabotage) {
    case Sabotage::kLosePackets:
      return ++life_->inner_count % 100 == 0;
    case Sabotage::kLoseMostPackets:
      return in_.queue.elapsed() > std::chrono::seconds(40) && ++life_->inner_count % 4 != 0;
    case Sabotage::kDeliverTwice:
      in_.checker.delivered(number_, packet);
      return false;
    case Sabotage::kDeliverElsewhere:
      in_.checker.delivered(number_, in_.checker.make_stray(number_, life_->worker_rng));
      return false;
    case Sabotage::kDeliverUnsent:
      in_.checker.delivered(number_, Bytes(packet.size(), 0x45));
      return false;
    case Sabotage::kAlterPackets: {
      if (packet.size() <= kInnerWithMore) return false;
      Bytes altered = to_bytes(packet);
      altered.back() ^= 1U;
      in_.checker.delivered(number_, altered);
      return true;
    }
    default:
      return false;
  }
}

void Host::sabotage_tick() {
  // From then on nothing looks for seconds at how many there are.
  if (in_.sabotage == Sabotage::kKeepBuffers && in_.queue.elapsed() > std::chrono::seconds(42))
    while (auto buffer = life_->pool.copy_of(Bytes(1))) life_->kept.push_back(std::move(buffer));
  if (in_.sabotage != Sabotage::kHoardTimers) return;
  for (unsigned i = 0; i < 50000; ++i) after(std::chrono::hours(1), [] {});
}

void Host::never_rest() {
  after(Duration{0}, [this] {
    if (in_.queue.at_this_instant() > kSpin)
      return fail("timers come to rest", "timers are due again and again at one instant");
    never_rest();
  });
}

unsigned Host::copies(const WireDatagram& datagram) const {
  if (in_.sabotage != Sabotage::kAnswerTooMuch && in_.sabotage != Sabotage::kRepeatRequests) return 0;
  const auto header = wire::IkeHeader::parse(ike_message_of(datagram));
  if (!header) return 0;
  if (header->flags.response) return in_.sabotage == Sabotage::kAnswerTooMuch ? 2 : 0;
  return in_.sabotage == Sabotage::kRepeatRequests ? 9 : 0;
}

}  // namespace merlon::sim
