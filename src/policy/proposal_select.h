// Proposal negotiation (RFC 7296 2.7 and 3.3.6): the offer, the responder's choice, the initiator's check,
// and what to tell people when nothing fits.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "policy/proposal.h"

namespace merlon::policy {

// What an initiator sends: numbered from 1, with the SPI (IKE_SA_INIT: empty). At most 255.
[[nodiscard]] Proposals ike_offer(ProposalView local, ByteView spi);
// with_ke false: KE transforms are left out (IKE_AUTH: RFC 7296 1.2; or a rekey without PFS). With it, the
// method of the KE payload that goes along is ke_methods(offer).front(); no KE payload goes along when that
// is empty.
[[nodiscard]] Proposals esp_offer(ProposalView local, ByteView spi, bool with_ke);

template <class Chosen>
struct Selection {
  std::size_t offered_index = 0;
  Proposal
      answer;  // number and protocol of the offered one, one transform a type, no SPI: the caller sets ours
  Chosen chosen;
};
using IkeSelection = Selection<ChosenIke>;
using EspSelection = Selection<ChosenEsp>;

struct IkeSelectOptions {
  // The method of the KE payload that came along: taken where it is acceptable at all, since every other one
  // costs a round trip (INVALID_KE_PAYLOAD). kNone: our own order.
  KeMethod ke_received = KeMethod::kNone;
};
struct EspSelectOptions {
  // False in IKE_AUTH: KE transforms do not count on either side (RFC 7296 1.2).
  bool with_ke = true;
  KeMethod ke_received = KeMethod::kNone;  // as above; kNone also where the message carried no KE payload
};

// As a responder. Our order decides: the first of our proposals that matches any offered one; within it, the
// first of our transforms of each type. Exactly one transform a type; key lengths must be equal. Errors:
// kPolicy: NO_PROPOSAL_CHOSEN; explain_no_proposal() says why, for whoever has the time. The caller compares chosen.ke
// with the KE payload it received: INVALID_KE_PAYLOAD where they differ.
[[nodiscard]] Result<IkeSelection> select_ike(ProposalView local, ProposalView offered,
                                              IkeSelectOptions options = {});
[[nodiscard]] Result<EspSelection> select_esp(ProposalView local, ProposalView offered,
                                              EspSelectOptions options = {});

// As an initiator: the answer MUST be one of ours, complete and single-valued (RFC 7296 2.7, 3.3.6). `sent`
// is what ike_offer or esp_offer gave. kPolicy otherwise.
[[nodiscard]] Result<ChosenIke> verify_ike_choice(ProposalView sent, ProposalView received);
[[nodiscard]] Result<ChosenEsp> verify_esp_choice(ProposalView sent, ProposalView received);

// For people: both lists, and the nearest change that would make them agree, on either side. Of long lists only the
// beginning is looked at, so the work is bounded whatever a peer offers.
[[nodiscard]] std::string explain_no_proposal(ProposalView local, ProposalView offered);
// As an initiator that received NO_PROPOSAL_CHOSEN: the peer does not say what it would accept.
[[nodiscard]] std::string explain_proposals_refused(ProposalView sent);

}  // namespace merlon::policy
