// The SPD's tuple-space index; only spd.cc and its tests look in here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/large_memory.h"
#include "policy/spd.h"

namespace merlon::policy {

class Spd::Index {
 public:
  explicit Index(std::span<const SpdEntry> entries);

  // `entries` are those it was built from.
  [[nodiscard]] std::optional<std::size_t> find(std::span<const SpdEntry> entries,
                                                const PacketSelectors& packet, Direction direction) const;
  // Whether each rule of the entry lies within one rule of an earlier entry; then `by` is one of those.
  [[nodiscard]] std::optional<std::size_t> shadowed_by(std::span<const SpdEntry> entries,
                                                       std::size_t entry) const;

  [[nodiscard]] std::size_t rule_count() const { return rules_.size(); }
  [[nodiscard]] std::size_t shape_count() const { return shapes_.size(); }

 private:
  // An address as 128 bits, IPv4 in the upper 32, so that prefixes of both families are leading bits.
  struct Bits {
    std::uint64_t high = 0, low = 0;
    friend bool operator==(const Bits&, const Bits&) = default;
  };
  struct Key {
    Bits local, remote;
    std::uint16_t local_port = 0, remote_port = 0;
    std::uint8_t protocol = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  // What the keys of one hash table hold; the rest of a key is zero.
  struct Shape {
    IpFamily family = IpFamily::kIpv4;
    std::uint8_t local_length = 0, remote_length = 0;
    bool has_protocol = false, has_local_port = false, has_remote_port = false;
    friend auto operator<=>(const Shape&, const Shape&) = default;
  };
  // One pair of selectors of an entry.
  struct Rule {
    std::uint32_t entry = 0, local = 0, remote = 0;
  };
  // The rules of one key. Mostly the first of them says all that the key says and nothing else, so that a packet with
  // this key is decided here, and neither the rule nor the entry's selectors are looked at.
  struct alignas(64) Bucket {
    Key key;
    std::uint32_t first_rule = 0, rule_count = 0;  // into rules_, by entry
    std::uint32_t first_entry = 0;                 // of the first rule
    bool is_first_exact = false;
  };
  static_assert(sizeof(Bucket) == 64, "one cache line a decision");
  // Small, so that the search for a key that is not there stays within few cache lines.
  struct Slot {
    std::uint32_t tag = 0;     // the hash's upper half
    std::uint32_t bucket = 0;  // number into buckets, from 1; 0: free
  };
  struct Table {
    Shape shape;
    Bits local_mask, remote_mask;
    std::uint32_t best_entry = 0;  // no rule of this table belongs to an earlier one
    LargeVector<Slot> slots;       // open addressing; its size is a power of two, at most half are taken
    LargeVector<Bucket> buckets;
  };
  // A rule together with where it is filed: one of the prefixes its ranges fall into.
  struct Piece {
    Shape shape;
    Key key;
    Rule rule;
    bool is_exact = false;  // the key says all that the rule says
  };

  static std::uint64_t hash_of(const Key& key);
  static Bits bits_of(const IpAddress& address);
  static IpAddress address_of(IpFamily family, Bits bits);
  static Bits mask_of(unsigned length);
  static Bits masked(Bits bits, Bits mask) { return {bits.high & mask.high, bits.low & mask.low}; }
  static void add_pieces(const SpdEntry& entry, Rule rule, std::vector<Piece>& out);
  void build_table(std::span<const Piece> pieces);
  static const Bucket* find_bucket(const Table& table, const Key& key);
  [[nodiscard]] std::optional<std::uint32_t> earlier_holder(std::span<const SpdEntry> entries,
                                                            const Piece& piece) const;

  std::vector<Rule> rules_;
  std::vector<Table> shapes_;  // by best_entry
};

}  // namespace merlon::policy
