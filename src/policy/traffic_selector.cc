#include "policy/traffic_selector.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace merlon::policy {
namespace {

// RFC 4301 4.4.1.1: ANY holds OPAQUE, no range of visible ports does; so OPAQUE is one more port behind the
// last.
constexpr std::uint32_t kLastPort = 65535;
constexpr std::uint32_t kOpaquePort = 65536;

// A selector as closed intervals; `first <= last` in each.
struct Box {
  unsigned first_protocol = 0, last_protocol = 255;
  std::uint32_t first_port = 0, last_port = kOpaquePort;
  IpAddress first_address, last_address;
};

Box box_of(const TrafficSelector& selector) {
  Box box;
  if (selector.protocol != 0) box.first_protocol = box.last_protocol = selector.protocol;
  if (selector.is_opaque_port()) {
    box.first_port = kOpaquePort;
  } else if (!selector.is_any_port()) {
    box.first_port = selector.start_port;
    box.last_port = selector.end_port;
  }
  box.first_address = selector.start_address;
  box.last_address = selector.end_address;
  return box;
}

// A set of visible ports 0 to 65535 without OPAQUE has no representation, nor has a part of it with OPAQUE.
bool is_representable(std::uint32_t first_port, std::uint32_t last_port) {
  if (last_port == kOpaquePort) return first_port == 0 || first_port == kOpaquePort;
  return first_port != 0 || last_port != kLastPort;
}

TrafficSelector selector_of(const Box& box) {
  TrafficSelector selector;
  selector.protocol =
      static_cast<std::uint8_t>(box.first_protocol == box.last_protocol ? box.first_protocol : 0);
  if (box.first_port == kOpaquePort) {
    selector.start_port = kLastPort;
    selector.end_port = 0;
  } else if (box.last_port != kOpaquePort) {
    selector.start_port = static_cast<std::uint16_t>(box.first_port);
    selector.end_port = static_cast<std::uint16_t>(box.last_port);
  }
  selector.start_address = box.first_address;
  selector.end_address = box.last_address;
  return selector;
}

template <class T>
bool share(const T& a_first, const T& a_last, const T& b_first, const T& b_last) {
  return a_first <= b_last && b_first <= a_last;
}

bool boxes_overlap(const Box& a, const Box& b) {
  return a.first_address.family() == b.first_address.family() &&
         share(a.first_protocol, a.last_protocol, b.first_protocol, b.last_protocol) &&
         share(a.first_port, a.last_port, b.first_port, b.last_port) &&
         share(a.first_address, a.last_address, b.first_address, b.last_address);
}

bool box_contains(const Box& outer, const Box& inner) {
  return outer.first_address.family() == inner.first_address.family() &&
         outer.first_protocol <= inner.first_protocol && inner.last_protocol <= outer.last_protocol &&
         outer.first_port <= inner.first_port && inner.last_port <= outer.last_port &&
         outer.first_address <= inner.first_address && inner.last_address <= outer.last_address;
}

// Is every point of `target` in one of the boxes? Cuts off what the first overlapping box leaves over, piece
// by piece.
class CoverCheck {
 public:
  explicit CoverCheck(std::vector<Box> boxes) : boxes_(std::move(boxes)) {}

  bool covers(Box target, std::size_t from = 0) {
    for (std::size_t i = from; i < boxes_.size(); ++i) {
      if (steps_left_ == 0) return false;
      --steps_left_;
      const Box& box = boxes_[i];
      if (!boxes_overlap(box, target)) continue;
      if (box_contains(box, target)) return true;
      return covers_rest(target, box, i + 1);
    }
    return false;
  }

 private:
  // Each piece outside `box` along one dimension; then the target is trimmed to the box along that dimension.
  bool covers_rest(Box target, const Box& box, std::size_t next) {
    if (target.first_protocol < box.first_protocol) {
      Box piece = target;
      piece.last_protocol = box.first_protocol - 1;
      if (!covers(piece, next)) return false;
      target.first_protocol = box.first_protocol;
    }
    if (target.last_protocol > box.last_protocol) {
      Box piece = target;
      piece.first_protocol = box.last_protocol + 1;
      if (!covers(piece, next)) return false;
      target.last_protocol = box.last_protocol;
    }
    if (target.first_port < box.first_port) {
      Box piece = target;
      piece.last_port = box.first_port - 1;
      if (!covers(piece, next)) return false;
      target.first_port = box.first_port;
    }
    if (target.last_port > box.last_port) {
      Box piece = target;
      piece.first_port = box.last_port + 1;
      if (!covers(piece, next)) return false;
      target.last_port = box.last_port;
    }
    if (target.first_address < box.first_address) {
      Box piece = target;
      piece.last_address = box.first_address.previous();
      if (!covers(piece, next)) return false;
      target.first_address = box.first_address;
    }
    if (target.last_address > box.last_address) {
      Box piece = target;
      piece.first_address = box.last_address.next();
      if (!covers(piece, next)) return false;
    }
    return true;
  }

  std::vector<Box> boxes_;
  std::size_t steps_left_ = 1'000'000;
};

auto sort_key(const TrafficSelector& selector) {
  return std::tuple(selector.start_address, selector.end_address, selector.protocol, selector.start_port,
                    selector.end_port);
}

// The union of two boxes where it is a box that a selector can say.
std::optional<Box> join(const Box& a, const Box& b) {
  if (a.first_address.family() != b.first_address.family() || a.first_protocol != b.first_protocol ||
      a.last_protocol != b.last_protocol)
    return std::nullopt;
  Box out = a;
  if (a.first_port == b.first_port && a.last_port == b.last_port) {
    const Box& low = a.first_address <= b.first_address ? a : b;
    const Box& high = &low == &a ? b : a;
    const bool touch =
        high.first_address <= low.last_address || low.last_address.next() == high.first_address;
    if (!touch) return std::nullopt;
    out.first_address = low.first_address;
    out.last_address = std::max(low.last_address, high.last_address);
    return out;
  }
  if (a.first_address != b.first_address || a.last_address != b.last_address) return std::nullopt;
  out.first_port = std::min(a.first_port, b.first_port);
  out.last_port = std::max(a.last_port, b.last_port);
  const bool touch = std::max(a.first_port, b.first_port) <= std::min(a.last_port, b.last_port) + 1;
  if (!touch || !is_representable(out.first_port, out.last_port)) return std::nullopt;
  return out;
}

// Adds unless one in the list holds it; drops those that it holds.
void add_unless_held(TrafficSelectors& list, const TrafficSelector& selector) {
  for (const TrafficSelector& held : list)
    if (contains(held, selector)) return;
  std::erase_if(list, [&](const TrafficSelector& held) { return contains(selector, held); });
  list.push_back(selector);
}

}  // namespace

TrafficSelector selector_for(const IpPrefix& prefix) {
  return selector_for(prefix.address.masked(prefix.length), prefix.address.filled(prefix.length));
}

TrafficSelector selector_for(const IpAddress& first, const IpAddress& last) {
  TrafficSelector selector;
  selector.start_address = first;
  selector.end_address = last;
  return selector;
}

bool is_empty(const TrafficSelector& selector) {
  return selector.start_address.family() != selector.end_address.family() ||
         selector.start_address > selector.end_address ||
         (selector.start_port > selector.end_port && !selector.is_opaque_port());
}

bool overlaps(const TrafficSelector& a, const TrafficSelector& b) {
  return !is_empty(a) && !is_empty(b) && boxes_overlap(box_of(a), box_of(b));
}

std::optional<TrafficSelector> intersect(const TrafficSelector& a, const TrafficSelector& b) {
  if (!overlaps(a, b)) return std::nullopt;
  const Box x = box_of(a);
  const Box y = box_of(b);
  return selector_of({.first_protocol = std::max(x.first_protocol, y.first_protocol),
                      .last_protocol = std::min(x.last_protocol, y.last_protocol),
                      .first_port = std::max(x.first_port, y.first_port),
                      .last_port = std::min(x.last_port, y.last_port),
                      .first_address = std::max(x.first_address, y.first_address),
                      .last_address = std::min(x.last_address, y.last_address)});
}

TrafficSelectors intersect(SelectorView a, SelectorView b) {
  return intersect(a, b, std::numeric_limits<std::size_t>::max() - 1);
}

TrafficSelectors intersect(SelectorView a, SelectorView b, std::size_t limit) {
  TrafficSelectors out;
  for (const TrafficSelector& x : a) {
    for (const TrafficSelector& y : b) {
      if (const auto both = intersect(x, y)) add_unless_held(out, *both);
      if (out.size() > limit) return out;
    }
  }
  return out;
}

bool contains(const TrafficSelector& outer, const TrafficSelector& inner) {
  return is_empty(inner) || (!is_empty(outer) && box_contains(box_of(outer), box_of(inner)));
}

bool contains(SelectorView outer, SelectorView inner) {
  std::vector<Box> boxes;
  for (const TrafficSelector& selector : outer)
    if (!is_empty(selector)) boxes.push_back(box_of(selector));
  CoverCheck check(std::move(boxes));
  return std::ranges::all_of(inner, [&](const TrafficSelector& selector) {
    const bool held_by_one =
        std::ranges::any_of(outer, [&](const TrafficSelector& one) { return contains(one, selector); });
    return is_empty(selector) || held_by_one || check.covers(box_of(selector));
  });
}

bool same_set(SelectorView a, SelectorView b) {
  return contains(a, b) && contains(b, a);
}

TrafficSelectors without_redundant(SelectorView selectors) {
  TrafficSelectors out;
  for (const TrafficSelector& selector : selectors)
    if (!is_empty(selector)) add_unless_held(out, selector);
  return out;
}

TrafficSelectors normalised(SelectorView selectors) {
  TrafficSelectors out = without_redundant(selectors);
  for (std::size_t i = 0; i < out.size();) {
    bool joined = false;
    for (std::size_t j = 0; j < out.size() && !joined; ++j) {
      if (i == j) continue;
      const auto both = join(box_of(out[i]), box_of(out[j]));
      if (!both) continue;
      out.erase(out.begin() + static_cast<std::ptrdiff_t>(j));
      out[j < i ? i - 1 : i] = selector_of(*both);
      out = without_redundant(out);
      joined = true;
    }
    i = joined ? 0 : i + 1;
  }
  std::ranges::sort(out, {}, sort_key);
  return out;
}

}  // namespace merlon::policy
