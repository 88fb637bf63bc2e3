#include "policy/spd.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "policy/spd_index.h"

namespace merlon::policy {
namespace {

std::string_view name_of(ChildAction action) {
  switch (action) {
    case ChildAction::kProtect:
      return "protect";
    case ChildAction::kBypass:
      return "bypass";
    case ChildAction::kDiscard:
      return "discard";
  }
  return "?";
}

std::string described(const SpdEntry& entry) {
  const bool has_source = entry.connection != nullptr && !entry.connection->source.empty();
  return fmt::format("'{}' ({} {}{}{})", entry.name(), name_of(entry.action),
                     to_text(entry.local_ts, entry.remote_ts), has_source ? ", " : "",
                     has_source ? entry.connection->source : "");
}

bool any_overlap(SelectorView a, SelectorView b) {
  return std::ranges::any_of(a, [&](const TrafficSelector& x) {
    return std::ranges::any_of(b, [&](const TrafficSelector& y) { return overlaps(x, y); });
  });
}

bool holds(const SpdEntry& outer, const SpdEntry& inner) {
  return contains(outer.local_ts, inner.local_ts) && contains(outer.remote_ts, inner.remote_ts);
}

}  // namespace

std::string SpdEntry::name() const {
  if (connection == nullptr) return "?";
  if (child_index >= connection->children.size()) return connection->name;
  return fmt::format("{}.{}", connection->name, connection->children[child_index].name);
}

Spd::Spd() : Spd(std::vector<SpdEntry>{}) {}
Spd::Spd(std::vector<SpdEntry> entries)
    : entries_(std::move(entries)), index_(std::make_unique<Index>(entries_)) {}
Spd::Spd(Spd&&) noexcept = default;
Spd& Spd::operator=(Spd&&) noexcept = default;
Spd::~Spd() = default;

std::optional<std::size_t> Spd::find_index(const PacketSelectors& packet, Direction direction) const {
  return index_->find(entries_, packet, direction);
}

const SpdEntry* Spd::find(const PacketSelectors& packet, Direction direction) const {
  const auto index = find_index(packet, direction);
  return index ? &entries_[*index] : nullptr;
}

const SpdEntry* Spd::find_by_scan(const PacketSelectors& packet, Direction direction) const {
  for (const SpdEntry& entry : entries_)
    if (matches(entry.local_ts, entry.remote_ts, packet, direction)) return &entry;
  return nullptr;
}

std::size_t Spd::rule_count() const {
  return index_->rule_count();
}

std::size_t Spd::shape_count() const {
  return index_->shape_count();
}

std::vector<std::string> Spd::warnings() const {
  std::vector<std::string> out;
  std::vector<bool> is_shadowed(entries_.size(), false);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto by = index_->shadowed_by(entries_, i);
    if (!by) continue;
    is_shadowed[i] = true;
    out.push_back(
        fmt::format("{} can never be reached, since {} comes first and holds all of it; give it a smaller "
                    "priority number",
                    described(entries_[i]), described(entries_[*by])));
  }
  if (entries_.size() > kOverlapLimit) return out;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    for (std::size_t j = i + 1; j < entries_.size(); ++j) {
      const SpdEntry& first = entries_[i];
      const SpdEntry& second = entries_[j];
      if (first.action != ChildAction::kProtect || second.action != ChildAction::kProtect || is_shadowed[j])
        continue;
      if (!any_overlap(first.local_ts, second.local_ts) || !any_overlap(first.remote_ts, second.remote_ts))
        continue;
      if (holds(first, second) || holds(second, first)) continue;
      out.push_back(fmt::format("{} and {} share packets; the first one takes them", described(first),
                                described(second)));
    }
  }
  return out;
}

Spd build_spd(std::span<const ConnectionPtr> connections) {
  std::vector<SpdEntry> entries;
  for (const ConnectionPtr& connection : connections) {
    for (std::size_t i = 0; i < connection->children.size(); ++i) {
      const ChildConfig& child = connection->children[i];
      entries.push_back({child.action, child.local_ts, child.remote_ts, connection, i, child.priority});
    }
  }
  std::ranges::stable_sort(entries, {}, [](const SpdEntry& entry) {
    return std::tuple(entry.priority, entry.action == ChildAction::kProtect);
  });
  return Spd(std::move(entries));
}

}  // namespace merlon::policy
