#include "policy/proposal_select.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace merlon::policy {
namespace {

constexpr std::size_t kMaxProposals = 255;  // RFC 7296 3.3.1: their number is one byte, from 1

Proposal without_ke(Proposal proposal) {
  std::erase_if(proposal.transforms,
                [](const Transform& transform) { return transform.type == TransformType::kKe; });
  return proposal;
}

Proposals without_ke(ProposalView proposals) {
  Proposals out;
  for (const Proposal& proposal : proposals) out.push_back(without_ke(proposal));
  return out;
}

Proposals numbered(Proposals proposals, ByteView spi) {
  if (proposals.size() > kMaxProposals) proposals.resize(kMaxProposals);
  std::uint8_t number = 0;
  for (Proposal& proposal : proposals) {
    proposal.number = ++number;
    proposal.spi = to_bytes(spi);
  }
  return proposals;
}

bool holds(const Proposal& proposal, const Transform& transform) {
  return std::ranges::find(proposal.transforms, transform) != proposal.transforms.end();
}

bool belongs(SecurityProtocol protocol, TransformType type) {
  switch (type) {
    case TransformType::kEncr:
    case TransformType::kInteg:
    case TransformType::kKe:
      return true;
    case TransformType::kPrf:
      return protocol == SecurityProtocol::kIke;
    case TransformType::kSn:
      return protocol == SecurityProtocol::kEsp;
    default:
      return false;  // ADDITIONAL_KEY_EXCHANGE_n among them: RFC 9370 is not done here yet
  }
}

struct KeWish {
  bool is_required = true;  // IKE
  KeMethod received = KeMethod::kNone;
};

// One proposal of ours against one that was offered. Each choose_* adds the transform of its type to the
// answer, or gives up.
class Matcher {
 public:
  Matcher(const Proposal& local, const Proposal& offered) : local_(local), offered_(offered) {}

  std::optional<Proposal> ike(KeWish wish) {
    wish.is_required = true;
    if (!comparable() || !choose(TransformType::kEncr) || !choose(TransformType::kPrf) || !choose_integ() ||
        !choose_ke(wish))
      return std::nullopt;
    return take();
  }

  std::optional<Proposal> esp(KeWish wish) {
    wish.is_required = false;
    if (!comparable() || !choose(TransformType::kEncr) || !choose_integ() || !choose_ke(wish) || !choose_sn())
      return std::nullopt;
    return take();
  }

 private:
  bool comparable() const {
    // RFC 7296 3.3.6: a proposal with a transform type that is not understood is not acceptable as a whole.
    return local_.protocol == offered_.protocol &&
           std::ranges::all_of(offered_.transforms, [&](const Transform& transform) {
             return belongs(offered_.protocol, transform.type);
           });
  }

  // The first of ours that was offered; NONE is for choose_integ and choose_ke to decide. Transforms that are
  // unknown, or carry unknown attributes, are equal to none of ours (RFC 7296 3.3.6).
  const Transform* common(TransformType type) const {
    for (const Transform& transform : local_.transforms) {
      const bool is_none = transform.id == 0 && (type == TransformType::kInteg || type == TransformType::kKe);
      if (transform.type == type && !is_none && holds(offered_, transform)) return &transform;
    }
    return nullptr;
  }

  bool choose(TransformType type) {
    const Transform* transform = common(type);
    if (transform == nullptr) return false;
    answer_.transforms.push_back(*transform);
    return true;
  }

  // RFC 7296 3.3: with a combined-mode cipher, integrity is absent or NONE; RFC 7296 3.3.6: one transform of
  // each type that was offered.
  bool choose_integ() {
    if (!is_aead(static_cast<EncrId>(answer_.transforms.front().id))) return choose(TransformType::kInteg);
    if (!has_type(offered_, TransformType::kInteg)) return true;
    const Transform none = wire::integ_transform(IntegId::kNone);
    if (!holds(offered_, none)) return false;
    answer_.transforms.push_back(none);
    return true;
  }

  static bool goes_without_ke(const Proposal& proposal) {
    return !has_type(proposal, TransformType::kKe) || holds(proposal, wire::ke_transform(KeMethod::kNone));
  }

  bool choose_ke(KeWish wish) {
    const bool may_be_none = !wish.is_required && goes_without_ke(local_) && goes_without_ke(offered_);
    const Transform wished = wire::ke_transform(wish.received);
    if (wish.received != KeMethod::kNone && holds(local_, wished) && holds(offered_, wished)) {
      answer_.transforms.push_back(wished);
      return true;
    }
    // Without a KE payload, NONE saves the round trip of INVALID_KE_PAYLOAD, and both sides find it
    // acceptable.
    const bool prefer_none = may_be_none && wish.received == KeMethod::kNone;
    if (!prefer_none && choose(TransformType::kKe)) return true;
    if (!may_be_none) return false;
    if (has_type(offered_, TransformType::kKe))
      answer_.transforms.push_back(wire::ke_transform(KeMethod::kNone));
    return true;
  }

  // RFC 7296 3.3.3 makes SN mandatory for ESP; peers that leave it out mean 32-bit numbers, as RFC 4301 has
  // them by default.
  bool choose_sn() {
    if (has_type(offered_, TransformType::kSn)) return choose(TransformType::kSn);
    return !has_type(local_, TransformType::kSn) || holds(local_, wire::sn_transform(SnId::k32Bit));
  }

  Proposal take() {
    answer_.number = offered_.number;
    answer_.protocol = offered_.protocol;
    std::ranges::stable_sort(answer_.transforms, {}, &Transform::type);
    return std::move(answer_);
  }

  const Proposal& local_;
  const Proposal& offered_;
  Proposal answer_;
};

template <class Chosen, class Match, class Read>
Result<Selection<Chosen>> select(ProposalView local, ProposalView offered, Match match, Read read) {
  // RFC 7296 2.7 leaves the choice to the responder: ours come first.
  for (const Proposal& ours : local) {
    for (std::size_t i = 0; i < offered.size(); ++i) {
      std::optional<Proposal> answer = match(Matcher(ours, offered[i]));
      if (!answer) continue;
      auto chosen = read(*answer);
      if (chosen) return Selection<Chosen>{i, std::move(*answer), *chosen};
    }
  }
  // Short: anybody may ask for it, and explain_no_proposal() is there for those who want to know.
  return fail(ErrorCode::kPolicy, "none of the {} offered proposals is acceptable", offered.size());
}

// A type of the proposal that the answer may leave out: its absence means NONE, or 32 bits.
bool may_be_absent(const Proposal& sent, TransformType type) {
  switch (type) {
    case TransformType::kInteg:
    case TransformType::kKe:
    case TransformType::kSn:
      return std::ranges::any_of(sent.transforms, [&](const Transform& transform) {
        return transform.type == type && transform.id == 0;
      });
    default:
      return false;
  }
}

// What an answer may add: NONE for what was not asked for.
bool is_harmless(const Proposal& sent, const Transform& transform) {
  return (transform.type == TransformType::kInteg || transform.type == TransformType::kKe) &&
         transform.id == 0 && transform.unknown_attributes.empty() && !has_type(sent, transform.type);
}

Result<const Proposal*> verified(ProposalView sent, ProposalView received) {
  // RFC 7296 2.7: exactly one proposal comes back.
  if (received.size() != 1)
    return fail(ErrorCode::kPolicy, "the peer answered with {} proposals, expected exactly one",
                received.size());
  const Proposal& answer = received.front();
  // RFC 7296 3.3.1: it keeps the number of the one that was accepted.
  const auto found = std::ranges::find(sent, answer.number, &Proposal::number);
  if (found == sent.end() || found->protocol != answer.protocol)
    return fail(ErrorCode::kPolicy, "the peer chose {} proposal number {}, which we did not send",
                name(answer.protocol), answer.number);
  // RFC 7296 3.3.6: the initiator MUST verify that the choice is consistent with what it offered.
  for (const Transform& transform : answer.transforms)
    if (!holds(*found, transform) && !is_harmless(*found, transform))
      return fail(ErrorCode::kPolicy, "the peer chose {}, which proposal {} ('{}') does not hold",
                  to_text(transform), answer.number, to_text(*found));
  for (const Transform& transform : found->transforms)
    if (!has_type(answer, transform.type) && !may_be_absent(*found, transform.type))
      return fail(ErrorCode::kPolicy, "the peer's choice '{}' has no {} transform", to_text(answer),
                  name(transform.type));
  return &answer;
}

}  // namespace

Proposals ike_offer(ProposalView local, ByteView spi) {
  return numbered({local.begin(), local.end()}, spi);
}

Proposals esp_offer(ProposalView local, ByteView spi, bool with_ke) {
  if (with_ke) return numbered({local.begin(), local.end()}, spi);
  Proposals out;
  for (const Proposal& proposal : local) {
    Proposal stripped = without_ke(proposal);
    // Proposals that differed by their KE alone are one now.
    const bool is_known = std::ranges::any_of(out, [&](const Proposal& known) {
      return known.protocol == stripped.protocol && known.transforms == stripped.transforms;
    });
    if (!is_known) out.push_back(std::move(stripped));
  }
  return numbered(std::move(out), spi);
}

Result<IkeSelection> select_ike(ProposalView local, ProposalView offered, IkeSelectOptions options) {
  return select<ChosenIke>(
      local, offered,
      [&](Matcher matcher) {
        return matcher.ike({true, options.ke_received});
      },
      chosen_ike);
}

Result<EspSelection> select_esp(ProposalView local, ProposalView offered, EspSelectOptions options) {
  const auto match = [&](Matcher matcher) { return matcher.esp({false, options.ke_received}); };
  if (options.with_ke) return select<ChosenEsp>(local, offered, match, chosen_esp);
  options.ke_received = KeMethod::kNone;
  return select<ChosenEsp>(without_ke(local), without_ke(offered), match, chosen_esp);
}

Result<ChosenIke> verify_ike_choice(ProposalView sent, ProposalView received) {
  MERLON_TRY(const Proposal* answer, verified(sent, received));
  return chosen_ike(*answer);
}

Result<ChosenEsp> verify_esp_choice(ProposalView sent, ProposalView received) {
  MERLON_TRY(const Proposal* answer, verified(sent, received));
  return chosen_esp(*answer);
}

}  // namespace merlon::policy
