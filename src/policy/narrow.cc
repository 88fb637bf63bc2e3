#include "policy/narrow.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace merlon::policy {
namespace {

constexpr std::size_t kMaxSelectors = 255;  // RFC 7296 3.13: their number is one byte

bool combine(const TrafficSelector& local, const TrafficSelector& remote) {
  return local.start_address.family() == remote.start_address.family() &&
         (local.protocol == 0 || remote.protocol == 0 || local.protocol == remote.protocol);
}

TrafficSelectors with_partner(SelectorView selectors, SelectorView partners) {
  TrafficSelectors out;
  for (const TrafficSelector& selector : selectors)
    if (std::ranges::any_of(partners,
                            [&](const TrafficSelector& partner) { return combine(selector, partner); }))
      out.push_back(selector);
  return out;
}

bool is_one_address(SelectorView selectors) {
  return !selectors.empty() && std::ranges::all_of(selectors, [&](const TrafficSelector& selector) {
    return selector.start_address == selectors.front().start_address &&
           selector.end_address == selectors.front().start_address;
  });
}

bool holds_first(const NarrowResult& result, SelectorView local, SelectorView remote) {
  return contains(result.local_ts, local.first(1)) && contains(result.remote_ts, remote.first(1));
}

// RFC 7296 2.9: a responder that wants one pair of addresses a SA takes the first selectors, when they are
// such a pair.
NarrowResult to_single_pair(NarrowResult result, SelectorView proposed_local, SelectorView proposed_remote) {
  if (is_one_address(result.local_ts) && is_one_address(result.remote_ts)) return result;
  const SelectorView first_local = proposed_local.first(1);
  const SelectorView first_remote = proposed_remote.first(1);
  TrafficSelectors local = intersect(first_local, result.local_ts);
  TrafficSelectors remote = intersect(first_remote, result.remote_ts);
  if (!is_one_address(local) || !is_one_address(remote)) {
    NarrowResult refused;
    refused.verdict = NarrowVerdict::kSinglePairRequired;
    return refused;
  }
  result.local_ts = std::move(local);
  result.remote_ts = std::move(remote);
  result.additional_possible = true;
  return result;
}

bool is_whole(const NarrowResult& result, SelectorView local, SelectorView remote) {
  return contains(result.local_ts, local) && contains(result.remote_ts, remote);
}

bool holds(const NarrowResult& outer, const NarrowResult& inner) {
  return contains(outer.local_ts, inner.local_ts) && contains(outer.remote_ts, inner.remote_ts);
}

std::string refused_side(std::string_view ts_key, std::string_view opposite_key, SelectorView configured,
                         SelectorView proposed) {
  return fmt::format("change {} on this side to include {}, or {} on the peer's side to lie within {}",
                     ts_key, to_text(proposed), opposite_key, to_text(configured));
}

std::string source_in_brackets(std::string_view source) {
  return source.empty() ? "" : fmt::format(" ({})", source);
}

}  // namespace

NarrowResult narrow(SelectorView configured_local, SelectorView configured_remote,
                    SelectorView proposed_local, SelectorView proposed_remote, NarrowOptions options) {
  // A child's selectors are a product of two lists, so what both sides accept is the product of the
  // intersections: there is one largest subset. It holds the first selectors whenever the configuration
  // accepts them (RFC 7296 2.9).
  const TrafficSelectors local = intersect(proposed_local, configured_local, kMaxSelectors);
  const TrafficSelectors remote = intersect(proposed_remote, configured_remote, kMaxSelectors);
  NarrowResult result;
  result.local_ts = with_partner(local, remote);
  result.remote_ts = with_partner(remote, local);
  if (result.local_ts.empty() || result.remote_ts.empty()) return {};
  result.verdict = NarrowVerdict::kAccepted;
  for (TrafficSelectors* list : {&result.local_ts, &result.remote_ts}) {
    if (list->size() <= kMaxSelectors) continue;
    list->resize(kMaxSelectors);
    result.additional_possible = true;
  }
  if (options.single_pair_required)
    result = to_single_pair(std::move(result), proposed_local, proposed_remote);
  if (result.verdict == NarrowVerdict::kAccepted)
    result.holds_first = holds_first(result, proposed_local, proposed_remote);
  return result;
}

std::optional<ChildChoice> choose_child(const Connection& connection, SelectorView tsi, SelectorView tsr) {
  std::vector<ChildChoice> candidates;
  for (std::size_t i = 0; i < connection.children.size(); ++i) {
    const ChildConfig& child = connection.children[i];
    if (child.action != ChildAction::kProtect) continue;
    NarrowResult narrowed = narrow(child.local_ts, child.remote_ts, tsr, tsi);
    if (narrowed.verdict == NarrowVerdict::kAccepted) candidates.push_back({i, std::move(narrowed)});
  }
  if (candidates.empty()) return std::nullopt;
  const auto rank = [&](const ChildChoice& choice) {
    const ChildConfig& child = connection.children[choice.child_index];
    // Of two that accept all of it, the one whose own selectors are all asked for is meant.
    const bool is_exact = contains(choice.narrowed.local_ts, child.local_ts) &&
                          contains(choice.narrowed.remote_ts, child.remote_ts);
    return std::tuple(choice.narrowed.holds_first, is_whole(choice.narrowed, tsr, tsi), is_exact);
  };
  ChildChoice best = *std::ranges::max_element(candidates, {}, rank);  // the first of equals
  for (const ChildChoice& other : candidates)
    if (!holds(best.narrowed, other.narrowed)) best.narrowed.additional_possible = true;
  return best;
}

Result<> verify_narrowed(SelectorView proposed_local, SelectorView proposed_remote,
                         SelectorView answered_local, SelectorView answered_remote) {
  const bool has_empty =
      std::ranges::any_of(answered_local, is_empty) || std::ranges::any_of(answered_remote, is_empty);
  if (answered_local.empty() || answered_remote.empty() || has_empty)
    return fail(ErrorCode::kPolicy, "the peer answered with empty traffic selectors ({}), we proposed {}",
                to_text(answered_local, answered_remote), to_text(proposed_local, proposed_remote));
  // RFC 7296 2.9
  if (!contains(proposed_local, answered_local) || !contains(proposed_remote, answered_remote))
    return fail(ErrorCode::kPolicy,
                "the peer answered with traffic selectors {} that are no subset of what we proposed, {}",
                to_text(answered_local, answered_remote), to_text(proposed_local, proposed_remote));
  return {};
}

TrafficSelectors selectors_to_propose(SelectorView configured,
                                      const std::optional<TrafficSelector>& triggering) {
  TrafficSelectors out;
  if (triggering) out.push_back(*triggering);
  for (const TrafficSelector& selector : without_redundant(configured)) {
    if (out.size() == kMaxSelectors) break;
    if (!triggering || selector != *triggering) out.push_back(selector);
  }
  return out;
}

std::string explain_ts_mismatch(SelectorView configured_local, SelectorView configured_remote,
                                std::string_view source, SelectorView proposed_local,
                                SelectorView proposed_remote) {
  std::string out = fmt::format("traffic selectors do not overlap: we protect {}{}, the peer proposed {}",
                                to_text(configured_local, configured_remote), source_in_brackets(source),
                                to_text(proposed_local, proposed_remote));
  const bool local_fits = !intersect(configured_local, proposed_local, 1).empty();
  const bool remote_fits = !intersect(configured_remote, proposed_remote, 1).empty();
  if (local_fits && remote_fits)
    return out +
           "; the address families or protocols that both sides accept do not pair up: give local_ts and "
           "remote_ts the same ones";
  if (!remote_fits) out += "; " + refused_side("remote_ts", "local_ts", configured_remote, proposed_remote);
  if (!local_fits) out += "; " + refused_side("local_ts", "remote_ts", configured_local, proposed_local);
  return out;
}

std::string explain_ts_mismatch(const Connection& connection, SelectorView tsi, SelectorView tsr) {
  const ChildConfig* nearest = nullptr;
  int nearest_fits = -1;
  for (const ChildConfig& child : connection.children) {
    if (child.action != ChildAction::kProtect) continue;
    const int fits = (intersect(child.local_ts, tsr, 1).empty() ? 0 : 1) +
                     (intersect(child.remote_ts, tsi, 1).empty() ? 0 : 1);
    if (fits <= nearest_fits) continue;
    nearest = &child;
    nearest_fits = fits;
  }
  if (nearest == nullptr)
    return fmt::format(
        "connection '{}'{} protects nothing: it has no child for the peer's traffic selectors {}",
        connection.name, source_in_brackets(connection.source), to_text(tsr, tsi));
  const std::string source = fmt::format("{}.{}{}{}", connection.name, nearest->name,
                                         connection.source.empty() ? "" : ", ", connection.source);
  return explain_ts_mismatch(nearest->local_ts, nearest->remote_ts, source, tsr, tsi);
}

std::string explain_ts_refused(const Connection& connection, const ChildConfig& child) {
  return fmt::format(
      "the peer accepts no part of our traffic selectors {} ({}.{}{}{}): on the peer's side, local_ts must "
      "overlap {} and "
      "remote_ts must overlap {}",
      to_text(child.local_ts, child.remote_ts), connection.name, child.name,
      connection.source.empty() ? "" : ", ", connection.source, to_text(child.remote_ts),
      to_text(child.local_ts));
}

}  // namespace merlon::policy
