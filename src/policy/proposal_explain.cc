// Why two sides have no proposal in common, and the least that would have to change.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "policy/proposal_select.h"

namespace merlon::policy {
namespace {

// A peer may send thousands of transforms: the sentence shows the first of them, and is about these only.
constexpr std::size_t kShownProposals = 8;
constexpr std::size_t kShownTransforms = 40;

std::string_view key_of(SecurityProtocol protocol) {
  return protocol == SecurityProtocol::kIke ? "ike_proposals" : "esp_proposals";
}

Proposal shortened(Proposal proposal) {
  if (proposal.transforms.size() > kShownTransforms) proposal.transforms.resize(kShownTransforms);
  return proposal;
}

Proposals shortened(ProposalView proposals) {
  Proposals out;
  for (const Proposal& proposal : proposals.first(std::min(kShownProposals, proposals.size())))
    out.push_back(shortened(proposal));
  return out;
}

std::string listed(ProposalView proposals) {
  if (proposals.empty()) return "nothing";
  std::string out;
  for (const Proposal& proposal : shortened(proposals)) out += (out.empty() ? "" : ", ") + to_text(proposal);
  if (proposals.size() > kShownProposals)
    out += fmt::format(" and {} more", proposals.size() - kShownProposals);
  return out;
}

const Transform* first_of(const Proposal& proposal, TransformType type) {
  const auto found = std::ranges::find(proposal.transforms, type, &Transform::type);
  return found == proposal.transforms.end() ? nullptr : &*found;
}

bool has_aead(const Proposal& proposal) {
  return std::ranges::any_of(proposal.transforms, [](const Transform& transform) {
    return transform.type == TransformType::kEncr && is_aead(static_cast<EncrId>(transform.id));
  });
}

bool is_optional(const Proposal& proposal, TransformType type) {
  if (type != TransformType::kKe && type != TransformType::kInteg && type != TransformType::kSn) return false;
  return first_of(proposal, type) == nullptr ||
         std::ranges::any_of(proposal.transforms, [&](const Transform& transform) {
           return transform.type == type && transform.id == 0;
         });
}

const Transform* common(const Proposal& preferred, const Proposal& second, TransformType type) {
  for (const Transform& transform : preferred.transforms)
    if (transform.type == type && std::ranges::find(second.transforms, transform) != second.transforms.end())
      return &transform;
  return nullptr;
}

bool agree(const Proposal& local, const Proposal& offered, TransformType type) {
  if (common(local, offered, type) != nullptr) return true;
  return is_optional(local, type) && is_optional(offered, type);
}

constexpr TransformType kTypes[] = {TransformType::kEncr, TransformType::kPrf, TransformType::kInteg,
                                    TransformType::kKe, TransformType::kSn};

std::vector<TransformType> disagreements(const Proposal& local, const Proposal& offered) {
  std::vector<TransformType> out;
  for (const TransformType type : kTypes)
    if (!agree(local, offered, type)) out.push_back(type);
  return out;
}

bool has_word(const Transform& transform) {
  return !to_text(transform).starts_with('[');
}

// One transform a type out of `from`: where possible one that `toward` has as well. nullopt: nothing we could
// do.
std::optional<Proposal> single_valued(const Proposal& from, const Proposal& toward) {
  Proposal out;
  out.protocol = from.protocol;
  for (const TransformType type : kTypes) {
    if (first_of(from, type) == nullptr) continue;
    const Transform* choice = common(toward, from, type);
    for (const Transform& transform : from.transforms)
      if (choice == nullptr && transform.type == type && has_word(transform)) choice = &transform;
    if (choice != nullptr) out.transforms.push_back(*choice);
  }
  // Only what the configuration would take is worth suggesting.
  const std::string text = to_text(out);
  const auto parsed =
      from.protocol == SecurityProtocol::kIke ? parse_ike_proposal(text) : parse_esp_proposal(text);
  if (!parsed) return std::nullopt;
  return out;
}

struct Nearest {
  const Proposal* local = nullptr;
  const Proposal* offered = nullptr;
  std::vector<TransformType> differences;
};

// The pair with the fewest types to change; of equals, the one we and then they like best.
std::optional<Nearest> nearest_pair(ProposalView local, ProposalView offered) {
  std::optional<Nearest> best;
  for (const Proposal& ours : local) {
    for (const Proposal& theirs : offered) {
      if (ours.protocol != theirs.protocol) continue;
      std::vector<TransformType> differences = disagreements(ours, theirs);
      if (!best || differences.size() < best->differences.size())
        best = Nearest{&ours, &theirs, std::move(differences)};
    }
  }
  return best;
}

std::string warning_for(const Proposal& proposal) {
  const auto safe = check_safe(proposal);
  if (safe) return "";
  std::string reasons;
  for (const WeakTransform& weak : weak_transforms(proposal))
    if (weak.weakness != Weakness::kDeprecated) reasons += (reasons.empty() ? "" : "; ") + weak.reason;
  return fmt::format(" (not recommended: {})", reasons);
}

// "x25519" when that alone is missing, else a whole proposal.
std::string wanted_of_peer(const Nearest& pair) {
  const bool same_kind = has_aead(*pair.local) == has_aead(*pair.offered);
  if (pair.differences.size() == 1 && same_kind) {
    for (const Transform& transform : pair.local->transforms)
      if (transform.type == pair.differences.front() && has_word(transform)) return to_text(transform);
  }
  const auto whole = single_valued(*pair.local, *pair.offered);
  return fmt::format("'{}'", whole ? to_text(*whole) : to_text(*pair.local));
}

std::string suggestion(const Nearest& pair) {
  const SecurityProtocol protocol = pair.local->protocol;
  const std::string theirs = wanted_of_peer(pair);
  if (const auto ours = single_valued(*pair.offered, *pair.local); ours && !pair.differences.empty())
    return fmt::format("add '{}' to {} on this side{}, or offer {} on the peer's", to_text(*ours),
                       key_of(protocol), warning_for(*ours), theirs);
  return fmt::format("nothing of the peer's can be used here: offer {} on the peer's side", theirs);
}

}  // namespace

std::string explain_no_proposal(ProposalView local, ProposalView offered) {
  const SecurityProtocol protocol = !local.empty() ? local.front().protocol : SecurityProtocol::kNone;
  std::string out = fmt::format("no common {} proposal: this side has {}; the peer offered {}",
                                name(protocol), listed(local), listed(offered));
  const Proposals ours = shortened(local), theirs = shortened(offered);
  if (const auto pair = nearest_pair(ours, theirs)) return out + "; " + suggestion(*pair);
  if (local.empty()) return out + "; this side has no proposal at all";
  return out + fmt::format("; the peer offered nothing for {}", name(protocol));
}

std::string explain_proposals_refused(ProposalView sent) {
  const SecurityProtocol protocol = sent.empty() ? SecurityProtocol::kNone : sent.front().protocol;
  return fmt::format(
      "the peer accepts none of our {} proposals: we offered {}; its log says what it would accept: add that "
      "to {} on this side, or one of ours "
      "on the peer's",
      name(protocol), listed(sent), key_of(protocol));
}

}  // namespace merlon::policy
