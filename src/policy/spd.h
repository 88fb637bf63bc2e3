// The Security Policy Database (RFC 4301 4.4.1): an ordered list of entries, found in time that does not grow
// with their number. An immutable value: built once from the configuration, then shared by every thread.
//
// Order: ChildConfig::priority, smaller first; then bypass and discard before protect; then the order of the
// connections and of their children. The first entry that matches a packet decides (RFC 4301 4.4.1.2).
//
// Index: tuple-space search. Every pair of selectors is split into address prefixes; rules of one shape
// (prefix lengths, whether protocol and ports are exact) share a hash table, and tables are asked in the
// order of their best rule until no better one can follow. The number of shapes is bounded by the prefix
// lengths in use, not by the number of entries. Port ranges that are neither one port nor all are looked
// through one by one among rules of the same addresses and protocol.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "policy/connection.h"
#include "policy/traffic_selector.h"

namespace merlon::policy {

struct SpdEntry {
  ChildAction action = ChildAction::kDiscard;
  TrafficSelectors local_ts, remote_ts;
  ConnectionPtr connection;     // never null in an Spd made by build_spd
  std::size_t child_index = 0;  // into connection->children
  std::uint32_t priority = 0;

  [[nodiscard]] std::string name() const;  // "CONNECTION.CHILD"
};

class Spd {
 public:
  Spd();  // without entries
  // In the order given; ties are not resolved here.
  explicit Spd(std::vector<SpdEntry> entries);
  Spd(Spd&&) noexcept;
  Spd& operator=(Spd&&) noexcept;
  ~Spd();

  // The entry that decides on the packet; nullptr: none, and then the packet is discarded (RFC 4301 5.1
  // and 5.2).
  [[nodiscard]] const SpdEntry* find(const PacketSelectors& packet, Direction direction) const;
  // The same by looking at every entry: for tests and for `merlon explain`.
  [[nodiscard]] const SpdEntry* find_by_scan(const PacketSelectors& packet, Direction direction) const;
  [[nodiscard]] std::optional<std::size_t> find_index(const PacketSelectors& packet,
                                                      Direction direction) const;

  [[nodiscard]] std::span<const SpdEntry> entries() const { return entries_; }
  // What the index costs: rules (selector pairs split into prefixes) and shapes (hash tables).
  [[nodiscard]] std::size_t rule_count() const;
  [[nodiscard]] std::size_t shape_count() const;

  // One sentence for every entry that can never be reached, since earlier ones decide on all its packets
  // (where each pair of its prefixes lies within one rule of an earlier entry; unions are not looked for);
  // and, up to kOverlapLimit entries, for every two protect entries of which neither holds the other though
  // they share packets.
  [[nodiscard]] std::vector<std::string> warnings() const;
  static constexpr std::size_t kOverlapLimit = 1000;

 private:
  class Index;
  std::vector<SpdEntry> entries_;
  std::unique_ptr<Index> index_;
};

// The connections' children in the order above.
[[nodiscard]] Spd build_spd(std::span<const ConnectionPtr> connections);

}  // namespace merlon::policy
