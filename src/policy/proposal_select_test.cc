#include "policy/proposal_select.h"

#include "policy/test_support.h"

namespace merlon::policy {
namespace {

using test::esp;
using test::ike;
using wire::integ_transform;
using wire::ke_transform;

Proposals ikes(const std::vector<std::string>& texts) {
  Proposals out;
  for (const std::string& text : texts) out.push_back(ike(text));
  return out;
}
Proposals esps(const std::vector<std::string>& texts) {
  Proposals out;
  for (const std::string& text : texts) out.push_back(esp(text));
  return out;
}
const Bytes kSpi = {1, 2, 3, 4};
std::string chosen_text(const Result<IkeSelection>& selection) {
  return selection ? to_text(selection->chosen) : "refused";
}
std::string chosen_text(const Result<EspSelection>& selection) {
  return selection ? to_text(selection->chosen) : "refused";
}
void expect_in(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(Offer, NumbersAndSpi) {
  const Proposals offer = esp_offer(default_esp_proposals(), kSpi, true);
  ASSERT_EQ(offer.size(), 2U);
  EXPECT_EQ(offer[0].number, 1);
  EXPECT_EQ(offer[1].number, 2);
  EXPECT_EQ(offer[1].spi, kSpi);
  EXPECT_EQ(ke_methods(offer).front(), KeMethod::kCurve25519);
  EXPECT_TRUE(ke_methods(esp_offer(default_esp_proposals(), kSpi, false)).empty());
  // What differed by KE alone is one.
  EXPECT_EQ(esp_offer(esps({"aes256gcm16-x25519", "aes256gcm16-ecp256", "aes256gcm16"}), kSpi, false).size(),
            1U);
  EXPECT_EQ(ike_offer(Proposals(300, ike("aes256gcm16-prfsha256-x25519")), {}).size(), 255U);
}

TEST(SelectIke, DefaultsAgreeOnTheStrongest) {
  const Proposals offer = ike_offer(default_ike_proposals(), {});
  const auto selection = select_ike(default_ike_proposals(), offer);
  EXPECT_EQ(chosen_text(selection), "aes256gcm16-prfsha256-x25519");
  EXPECT_EQ(selection->answer.number, 1);
  EXPECT_EQ(selection->answer.transforms.size(), 3U);
  EXPECT_EQ(verify_ike_choice(offer, Proposals{selection->answer}), selection->chosen);
}

TEST(SelectIke, OurOrderDecides) {
  const Proposals local = ikes({"chacha20poly1305-aes256gcm16-prfsha512-prfsha256-ecp384-x25519"});
  const Proposals offer = ike_offer(
      ikes({"aes256-sha256-x25519", "aes256gcm16-chacha20poly1305-prfsha256-prfsha512-x25519-ecp384"}), {});
  const auto selection = select_ike(local, offer);
  EXPECT_EQ(chosen_text(selection), "chacha20poly1305-prfsha512-ecp384");
  EXPECT_EQ(selection->offered_index, 1U);
  EXPECT_EQ(selection->answer.number, 2);
  // The KE payload that is there saves a round trip.
  EXPECT_EQ(chosen_text(select_ike(local, offer, {.ke_received = KeMethod::kCurve25519})),
            "chacha20poly1305-prfsha512-x25519");
  EXPECT_EQ(chosen_text(select_ike(local, offer, {.ke_received = KeMethod::kModp2048})),
            "chacha20poly1305-prfsha512-ecp384");
  // Our first proposal counts before their first.
  EXPECT_EQ(
      chosen_text(select_ike(ikes({"aes256gcm16-prfsha256-x25519", "aes256-sha256-x25519"}),
                             ike_offer(ikes({"aes256-sha256-x25519", "aes256gcm16-prfsha256-x25519"}), {}))),
      "aes256gcm16-prfsha256-x25519");
}

TEST(SelectIke, KeyLengthsAreExact) {
  EXPECT_EQ(
      chosen_text(select_ike(ikes({"aes256-sha256-x25519"}), ike_offer(ikes({"aes128-sha256-x25519"}), {}))),
      "refused");
  Proposals without_length = ike_offer(ikes({"aes128-sha256-x25519"}), {});
  without_length[0].transforms[0].key_length.reset();
  EXPECT_EQ(chosen_text(select_ike(ikes({"aes128-sha256-x25519"}), without_length)), "refused");
}

// RFC 7296 3.3.6
TEST(SelectIke, UnknownTypesSpoilTheProposalUnknownIdsDoNot) {
  const Proposals local = ikes({"aes256gcm16-prfsha256-x25519"});
  Proposals offer = ike_offer(ikes({"aes256gcm16-prfsha256-x25519", "aes256gcm16-prfsha256-x25519"}), {});
  offer[0].transforms.push_back({static_cast<TransformType>(42), 0, std::nullopt, {}});
  EXPECT_EQ(select_ike(local, offer)->offered_index, 1U);
  offer[1].transforms.push_back({TransformType::kAddKe1, 36, std::nullopt, {}});
  EXPECT_FALSE(select_ike(local, offer).has_value());
  Proposals unknown_ids = ike_offer(local, {});
  unknown_ids[0].transforms.insert(unknown_ids[0].transforms.begin(),
                                   wire::encr_transform(static_cast<EncrId>(1024), 256));
  unknown_ids[0].transforms.push_back(ke_transform(static_cast<KeMethod>(65000)));
  EXPECT_EQ(chosen_text(select_ike(local, unknown_ids)), "aes256gcm16-prfsha256-x25519");
  // A transform with an attribute that we do not know must not be chosen.
  Proposals attribute = ike_offer(local, {});
  attribute[0].transforms[0].unknown_attributes.push_back({99, true, {0, 1}});
  EXPECT_FALSE(select_ike(local, attribute).has_value());
}

TEST(SelectIke, IntegrityWithAead) {
  const Proposals local = ikes({"aes256gcm16-prfsha256-x25519", "aes256-sha256-x25519"});
  Proposals offer = ike_offer(ikes({"aes256gcm16-prfsha256-x25519"}), {});
  offer[0].transforms.push_back(integ_transform(IntegId::kNone));
  const auto with_none = select_ike(local, offer);
  EXPECT_EQ(chosen_text(with_none), "aes256gcm16-prfsha256-x25519");
  EXPECT_EQ(with_none->answer.transforms.size(), 4U);  // one transform of each type that was offered
  offer[0].transforms.back() = integ_transform(IntegId::kHmacSha2_256_128);
  EXPECT_FALSE(select_ike(local, offer).has_value());
  // A peer that mixes both kinds can still have the one that is complete.
  offer[0].transforms.insert(offer[0].transforms.begin(), wire::encr_transform(EncrId::kAesCbc, 256));
  EXPECT_EQ(chosen_text(select_ike(local, offer)), "aes256-sha256-x25519");
}

TEST(SelectIke, MissingTypes) {
  const Proposals local = ikes({"aes256gcm16-prfsha256-x25519"});
  for (const TransformType type : {TransformType::kEncr, TransformType::kPrf, TransformType::kKe}) {
    Proposals offer = ike_offer(local, {});
    std::erase_if(offer[0].transforms, [&](const Transform& transform) { return transform.type == type; });
    EXPECT_FALSE(select_ike(local, offer).has_value()) << name(type);
  }
  // RFC 7296 3.3.3: a cipher that protects no integrity needs a transform that does.
  const Proposals with_integ = ikes({"aes256-sha256-x25519"});
  ASSERT_TRUE(select_ike(with_integ, ike_offer(with_integ, {})).has_value());
  for (const TransformType type :
       {TransformType::kEncr, TransformType::kPrf, TransformType::kInteg, TransformType::kKe}) {
    Proposals offer = ike_offer(with_integ, {});
    std::erase_if(offer[0].transforms, [&](const Transform& transform) { return transform.type == type; });
    EXPECT_FALSE(select_ike(with_integ, offer).has_value()) << name(type);
  }
  EXPECT_FALSE(select_ike(local, {}).has_value());
  EXPECT_FALSE(select_ike({}, ike_offer(local, {})).has_value());
  EXPECT_FALSE(select_ike(local, esp_offer(default_esp_proposals(), kSpi, true)).has_value());
}

TEST(SelectIke, Takes255Proposals) {
  Proposals offer = ike_offer(Proposals(255, ike("aes128-md5-modp1024")), {});
  EXPECT_FALSE(select_ike(default_ike_proposals(), offer).has_value());
  offer[254].transforms = ike("aes128gcm16-prfsha256-ecp256").transforms;
  const auto selection = select_ike(default_ike_proposals(), offer);
  EXPECT_EQ(chosen_text(selection), "aes128gcm16-prfsha256-ecp256");
  EXPECT_EQ(selection->answer.number, 255);
}

TEST(SelectEsp, MissingTypes) {
  const Proposals local = esps({"aes256-sha256-esn"});
  ASSERT_TRUE(select_esp(local, esp_offer(local, kSpi, false)).has_value());
  for (const TransformType type : {TransformType::kEncr, TransformType::kInteg}) {
    Proposals offer = esp_offer(local, kSpi, false);
    std::erase_if(offer[0].transforms, [&](const Transform& transform) { return transform.type == type; });
    EXPECT_FALSE(select_esp(local, offer).has_value()) << name(type);
  }
}

TEST(SelectEsp, WithAndWithoutKe) {
  const Proposals local = default_esp_proposals();
  const Proposals offer = esp_offer(local, kSpi, true);
  EXPECT_EQ(chosen_text(select_esp(local, offer, {.with_ke = false})), "aes256gcm16-esn");
  EXPECT_EQ(chosen_text(select_esp(local, offer, {.ke_received = KeMethod::kCurve25519})),
            "aes256gcm16-x25519-esn");
  EXPECT_EQ(chosen_text(select_esp(local, offer, {.ke_received = KeMethod::kModp2048})),
            "aes256gcm16-modp2048-esn");
  // No KE payload, and NONE is acceptable to both.
  const auto none = select_esp(local, offer);
  EXPECT_EQ(chosen_text(none), "aes256gcm16-esn");
  EXPECT_EQ(none->answer.transforms[1], ke_transform(KeMethod::kNone));  // since KE was offered
  // A peer without PFS.
  const auto plain = select_esp(local, esp_offer(esps({"aes256gcm16-noesn"}), kSpi, true));
  EXPECT_EQ(chosen_text(plain), "aes256gcm16-noesn");
  EXPECT_FALSE(has_type(plain->answer, TransformType::kKe));
  // A peer that insists on it.
  EXPECT_EQ(chosen_text(select_esp(local, esp_offer(esps({"aes256-sha256-modp2048"}), kSpi, true),
                                   {.ke_received = KeMethod::kModp2048})),
            "aes256-sha256-modp2048-esn");
}

TEST(SelectEsp, PfsAsConfigured) {
  EXPECT_FALSE(
      select_esp(esps({"aes256gcm16-x25519"}), esp_offer(esps({"aes256gcm16"}), kSpi, true)).has_value());
  EXPECT_FALSE(select_esp(esps({"aes256gcm16"}), esp_offer(esps({"aes256gcm16-x25519"}), kSpi, true),
                          {.ke_received = KeMethod::kCurve25519})
                   .has_value());
  EXPECT_TRUE(select_esp(esps({"aes256gcm16"}), esp_offer(esps({"aes256gcm16-x25519-modpnone"}), kSpi, true),
                         {.ke_received = KeMethod::kCurve25519})
                  .has_value());
  // In IKE_AUTH KE does not count on either side.
  EXPECT_EQ(chosen_text(select_esp(esps({"aes256gcm16-x25519"}), esp_offer(esps({"aes256gcm16"}), kSpi, true),
                                   {.with_ke = false})),
            "aes256gcm16-esn");
  const auto stripped = select_esp(esps({"aes256gcm16-x25519"}),
                                   esp_offer(esps({"aes256gcm16-ecp256"}), kSpi, true), {.with_ke = false});
  ASSERT_TRUE(stripped.has_value());
  EXPECT_FALSE(has_type(stripped->answer, TransformType::kKe));
}

TEST(SelectEsp, SequenceNumbers) {
  EXPECT_EQ(
      chosen_text(select_esp(esps({"aes256gcm16"}), esp_offer(esps({"aes256gcm16-noesn-esn"}), kSpi, false))),
      "aes256gcm16-esn");
  EXPECT_FALSE(
      select_esp(esps({"aes256gcm16-esn"}), esp_offer(esps({"aes256gcm16-noesn"}), kSpi, false)).has_value());
  Proposals offer = esp_offer(esps({"aes256gcm16-noesn"}), kSpi, false);
  offer[0].transforms.pop_back();  // no SN at all: 32 bits
  const auto liberal = select_esp(esps({"aes256gcm16"}), offer);
  EXPECT_EQ(chosen_text(liberal), "aes256gcm16-noesn");
  EXPECT_FALSE(has_type(liberal->answer, TransformType::kSn));
  EXPECT_FALSE(select_esp(esps({"aes256gcm16-esn"}), offer).has_value());
}

// RFC 7296 3.3.6: the initiator MUST check.
TEST(VerifyChoice, OneOfOursCompleteAndSingleValued) {
  const Proposals sent =
      ike_offer(ikes({"aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256", "aes256-sha256-x25519"}), {});
  const auto answer = [&](const std::string& text, std::uint8_t number) {
    Proposal out = ike(text);
    out.number = number;
    return Proposals{out};
  };
  EXPECT_TRUE(verify_ike_choice(sent, answer("aes128gcm16-prfsha256-ecp256", 1)).has_value());
  EXPECT_TRUE(verify_ike_choice(sent, answer("aes256-sha256-x25519", 2)).has_value());
  EXPECT_FALSE(verify_ike_choice(sent, answer("aes256-sha256-x25519", 1)).has_value());
  EXPECT_FALSE(verify_ike_choice(sent, answer("aes128gcm16-prfsha256-ecp256", 3)).has_value());
  EXPECT_FALSE(verify_ike_choice(sent, answer("aes128gcm16-prfsha256-ecp256", 0)).has_value());
  EXPECT_FALSE(verify_ike_choice(sent, answer("aes128gcm16-aes256gcm16-prfsha256-ecp256", 1)).has_value());
  EXPECT_FALSE(verify_ike_choice(sent, answer("aes128gcm16-prfsha512-ecp256", 1)).has_value());
  EXPECT_FALSE(verify_ike_choice(sent, answer("aes192gcm16-prfsha256-ecp256", 1)).has_value());
  EXPECT_FALSE(verify_ike_choice(sent, sent).has_value());
  EXPECT_FALSE(verify_ike_choice(sent, {}).has_value());
  Proposals incomplete = answer("aes128gcm16-prfsha256-ecp256", 1);
  incomplete[0].transforms.pop_back();
  EXPECT_FALSE(verify_ike_choice(sent, incomplete).has_value());
  Proposals integ_none = answer("aes128gcm16-prfsha256-ecp256", 1);
  integ_none[0].transforms.push_back(integ_transform(IntegId::kNone));
  EXPECT_TRUE(verify_ike_choice(sent, integ_none).has_value());
  Proposals wrong_protocol = answer("aes128gcm16-prfsha256-ecp256", 1);
  wrong_protocol[0].protocol = SecurityProtocol::kEsp;
  EXPECT_FALSE(verify_ike_choice(sent, wrong_protocol).has_value());
}

TEST(VerifyChoice, Esp) {
  const Proposals sent = esp_offer(default_esp_proposals(), kSpi, true);
  const auto answer = [&](const std::string& text) {
    Proposal out = esp(text);
    out.number = 1;
    return Proposals{out};
  };
  EXPECT_TRUE(verify_esp_choice(sent, answer("aes256gcm16-x25519-esn")).has_value());
  EXPECT_EQ(verify_esp_choice(sent, answer("aes256gcm16-noesn"))->ke, KeMethod::kNone);
  EXPECT_EQ(verify_esp_choice(sent, answer("aes256gcm16-modpnone-noesn"))->ke, KeMethod::kNone);
  EXPECT_FALSE(verify_esp_choice(sent, answer("aes256gcm16-ecp521-noesn")).has_value());
  const Proposals pfs = esp_offer(esps({"aes256gcm16-x25519-esn"}), kSpi, true);
  EXPECT_FALSE(verify_esp_choice(pfs, answer("aes256gcm16-esn")).has_value());
  Proposals no_sn = answer("aes256gcm16-x25519-noesn");
  no_sn[0].transforms.pop_back();
  EXPECT_FALSE(verify_esp_choice(pfs, no_sn).has_value());  // ESN was all we offered
  EXPECT_FALSE(verify_esp_choice(sent, no_sn)->esn);
  // A KE method in the answer to an offer without KE (IKE_AUTH).
  EXPECT_FALSE(
      verify_esp_choice(esp_offer(default_esp_proposals(), kSpi, false), answer("aes256gcm16-x25519-esn"))
          .has_value());
}

Proposals any_proposals_now(SecurityProtocol protocol) {
  const std::vector<std::string> words =
      protocol == SecurityProtocol::kIke
          ? std::vector<std::string>{"aes256", "aes128", "aes256gcm16", "chacha20poly1305",
                                     "sha256", "sha512", "prfsha256",   "prfsha512",
                                     "x25519", "ecp256", "modp2048"}
          : std::vector<std::string>{"aes256",   "aes128", "aes256gcm16", "chacha20poly1305",
                                     "sha256",   "sha512", "x25519",      "ecp256",
                                     "modpnone", "esn",    "noesn"};
  Proposals out;
  const int wanted = *rc::gen::inRange(1, 4);
  for (int tries = 0; tries < 60 && out.size() < static_cast<std::size_t>(wanted); ++tries) {
    std::string text;
    const int count = *rc::gen::inRange(2, 7);
    for (int i = 0; i < count; ++i) text += (text.empty() ? "" : "-") + *rc::gen::elementOf(words);
    auto parsed = protocol == SecurityProtocol::kIke ? parse_ike_proposal(text) : parse_esp_proposal(text);
    if (parsed) out.push_back(std::move(*parsed));
  }
  return out;
}

TEST(Select, WhatWeChooseTheInitiatorAccepts) {
  EXPECT_TRUE(rc::check("IKE", [] {
    const Proposals initiator = any_proposals_now(SecurityProtocol::kIke),
                    responder = any_proposals_now(SecurityProtocol::kIke);
    const Proposals offer = ike_offer(initiator, {});
    const auto selection = select_ike(responder, offer);
    // Whether there is one does not depend on who asks.
    RC_ASSERT(selection.has_value() == select_ike(initiator, ike_offer(responder, {})).has_value());
    if (!selection) {
      RC_ASSERT(!selection.error().message.empty());
      return;
    }
    const auto verified = verify_ike_choice(offer, Proposals{selection->answer});
    RC_ASSERT(verified.has_value());
    RC_ASSERT(*verified == selection->chosen);
    RC_ASSERT(select_ike(responder, ike_offer(Proposals{to_proposal(selection->chosen)}, {})).has_value());
  }));
  EXPECT_TRUE(rc::check("ESP", [] {
    const Proposals initiator = any_proposals_now(SecurityProtocol::kEsp),
                    responder = any_proposals_now(SecurityProtocol::kEsp);
    const bool with_ke = *rc::gen::arbitrary<bool>();
    const Proposals offer = esp_offer(initiator, kSpi, with_ke);
    const std::vector<KeMethod> methods = ke_methods(offer);
    const auto selection =
        select_esp(responder, offer,
                   {.with_ke = with_ke, .ke_received = methods.empty() ? KeMethod::kNone : methods.front()});
    if (!selection) return;
    const auto verified = verify_esp_choice(offer, Proposals{selection->answer});
    RC_ASSERT(verified.has_value());
    RC_ASSERT(*verified == selection->chosen);
    RC_ASSERT(with_ke || selection->chosen.ke == KeMethod::kNone);
  }));
}

TEST(ExplainNoProposal, BothListsAndTheNearestChange) {
  EXPECT_EQ(explain_no_proposal(ikes({"aes256gcm16-prfsha256-x25519", "aes128-sha256-x25519"}),
                                ike_offer(ikes({"aes128-sha256-modp2048"}), {})),
            "no common IKE proposal: this side has aes256gcm16-prfsha256-x25519, aes128-sha256-x25519; the "
            "peer offered aes128-sha256-modp2048; "
            "add 'aes128-sha256-modp2048' to ike_proposals on this side, or offer x25519 on the peer's");
  const std::string esp_sentence =
      explain_no_proposal(esps({"aes256gcm16-esn"}), esp_offer(esps({"aes128-sha1-noesn"}), kSpi, false));
  expect_in(
      esp_sentence,
      "add 'aes128-sha1-noesn' to esp_proposals on this side, or offer 'aes256gcm16-esn' on the peer's");
  const std::string weak =
      explain_no_proposal(ikes({"aes128-sha256-modp2048"}), ike_offer(ikes({"aes128-sha256-modp1024"}), {}));
  expect_in(weak, "not recommended: modp1024");
  expect_in(weak, "offer modp2048 on the peer's");
}

// What the sentence proposes must work.
TEST(ExplainNoProposal, TheAdviceIsSound) {
  EXPECT_TRUE(rc::check("adding what it says makes them agree", [] {
    const Proposals local = any_proposals_now(SecurityProtocol::kIke),
                    offer = ike_offer(any_proposals_now(SecurityProtocol::kIke), {});
    if (local.empty() || offer.empty() || select_ike(local, offer)) return;
    const std::string sentence = explain_no_proposal(local, offer);
    const auto start = sentence.find("add '");
    RC_ASSERT(start != std::string::npos);
    const std::string advice = sentence.substr(start + 5, sentence.find('\'', start + 5) - start - 5);
    Proposals extended = local;
    extended.push_back(ike(advice));
    RC_ASSERT(select_ike(extended, offer).has_value());
  }));
}

// Anybody can have an offer refused: what is long is only made on request, and from the beginning of both lists.
TEST(ExplainNoProposal, OnlyOnRequestAndBounded) {
  Proposals offer = ike_offer(Proposals(255, ike("aes128-sha256-modp2048")), {});
  const auto refused = select_ike(ikes({"aes256gcm16-prfsha256-x25519"}), offer);
  ASSERT_FALSE(refused.has_value());
  EXPECT_LT(refused.error().message.size(), 80U);
  // The nearest of all stands far behind: it is not looked for there.
  offer.back() = ike("aes256gcm16-prfsha256-modp2048");
  expect_in(explain_no_proposal(ikes({"aes256gcm16-prfsha256-x25519"}), offer),
            "add 'aes128-sha256-modp2048'");
}

TEST(ExplainNoProposal, StrangeOffers) {
  Proposals strange = ike_offer(ikes({"aes256gcm16-prfsha256-x25519"}), {});
  strange[0].transforms = {{static_cast<TransformType>(77), 1, std::nullopt, {}},
                           wire::encr_transform(static_cast<EncrId>(999), 1)};
  expect_in(explain_no_proposal(ikes({"aes256gcm16-prfsha256-x25519"}), strange),
            "nothing of the peer's can be used here");
  expect_in(explain_no_proposal(ikes({"aes256gcm16-prfsha256-x25519"}),
                                esp_offer(esps({"aes256gcm16"}), kSpi, false)),
            "nothing for IKE");
  expect_in(explain_no_proposal({}, strange), "no proposal at all");
  expect_in(explain_no_proposal(ikes({"aes256gcm16-prfsha256-x25519"}), {}), "the peer offered nothing");
  Proposals huge(255, strange[0]);
  for (Proposal& proposal : huge) proposal.transforms.resize(255, proposal.transforms[0]);
  EXPECT_LT(explain_no_proposal(ikes({"aes256gcm16-prfsha256-x25519"}), huge).size(), 20000U);
  expect_in(explain_proposals_refused(ike_offer(default_ike_proposals(), {})), "ike_proposals");
}

// RFC 7296 3.3.6: one transform of each type that was offered; only one whose NONE (or 32 bits) was offered may be left out.
TEST(VerifyChoice, WhatMayBeLeftOut) {
  const Proposals sent = esp_offer(esps({"aes256-sha256-noesn"}), kSpi, false);
  const auto without = [&](TransformType type) {
    Proposal out = sent.front();
    std::erase_if(out.transforms, [&](const auto& transform) { return transform.type == type; });
    return verify_esp_choice(sent, Proposals{out}).has_value();
  };
  EXPECT_TRUE(without(TransformType::kSn));
  EXPECT_FALSE(without(TransformType::kEncr));
  EXPECT_FALSE(without(TransformType::kInteg));
}

}  // namespace
}  // namespace merlon::policy
