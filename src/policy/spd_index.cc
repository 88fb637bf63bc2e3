#include "policy/spd_index.h"

#include <algorithm>
#include <bit>
#include <tuple>

#include "base/check.h"

namespace merlon::policy {
namespace {

bool is_one_port(const TrafficSelector& selector) {
  return selector.start_port == selector.end_port;
}

// The value that a packet shows on a side; nothing where rules for one port cannot match.
struct VisiblePorts {
  bool visible = false;
  std::uint16_t source = 0, destination = 0;
};

VisiblePorts visible_ports(const PacketSelectors& packet) {
  if (packet.is_protocol_opaque) return {};
  switch (packet.upper) {
    case wire::UpperFields::kPorts:
      return {true, packet.source_port, packet.destination_port};
    case wire::UpperFields::kIcmp:
      return {true, packet.icmp_selector(), packet.icmp_selector()};
    case wire::UpperFields::kMobility:
      return {true, packet.mobility_selector(), packet.mobility_selector()};
    default:
      return {};
  }
}

TrafficSelector part_of(const TrafficSelector& whole, const IpAddress& prefix, unsigned length,
                        std::uint8_t protocol) {
  TrafficSelector out = whole;
  out.start_address = prefix;
  out.end_address = prefix.filled(length);
  out.protocol = protocol;
  return out;
}

}  // namespace

std::uint64_t Spd::Index::hash_of(const Key& key) {
  std::uint64_t hash = 0x9e3779b97f4a7c15U;
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * 0xff51afd7ed558ccdU;
    hash ^= hash >> 32U;
  };
  mix(key.local.high);
  mix(key.local.low);
  mix(key.remote.high);
  mix(key.remote.low);
  mix(std::uint64_t{key.local_port} << 32U | std::uint64_t{key.remote_port} << 16U | key.protocol);
  return hash;
}

Spd::Index::Bits Spd::Index::bits_of(const IpAddress& address) {
  const auto words = address.words();
  return {words[0], words[1]};
}

IpAddress Spd::Index::address_of(IpFamily family, Bits bits) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < 16; ++i)
    bytes[i] = static_cast<std::uint8_t>((i < 8 ? bits.high : bits.low) >> (56U - 8U * (i % 8)));
  const auto address = IpAddress::from_bytes(ByteView(bytes).first(family == IpFamily::kIpv4 ? 4 : 16));
  MERLON_ASSERT(address.has_value());
  return *address;
}

Spd::Index::Bits Spd::Index::mask_of(unsigned length) {
  const std::uint64_t all_ones = ~std::uint64_t{0};
  const auto leading = [](unsigned count) {
    return count == 0 ? 0 : count >= 64 ? all_ones : all_ones << (64U - count);
  };
  return {leading(length), leading(length > 64 ? length - 64 : 0)};
}

void Spd::Index::add_pieces(const SpdEntry& entry, Rule rule, std::vector<Piece>& out) {
  const TrafficSelector& local = entry.local_ts[rule.local];
  const TrafficSelector& remote = entry.remote_ts[rule.remote];
  const bool can_match = !is_empty(local) && !is_empty(remote) &&
                         local.start_address.family() == remote.start_address.family() &&
                         (local.protocol == 0 || remote.protocol == 0 || local.protocol == remote.protocol);
  if (!can_match) return;
  const auto local_prefixes = prefixes_of_range(local.start_address, local.end_address);
  const auto remote_prefixes = prefixes_of_range(remote.start_address, remote.end_address);
  Piece piece;
  piece.rule = rule;
  // Prefixes and protocol are in the key; ports have their own rules on either side (matches()).
  piece.is_exact = local.is_any_port() && remote.is_any_port();
  piece.key.protocol = local.protocol != 0 ? local.protocol : remote.protocol;
  if (is_one_port(local)) piece.key.local_port = local.start_port;
  if (is_one_port(remote)) piece.key.remote_port = remote.start_port;
  for (const IpPrefix& local_prefix : local_prefixes) {
    for (const IpPrefix& remote_prefix : remote_prefixes) {
      piece.key.local = bits_of(local_prefix.address);
      piece.key.remote = bits_of(remote_prefix.address);
      piece.shape = {local.start_address.family(),
                     static_cast<std::uint8_t>(local_prefix.length),
                     static_cast<std::uint8_t>(remote_prefix.length),
                     piece.key.protocol != 0,
                     is_one_port(local),
                     is_one_port(remote)};
      out.push_back(piece);
    }
  }
}

Spd::Index::Index(std::span<const SpdEntry> entries) {
  std::vector<Piece> pieces;
  for (std::uint32_t e = 0; e < entries.size(); ++e)
    for (std::uint32_t l = 0; l < entries[e].local_ts.size(); ++l)
      for (std::uint32_t r = 0; r < entries[e].remote_ts.size(); ++r)
        add_pieces(entries[e], {e, l, r}, pieces);
  std::ranges::stable_sort(pieces, {}, [](const Piece& piece) {
    const Key& key = piece.key;
    return std::tuple(piece.shape, key.local.high, key.local.low, key.remote.high, key.remote.low,
                      key.protocol, key.local_port, key.remote_port);
  });
  rules_.reserve(pieces.size());
  for (auto first = pieces.begin(); first != pieces.end();) {
    const auto last =
        std::find_if(first, pieces.end(), [&](const Piece& piece) { return piece.shape != first->shape; });
    build_table({first, last});
    first = last;
  }
  std::ranges::stable_sort(shapes_, {}, &Table::best_entry);
}

// `pieces`: of one shape, equal keys together and then by entry.
void Spd::Index::build_table(std::span<const Piece> pieces) {
  Table table;
  table.shape = pieces.front().shape;
  table.local_mask = mask_of(table.shape.local_length);
  table.remote_mask = mask_of(table.shape.remote_length);
  table.best_entry = pieces.front().rule.entry;
  for (const Piece& piece : pieces) {
    if (table.buckets.empty() || table.buckets.back().key != piece.key)
      table.buckets.push_back(
          {piece.key, static_cast<std::uint32_t>(rules_.size()), 0, piece.rule.entry, piece.is_exact});
    ++table.buckets.back().rule_count;
    rules_.push_back(piece.rule);
    table.best_entry = std::min(table.best_entry, piece.rule.entry);
  }
  table.slots.resize(std::bit_ceil(table.buckets.size() * 2));
  for (std::size_t i = 0; i < table.buckets.size(); ++i) {
    const std::uint64_t hash = hash_of(table.buckets[i].key);
    std::size_t at = hash & (table.slots.size() - 1);
    while (table.slots[at].bucket != 0) at = (at + 1) & (table.slots.size() - 1);
    table.slots[at] = {static_cast<std::uint32_t>(hash >> 32U), static_cast<std::uint32_t>(i + 1)};
  }
  shapes_.push_back(std::move(table));
}

const Spd::Index::Bucket* Spd::Index::find_bucket(const Table& table, const Key& key) {
  const std::uint64_t hash = hash_of(key);
  const auto tag = static_cast<std::uint32_t>(hash >> 32U);
  for (std::size_t at = hash & (table.slots.size() - 1);; at = (at + 1) & (table.slots.size() - 1)) {
    const Slot& slot = table.slots[at];
    if (slot.bucket == 0) return nullptr;
    if (slot.tag != tag) continue;
    const Bucket& bucket = table.buckets[slot.bucket - 1];
    if (bucket.key == key) return &bucket;
  }
}

std::optional<std::size_t> Spd::Index::find(std::span<const SpdEntry> entries, const PacketSelectors& packet,
                                            Direction direction) const {
  const bool outbound = direction == Direction::kOutbound;
  const PacketSide local_side = outbound ? PacketSide::kSource : PacketSide::kDestination;
  const PacketSide remote_side = outbound ? PacketSide::kDestination : PacketSide::kSource;
  const Bits local = bits_of(outbound ? packet.source : packet.destination);
  const Bits remote = bits_of(outbound ? packet.destination : packet.source);
  const VisiblePorts ports = visible_ports(packet);
  const std::uint16_t local_port = outbound ? ports.source : ports.destination;
  const std::uint16_t remote_port = outbound ? ports.destination : ports.source;

  std::optional<std::uint32_t> best;
  for (const Table& table : shapes_) {
    if (best && table.best_entry >= *best) break;
    const Shape& shape = table.shape;
    if (shape.family != packet.source.family() || (shape.has_protocol && packet.is_protocol_opaque) ||
        ((shape.has_local_port || shape.has_remote_port) && !ports.visible))
      continue;
    Key key;
    key.local = masked(local, table.local_mask);
    key.remote = masked(remote, table.remote_mask);
    if (shape.has_protocol) key.protocol = static_cast<std::uint8_t>(packet.protocol);
    if (shape.has_local_port) key.local_port = local_port;
    if (shape.has_remote_port) key.remote_port = remote_port;
    const Bucket* bucket = find_bucket(table, key);
    if (bucket == nullptr || (best && bucket->first_entry >= *best)) continue;
    if (bucket->is_first_exact) {
      best = bucket->first_entry;
      continue;
    }
    for (const Rule& rule : std::span(rules_).subspan(bucket->first_rule, bucket->rule_count)) {
      if (best && rule.entry >= *best) break;
      const SpdEntry& entry = entries[rule.entry];
      if (!matches(entry.local_ts[rule.local], packet, local_side) ||
          !matches(entry.remote_ts[rule.remote], packet, remote_side))
        continue;
      best = rule.entry;
      break;
    }
  }
  return best ? std::optional<std::size_t>(*best) : std::nullopt;
}

std::optional<std::uint32_t> Spd::Index::earlier_holder(std::span<const SpdEntry> entries,
                                                        const Piece& piece) const {
  const SpdEntry& entry = entries[piece.rule.entry];
  const TrafficSelector local =
      part_of(entry.local_ts[piece.rule.local], address_of(piece.shape.family, piece.key.local),
              piece.shape.local_length, piece.key.protocol);
  const TrafficSelector remote =
      part_of(entry.remote_ts[piece.rule.remote], address_of(piece.shape.family, piece.key.remote),
              piece.shape.remote_length, piece.key.protocol);
  for (const Table& table : shapes_) {
    const Shape& shape = table.shape;
    if (table.best_entry >= piece.rule.entry) break;
    // A wider rule has shorter prefixes, and names no protocol or port that the narrower one leaves open.
    if (shape.family != piece.shape.family || shape.local_length > piece.shape.local_length ||
        shape.remote_length > piece.shape.remote_length ||
        (shape.has_protocol && !piece.shape.has_protocol) ||
        (shape.has_local_port && !piece.shape.has_local_port) ||
        (shape.has_remote_port && !piece.shape.has_remote_port))
      continue;
    Key key;
    key.local = masked(piece.key.local, table.local_mask);
    key.remote = masked(piece.key.remote, table.remote_mask);
    if (shape.has_protocol) key.protocol = piece.key.protocol;
    if (shape.has_local_port) key.local_port = piece.key.local_port;
    if (shape.has_remote_port) key.remote_port = piece.key.remote_port;
    const Bucket* bucket = find_bucket(table, key);
    if (bucket == nullptr) continue;
    for (const Rule& rule : std::span(rules_).subspan(bucket->first_rule, bucket->rule_count)) {
      if (rule.entry >= piece.rule.entry) break;
      const SpdEntry& earlier = entries[rule.entry];
      if (contains(earlier.local_ts[rule.local], local) && contains(earlier.remote_ts[rule.remote], remote))
        return rule.entry;
    }
  }
  return std::nullopt;
}

std::optional<std::size_t> Spd::Index::shadowed_by(std::span<const SpdEntry> entries,
                                                   std::size_t entry) const {
  std::vector<Piece> pieces;
  for (std::uint32_t l = 0; l < entries[entry].local_ts.size(); ++l)
    for (std::uint32_t r = 0; r < entries[entry].remote_ts.size(); ++r)
      add_pieces(entries[entry], {static_cast<std::uint32_t>(entry), l, r}, pieces);
  std::optional<std::size_t> by;
  for (const Piece& piece : pieces) {
    const auto holder = earlier_holder(entries, piece);
    if (!holder) return std::nullopt;
    by = *holder;
  }
  return by;
}

}  // namespace merlon::policy
