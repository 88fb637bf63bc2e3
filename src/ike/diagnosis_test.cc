#include "ike/diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace merlon::ike::diagnosis {
namespace {

using testing::HasSubstr;
using testing::Not;
using wire::NotifyType;

policy::Connection office() {
  policy::Connection connection;
  connection.name = "office";
  connection.source = "merlon.toml:12";
  connection.ike_proposals = policy::default_ike_proposals();
  policy::LocalAuth local;
  local.kind = policy::AuthKind::kPsk;
  local.psk = SharedSecret(Secret::copy_of(as_bytes("top secret words")));
  local.id = *Identity::parse("gw-a.example.com");
  connection.local_auth.push_back(local);
  policy::RemoteAuth remote;
  remote.kind = policy::AuthKind::kPsk;
  remote.psk = SharedSecret(Secret::copy_of(as_bytes("top secret words")));
  remote.id = *Identity::parse("gw-b.example.com");
  connection.remote_auth.push_back(remote);
  policy::ChildConfig child;
  child.name = "net";
  child.proposals = policy::default_esp_proposals();
  child.local_ts = {*policy::parse_traffic_selector("10.1.0.0/16")};
  child.remote_ts = {*policy::parse_traffic_selector("10.2.0.0/16")};
  connection.children.push_back(child);
  return connection;
}

class Diagnosis : public testing::Test {
 protected:
  policy::Connection connection_ = office();
  Subject subject_{&connection_, {}, {IpAddress::v4(0xc0000201), 500}};
  Identity peer_id_ = *Identity::parse("gw-b.example.com");

  void is_about_us(const Failure& failure) {
    EXPECT_THAT(failure.sentence, HasSubstr("192.0.2.1:500"));
    EXPECT_THAT(failure.sentence, HasSubstr("merlon.toml:12"));
    EXPECT_THAT(failure.sentence, Not(HasSubstr("top secret")));
    EXPECT_THAT(failure.sentence, Not(HasSubstr("\n")));
  }
};

TEST_F(Diagnosis, WrongPskNamesIdentityAndPlaceButNeverTheKey) {
  const auto failure = wrong_psk(subject_, peer_id_);
  is_about_us(failure);
  EXPECT_EQ(failure.kind, FailureKind::kAuthentication);
  EXPECT_EQ(failure.side, FailureSide::kBoth);
  EXPECT_EQ(failure.notify_type, 24);
  EXPECT_TRUE(failure.permanent);
  EXPECT_THAT(failure.sentence, HasSubstr("'gw-b.example.com'"));
  EXPECT_THAT(failure.sentence, HasSubstr("pre-shared keys differ"));

  connection_.remote_auth[0].psk_file = "/etc/merlon/office.psk";
  EXPECT_THAT(wrong_psk(subject_, peer_id_).sentence, HasSubstr("/etc/merlon/office.psk"));
}

TEST_F(Diagnosis, WrongIdentityShowsBoth) {
  const auto failure = wrong_identity(subject_, *Identity::parse("gw-c.example.com"));
  is_about_us(failure);
  EXPECT_EQ(failure.kind, FailureKind::kIdentity);
  EXPECT_THAT(failure.sentence, HasSubstr("'gw-c.example.com'"));
  EXPECT_THAT(failure.sentence, HasSubstr("expects 'gw-b.example.com'"));
}

TEST_F(Diagnosis, WhatAPeerChoseIsEscaped) {
  const Identity evil{IdType::kFqdn, to_bytes(as_bytes("gw\n\x1b[31m' OK"))};
  for (const auto& failure : {wrong_identity(subject_, evil), wrong_psk(subject_, evil),
                              no_connection_for_identity(subject_, evil, evil, {}),
                              unknown_public_key(subject_, evil, "5e1f-09ab")}) {
    EXPECT_THAT(failure.sentence, Not(HasSubstr("\n")));
    EXPECT_THAT(failure.sentence, Not(HasSubstr("\x1b")));
  }
}

// It stands in the log, in events and in the status, and a stranger may say 64 KiB.
TEST_F(Diagnosis, WhatAStrangerSaysOfItselfIsQuotedOnlyInPart) {
  const Identity endless{IdType::kKeyId, Bytes(60'000, 0x01)};
  const auto failure = wrong_identity(subject_, endless);
  EXPECT_LT(failure.sentence.size(), 1000U);
  EXPECT_THAT(failure.sentence, HasSubstr("60000 bytes"));
  EXPECT_THAT(failure.sentence, HasSubstr("change the remote id here")) << "the advice stands behind it";
  const std::vector<std::string> expected(1000, "'somebody.example'");
  const auto nobody = no_connection_for_identity(subject_, endless, endless, expected);
  EXPECT_LT(nobody.sentence.size(), 1500U);
  EXPECT_THAT(nobody.sentence, HasSubstr("and 992 more"));
  const auto words = protocol(subject_, Exchange::kIkeAuth, std::string(250'000, 'x'));
  EXPECT_LE(words.sentence.size(), 4096U);
}

TEST_F(Diagnosis, AuthenticationFailedMeansThatThePeerRefusedOurProof) {
  const auto failure = peer_refused(subject_, Exchange::kIkeAuth, NotifyType::kAuthenticationFailed, true);
  is_about_us(failure);
  EXPECT_EQ(failure.kind, FailureKind::kAuthentication);
  EXPECT_THAT(failure.sentence, HasSubstr("AUTHENTICATION_FAILED"));
  EXPECT_THAT(failure.sentence, HasSubstr("OUR proof"));
  EXPECT_THAT(failure.sentence, HasSubstr("remote id for us is 'gw-a.example.com'"));
  EXPECT_THAT(failure.sentence, HasSubstr("same pre-shared key"));

  connection_.local_auth[0].kind = policy::AuthKind::kCertificate;
  connection_.local_auth[0].certificate_file = "/etc/merlon/gw-a.pem";
  const auto certificate =
      peer_refused(subject_, Exchange::kIkeAuth, NotifyType::kAuthenticationFailed, true);
  EXPECT_THAT(certificate.sentence, HasSubstr("/etc/merlon/gw-a.pem"));
  EXPECT_THAT(certificate.sentence, HasSubstr("trusts the CA"));
}

TEST_F(Diagnosis, ProposalsShowBothListsAndTheNearestChange) {
  const auto ours = std::vector{*policy::parse_ike_proposal("aes256gcm16-prfsha384-x25519")};
  const auto theirs = std::vector{*policy::parse_ike_proposal("aes128-sha256-modp2048")};
  const auto failure = no_proposal(subject_, ours, theirs);
  is_about_us(failure);
  EXPECT_EQ(failure.kind, FailureKind::kNoProposalChosen);
  EXPECT_EQ(failure.notify_type, 14);
  EXPECT_THAT(failure.sentence, HasSubstr("aes256gcm16"));
  EXPECT_THAT(failure.sentence, HasSubstr("modp2048"));

  const auto refused = peer_refused(subject_, Exchange::kIkeSaInit, NotifyType::kNoProposalChosen, false);
  EXPECT_EQ(refused.kind, FailureKind::kNoProposalChosen);
  EXPECT_THAT(refused.sentence, HasSubstr("not authenticated"));
  EXPECT_THAT(refused.sentence, HasSubstr("aes256gcm16"));
}

TEST_F(Diagnosis, SelectorsShowBothSides) {
  subject_.child = "net";
  const auto& child = connection_.children[0];
  const policy::TrafficSelectors their_local = {*policy::parse_traffic_selector("10.9.0.0/16")};
  const auto failure = no_selectors(subject_, child.local_ts, child.remote_ts, their_local, child.local_ts);
  is_about_us(failure);
  EXPECT_EQ(failure.kind, FailureKind::kTrafficSelectors);
  EXPECT_THAT(failure.sentence, HasSubstr("10.2.0.0/16"));
  EXPECT_THAT(failure.sentence, HasSubstr("10.9.0.0/16"));
  const auto refused = peer_refused(subject_, Exchange::kIkeAuth, NotifyType::kTsUnacceptable, true);
  EXPECT_EQ(refused.kind, FailureKind::kTrafficSelectors);
  EXPECT_THAT(refused.sentence, HasSubstr("10.1.0.0/16"));
}

TEST_F(Diagnosis, TimeoutsSayHowOftenHowLongAndWhatToLookAt) {
  const auto failure = timeout(subject_, Exchange::kIkeSaInit, 7, std::chrono::milliseconds(76'300), true);
  is_about_us(failure);
  EXPECT_EQ(failure.kind, FailureKind::kTimeout);
  EXPECT_EQ(failure.side, FailureSide::kPath);
  EXPECT_FALSE(failure.permanent);
  EXPECT_THAT(failure.sentence,
              HasSubstr("no answer to IKE_SA_INIT from 192.0.2.1:500 after 7 tries in 76 s"));
  EXPECT_THAT(failure.sentence, HasSubstr("UDP 500 and 4500"));
  EXPECT_THAT(timeout(subject_, Exchange::kIkeAuth, 1, std::chrono::seconds(1), false).sentence,
              HasSubstr("fragmentation"));
}

TEST_F(Diagnosis, EveryErrorNotificationHasWords) {
  for (const auto type :
       {NotifyType::kUnsupportedCriticalPayload, NotifyType::kInvalidIkeSpi, NotifyType::kInvalidMajorVersion,
        NotifyType::kInvalidSyntax, NotifyType::kInvalidMessageId, NotifyType::kNoProposalChosen,
        NotifyType::kInvalidKePayload, NotifyType::kAuthenticationFailed, NotifyType::kSinglePairRequired,
        NotifyType::kNoAdditionalSas, NotifyType::kInternalAddressFailure, NotifyType::kFailedCpRequired,
        NotifyType::kTsUnacceptable, NotifyType::kTemporaryFailure, NotifyType::kChildSaNotFound,
        static_cast<NotifyType>(9999)}) {
    for (const auto exchange : {Exchange::kIkeSaInit, Exchange::kIkeAuth, Exchange::kCreateChild,
                                Exchange::kRekeyChild, Exchange::kRekeyIkeSa, Exchange::kInformational}) {
      const auto failure = peer_refused(subject_, exchange, type, true);
      is_about_us(failure);
      EXPECT_EQ(failure.notify_type, static_cast<std::uint16_t>(type));
      EXPECT_THAT(failure.sentence, HasSubstr(wire::name(type)));
      EXPECT_GT(failure.sentence.size(), 80U);
    }
  }
}

// All that IANA lists as "IKEv2 Notify Message Error Types": each that has a name has words of its own.
TEST_F(Diagnosis, EveryNamedErrorHasItsOwnWords) {
  subject_.child = "net";
  const auto words = [&](NotifyType type) {
    const auto sentence = peer_refused(subject_, Exchange::kCreateChild, type, true).sentence;
    return sentence.substr(sentence.find(wire::name(type)) + wire::name(type).size());
  };
  const auto no_words = words(static_cast<NotifyType>(9999));
  std::map<std::string, NotifyType> seen;
  for (std::uint16_t number = 0; number < 64; ++number) {
    const auto type = static_cast<NotifyType>(number);
    SCOPED_TRACE(wire::name(type));
    if (wire::name(type).starts_with("ERROR(")) {
      EXPECT_EQ(words(type), no_words) << "nobody has given it a meaning";
      continue;
    }
    EXPECT_NE(words(type), no_words);
    EXPECT_TRUE(seen.emplace(words(type), type).second) << "the words of " << wire::name(seen[words(type)]);
  }
  EXPECT_GE(seen.size(), 23U);
}

// RFC 7296 1.5, 2.3, 3.10.1: what both ends say of each other while the IKE SA goes on.
TEST_F(Diagnosis, NoticesSayWhatTheyAreAbout) {
  for (const auto type :
       {NotifyType::kInvalidMessageId, NotifyType::kInvalidSpi, NotifyType::kInvalidSelectors}) {
    for (const auto& failure :
         {told_by_peer(subject_, type, "number 7"), told_to_peer(subject_, type, "number 7")}) {
      is_about_us(failure);
      EXPECT_EQ(failure.notify_type, static_cast<std::uint16_t>(type));
      EXPECT_THAT(failure.sentence, HasSubstr(wire::name(type) + " (number 7)"));
      EXPECT_GT(failure.sentence.size(), 120U);
    }
  }
  EXPECT_THAT(told_by_peer(subject_, static_cast<NotifyType>(9999), "").sentence, HasSubstr("ERROR(9999): "));
}

TEST_F(Diagnosis, CertificatesOfAStandingIkeSa) {
  const auto ended =
      certificate_expired(subject_, peer_id_, std::chrono::sys_days{std::chrono::year{2026} / 10 / 4});
  is_about_us(ended);
  EXPECT_EQ(ended.kind, FailureKind::kCertificate);
  EXPECT_THAT(ended.sentence, HasSubstr("2026-10-04T00:00:00Z"));
  EXPECT_THAT(ended.sentence, HasSubstr("new certificate"));
  const auto revoked =
      certificate_refused_now(subject_, peer_id_, {ErrorCode::kAuthentication, "it is revoked"});
  is_about_us(revoked);
  EXPECT_THAT(revoked.sentence, HasSubstr("not accepted any more"));
  EXPECT_THAT(revoked.sentence, HasSubstr("it is revoked"));
}

TEST_F(Diagnosis, NothingKnownIsNoReasonToCrash) {
  const Subject nobody;
  const Error why{ErrorCode::kSystem, "reason"};
  const Identity anybody;
  for (const auto& failure :
       {wrong_psk(nobody, anybody),
        wrong_identity(nobody, anybody),
        bad_certificate(nobody, anybody, why),
        no_certificate(nobody, anybody, policy::AuthKind::kRawPublicKey),
        cannot_sign(nobody, why),
        no_proposal(nobody, {}, {}),
        proposal_not_ours(nobody, why),
        no_selectors(nobody, {}, {}, {}, {}),
        liveness(nobody, 1, std::chrono::seconds(3)),
        unreachable(nobody, why),
        name_not_resolved(nobody, "host", why),
        protocol(nobody, Exchange::kIkeAuth, "odd"),
        internal(nobody, why),
        deleted_by_peer(nobody),
        deleted_by_us(nobody, "on command"),
        wrong_signature(nobody, anybody, "key", "detail"),
        wrong_method(nobody, anybody, policy::AuthKind::kEap, "x"),
        identity_not_in_certificate(nobody, anybody, why),
        told_by_peer(nobody, NotifyType::kInvalidSpi, {}),
        told_to_peer(nobody, NotifyType::kInvalidSpi, {}),
        certificate_expired(nobody, anybody, {}),
        certificate_refused_now(nobody, anybody, why),
        peer_refused(nobody, Exchange::kIkeAuth, NotifyType::kAuthenticationFailed, true)})
    EXPECT_FALSE(failure.sentence.empty());
}

TEST(FailureNames, AreWords) {
  EXPECT_STREQ(name(FailureKind::kNoProposalChosen), "no-proposal-chosen");
  EXPECT_STREQ(name(FailureKind::kLiveness), "liveness");
  EXPECT_STREQ(name(FailureSide::kPath), "path");
}

}  // namespace
}  // namespace merlon::ike::diagnosis
