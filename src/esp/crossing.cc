#include "esp/crossing.h"

#include <algorithm>
#include <bit>

#include "wire/ip/byte_order.h"

namespace merlon::esp {
namespace {

// A pool keeps so many free buffers for its own worker before it gives others theirs back.
constexpr std::size_t kReserve = packet::kBurstCapacity;
// A lane holds so many packets, several bursts: who owns many SAs is not always awake when a burst comes. Both of an owner hold a quarter
// of a worker's buffers, so one that stalls takes nobody else along; all lanes together may hold half of them, see push().
constexpr std::size_t kLeastCapacity = 16, kLanesInAPool = 8;

std::size_t fitting(std::size_t wanted, std::span<packet::PacketPool* const> pools) {
  std::size_t least = SIZE_MAX;
  for (const packet::PacketPool* pool : pools) least = std::min(least, pool->size());
  return std::bit_floor(std::max(std::min(wanted, least / kLanesInAPool), kLeastCapacity));
}

void increase(std::atomic<std::uint64_t>& counter, std::uint64_t by) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

template <class Visit>
void for_each_in(Lane<packet::Packet>& lane, Visit visit) {
  std::array<packet::Packet*, packet::kBurstCapacity> packets;
  while (const std::size_t count = lane.pop(packets))
    for (packet::Packet* packet : std::span(packets).first(count)) visit(packet);
}

}  // namespace

CrossingField::CrossingField(std::size_t lane_capacity, std::span<packet::PacketPool* const> pools)
    : pools_(pools.begin(), pools.end()) {
  const std::size_t capacity = fitting(lane_capacity, pools);
  for (std::size_t from = 0; from < pools.size(); ++from)
    for (std::size_t to = 0; to < pools.size(); ++to)
      pairs_.push_back(from == to ? nullptr : std::make_unique<Pair>(capacity, capacity * 2));
}

CrossingField::~CrossingField() {
  for (std::size_t from = 0; from < pools_.size(); ++from)
    for (std::size_t to = 0; to < pools_.size(); ++to) {
      if (from == to) continue;
      const auto free_in = [this](std::size_t pool) {
        return [this, pool](packet::Packet* packet) { static_cast<void>(pools_[pool]->adopt(packet)); };
      };
      for (PacketLane& lane : pair(from, to).lanes) for_each_in(lane, free_in(to));
      for_each_in(pair(from, to).home, free_in(from));
    }
}

CrossingEnd::CrossingEnd(CrossingField& field, WorkerIndex self, Reporter& reporter)
    : field_(field),
      self_(self),
      pool_(*field.pools_[self.value]),
      least_buffers_(pool_.size() / 2),
      reporter_(reporter),
      peers_(field.pools_.size()) {}

// --- sender

void CrossingEnd::send(WorkerIndex to, Crossing kind, packet::PacketPtr packet) {
  Bundle& bundle = peers_[to.value].bundles[static_cast<std::size_t>(kind)];
  bundle.packets[bundle.count++] = pool_.hand_over(std::move(packet));
  dirty_ |= std::uint64_t{1} << to.value;
  if (bundle.count == bundle.packets.size()) push(to.value, static_cast<std::size_t>(kind));
}

void CrossingEnd::push(std::size_t to, std::size_t kind) {
  Bundle& bundle = peers_[to].bundles[kind];
  const std::span<packet::Packet* const> packets =
      std::span(bundle.packets).first(std::exchange(bundle.count, 0));
  // What is in the bundle is not the pool's any more.
  if (pool_.size() < least_buffers_) collect();
  const std::size_t left = pool_.size() + packets.size();
  const std::size_t room = left - std::min(left, least_buffers_);
  const std::size_t taken =
      field_.pair(self_.value, to).lanes[kind].push(packets.first(std::min(packets.size(), room)));
  for (packet::Packet* refused : packets.subspan(taken)) {
    static_cast<void>(pool_.adopt(refused));  // and so it is free again
    reporter_.drop(DropReason::kCrossingFull);
  }
  if (taken != 0) sent_to_ |= std::uint64_t{1} << to;
  increase(counters_.sent, taken);
  increase(counters_.refused, packets.size() - taken);
}

void CrossingEnd::flush() {
  if (dirty_ == 0) return;
  for (std::uint64_t rest = std::exchange(dirty_, 0); rest != 0; rest &= rest - 1) {
    const auto to = static_cast<std::size_t>(std::countr_zero(rest));
    for (std::size_t kind = 0; kind < kCrossings; ++kind)
      if (peers_[to].bundles[kind].count != 0) push(to, kind);
  }
  collect();
}

// What is too short for an SPI stays here, to be counted as what it is.
WorkerIndex CrossingEnd::owner_of_bytes(ByteView esp) const {
  return esp.size() < sizeof(std::uint32_t) ? self_ : owner(Spi{wire::load_u32(esp, 0)});
}

bool CrossingEnd::is_all_of(WorkerIndex owner, const packet::Packet& packet) const {
  const std::size_t segment_size = packet.meta.segment_size;
  for (ByteView rest = packet.bytes(); segment_size != 0 && !rest.empty();) {
    if (owner_of_bytes(rest) != owner) return false;
    rest = rest.subspan(std::min(segment_size, rest.size()));
  }
  return true;
}

void CrossingEnd::keep_own(packet::Burst& burst) {
  for (packet::PacketPtr& packet : burst) {
    if (!packet) continue;
    const WorkerIndex first = owner_of_bytes(packet->bytes());
    if (!is_all_of(first, *packet)) {
      keep_own_parts(packet);
    } else if (first != self_) {
      send(first, Crossing::kInbound, std::move(packet));
    }
  }
}

// Copies what is others', and moves together what is ours. Only the last part may be shorter, and stays the last.
void CrossingEnd::keep_own_parts(packet::PacketPtr& packet) {
  const std::size_t segment_size = packet->meta.segment_size;
  const MutableByteView all = packet->bytes();
  std::size_t kept = 0;
  for (std::size_t at = 0; at < all.size(); at += segment_size) {
    const MutableByteView part = all.subspan(at, std::min(segment_size, all.size() - at));
    const WorkerIndex owner = owner_of_bytes(part);
    if (owner == self_) {
      std::copy(part.begin(), part.end(), all.subspan(kept).begin());  // never forward
      kept += part.size();
      continue;
    }
    packet::PacketPtr copy = pool_.copy_of(part);
    if (!copy) {
      reporter_.drop(DropReason::kNoBuffer);
      continue;
    }
    copy->meta = packet->meta;
    copy->meta.segment_size = 0;
    send(owner, Crossing::kInbound, std::move(copy));
  }
  if (kept == 0) return packet.reset();
  packet->trim_back(all.size() - kept);
  if (kept <= segment_size) packet->meta.segment_size = 0;
}

// --- receiver

bool CrossingEnd::take(Crossing kind, packet::Burst& burst) {
  std::size_t& turn = next_[static_cast<std::size_t>(kind)];
  std::array<packet::Packet*, packet::kBurstCapacity> packets;
  for (std::size_t step = 0; step < peers_.size(); ++step) {
    turn = turn + 1 == peers_.size() ? 0 : turn + 1;
    if (turn == self_.value) continue;
    const std::size_t count = field_.pair(turn, self_.value)
                                  .lanes[static_cast<std::size_t>(kind)]
                                  .pop(std::span(packets).first(packets.size() - burst.size()), kMostBytes,
                                       [](const packet::Packet& packet) { return packet.size(); });
    if (count == 0) continue;
    for (packet::Packet* packet : std::span(packets).first(count)) burst.push(pool_.adopt(packet));
    peers_[turn].owed += count;
    increase(counters_.taken, count);
    pay(turn);
    return true;
  }
  return false;
}

// Any buffer does: they are all alike.
void CrossingEnd::pay(std::size_t peer) {
  std::array<packet::Packet*, packet::kBurstCapacity> free;
  std::size_t& owed = peers_[peer].owed;
  while (owed != 0 && pool_.available() > kReserve) {
    std::size_t count = 0;
    for (; count < std::min(owed, free.size()) && pool_.available() > kReserve; ++count)
      free[count] = pool_.hand_over(pool_.allocate());
    const std::size_t taken = field_.pair(peer, self_.value).home.push(std::span(free).first(count));
    for (packet::Packet* packet : std::span(free).first(count).subspan(taken))
      static_cast<void>(pool_.adopt(packet));
    owed -= taken;
    if (taken != count) return;
  }
}

bool CrossingEnd::has_any() const {
  for (std::size_t from = 0; from < peers_.size(); ++from) {
    if (from == self_.value) continue;
    for (const auto& lane : field_.pair(from, self_.value).lanes)
      if (!lane.empty()) return true;
  }
  return false;
}

void CrossingEnd::collect() {
  for (std::size_t other = 0; other < peers_.size(); ++other) {
    if (other == self_.value) continue;
    for_each_in(field_.pair(self_.value, other).home,
                [this](packet::Packet* packet) { static_cast<void>(pool_.adopt(packet)); });
    pay(other);
  }
}

}  // namespace merlon::esp
