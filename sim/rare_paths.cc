#include "sim/rare_paths.h"

#include <fmt/format.h>

#include <algorithm>

#include "ikev2/collision.h"
#include "wire/ike/notify_type.h"

namespace merlon::sim {
namespace {

using wire::NotifyType;

// Of a probe of the path, which it makes as large as the path is to be (ikev2/channel.cc).
constexpr auto kProbePadding = static_cast<NotifyType>(0xED51);
// Notifications that the engine can send, and so hear from another one. One that is sent and stands not here is missed() as well. Errors
// that it can only hear and of which it makes no difference (an answer with an error is a refusal) stand in ikev2
// error_notifications_test.
constexpr NotifyType kNotifies[] = {
    NotifyType::kUnsupportedCriticalPayload,
    NotifyType::kInvalidIkeSpi,
    NotifyType::kInvalidMajorVersion,
    NotifyType::kInvalidSyntax,
    NotifyType::kInvalidMessageId,
    NotifyType::kInvalidSpi,
    NotifyType::kNoProposalChosen,
    NotifyType::kInvalidKePayload,
    NotifyType::kAuthenticationFailed,
    NotifyType::kNoAdditionalSas,
    NotifyType::kTsUnacceptable,
    NotifyType::kInvalidSelectors,
    NotifyType::kTemporaryFailure,
    NotifyType::kChildSaNotFound,
    NotifyType::kTsMaxQueue,
    NotifyType::kInitialContact,
    NotifyType::kAdditionalTsPossible,
    NotifyType::kNatDetectionSourceIp,
    NotifyType::kNatDetectionDestinationIp,
    NotifyType::kCookie,
    NotifyType::kRekeySa,
    NotifyType::kIkev2FragmentationSupported,
    NotifyType::kSignatureHashAlgorithms,
    NotifyType::kSaResourceInfo,
    kProbePadding,
};
// Those that it only understands.
constexpr NotifyType kHeardOnly[] = {NotifyType::kSinglePairRequired, NotifyType::kSetWindowSize};

struct Unreached {
  std::string_view path, why;
};
constexpr std::string_view kNoSuchCombination =
    "cannot be: nothing is in flight for what is named as in flight";
constexpr std::string_view kClosing =
    "an IKE SA that is being deleted answers in its phase Closing, without the table";
constexpr std::string_view kOnlyDeletes =
    "a peer of ours sends nothing but the Delete on an IKE SA that it has replaced";
constexpr std::string_view kNeverAsked = "the engine never asks the table this";
constexpr std::string_view kAgreedBefore =
    "what was agreed in IKE_SA_INIT is agreed again: ikev2 engine_refused_rekey_test";
constexpr std::string_view kHonest =
    "authentic, and wrong: no gateway of ours says that: ikev2 HostilePeer, Mistakes";
constexpr std::string_view kNotOurs = "Merlon never sends it: ikev2 HostilePeer";
constexpr std::string_view kInnerPackets =
    "no inner packet of a run is one of several, and no router marks congestion: esp's tests";
constexpr std::string_view kForgedInside = "only a peer that has the keys can forge it: esp Forger";
constexpr std::string_view kTooLong = "takes longer than a run has faults: ikev2 engine_refused_rekey_test";
constexpr std::string_view kDeletedFirst =
    "a gateway of ours that has lost a Child SA deletes it before it complains: ikev2 engine_notices_test";
// What a campaign need not reach. Everything else it must.
constexpr Unreached kUnreached[] = {
    {"collision rekey-child/live*", kNoSuchCombination},
    {"collision delete-child/live*", kNoSuchCombination},
    {"collision rekey-child/deleting-ike", kClosing},
    {"collision create-child/deleting-ike", kClosing},
    {"collision rekey-ike/deleting-ike", kClosing},
    {"collision delete-ike/deleting-ike", kClosing},
    {"collision rekey-child/ike-replaced", kOnlyDeletes},
    {"collision create-child/ike-replaced", kOnlyDeletes},
    {"collision rekey-ike/ike-replaced", kOnlyDeletes},
    {"collision delete-child/ike-closing", kOnlyDeletes},
    {"collision other/any", kNeverAsked},
    {"collision answer/nothing-asked", kNeverAsked},
    {"collision answer/delete-refused", kNeverAsked},
    {"collision answer/rekey-ike-no-additional", kNotOurs},
    {"collision answer/rekey-ike-refused", kAgreedBefore},
    {"sent UNSUPPORTED_CRITICAL_PAYLOAD", kHonest},
    {"sent INVALID_SYNTAX", kHonest},
    {"sent INVALID_MESSAGE_ID", kHonest},
    {"sent INVALID_SELECTORS", kHonest},
    {"received UNSUPPORTED_CRITICAL_PAYLOAD", kHonest},
    {"received INVALID_SYNTAX", kHonest},
    {"received INVALID_MESSAGE_ID", kHonest},
    {"received INVALID_SELECTORS", kHonest},
    {"received SINGLE_PAIR_REQUIRED", kNotOurs},
    {"received SET_WINDOW_SIZE", kNotOurs},
    {"counter drop_malformed_content", kHonest},
    {"counter drop_unsupported_critical", kHonest},
    {"counter fragments_dropped", kHonest},
    {"counter reauthentications", "certificates live longer than a run: ikev2 engine_peer_validity_test"},
    {"counter lost_child_sas_heard", kDeletedFirst},
    {"path rekey_ike_backs_off", kAgreedBefore},
    {"path temporary_failure_for_minutes", kTooLong},
    {"path single_pair_asked_for", kNotOurs},
    {"path message_ids_exhausted", "the rekey before it succeeds: ikev2 engine_bounds_test"},
    {"path too_many_child_sas", kHonest},
    {"path narrowed_away", "inner packets stay within what was negotiated: ikev2 Lifecycle"},
    {"path answer_withheld", "the last fragment of a request seldom comes from elsewhere first: ikev2 Paths"},
    {"path not_answered_again_elsewhere", "nobody repeats one message five times a second: ikev2 Limits"},
    {"path fragments_outdated", "its sender would have to vanish between two fragments: ikev2 Reassembly"},
    {"drop unsupported_segments", kInnerPackets},
    {"drop ecn_invalid", kInnerPackets},
    {"drop no_buffer", "a pool that runs dry is a violation: buffers are given back"},
    {"drop crossing_full", "a simulated gateway has one data worker: esp/crossing_test.cc"},
    {"drop padding", kForgedInside},
    {"drop next_header", kForgedInside},
    {"drop dummy", kForgedInside},
    {"drop malformed_decrypted", kForgedInside},
    {"drop selector_mismatch", kForgedInside},
};

std::string_view why_unreached(std::string_view path) {
  for (const Unreached& one : kUnreached)
    if (one.path == path) return one.why;
  return {};
}

std::string of(std::string_view direction, NotifyType type) {
  return fmt::format("{} {}", direction, wire::name(type));
}
std::string of(ike::Counter counter) {
  return fmt::format("counter {}", ike::name(counter));
}
std::string of(ike::RarePath path) {
  return fmt::format("path {}", ike::name(path));
}
std::string of(esp::DropReason reason) {
  return fmt::format("drop {}", esp::name(reason));
}
std::string collision(std::size_t row) {
  return fmt::format("collision {}", ikev2::collision_row_name(row));
}

template <class Enum, class Visit>
void for_each(Visit visit) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(Enum::kCount); ++i) visit(static_cast<Enum>(i));
}

}  // namespace

void add(DropCounts& sum, const DropCounts& counts) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += counts[i];
}

const std::vector<RarePathInfo>& rare_paths() {
  static const std::vector<RarePathInfo> all = [] {
    std::vector<RarePathInfo> made;
    const auto take = [&](std::string name) {
      const std::string_view why = why_unreached(name);
      made.push_back({std::move(name), why});
    };
    for (std::size_t row = 0; !ikev2::collision_row_name(row).empty(); ++row) take(collision(row));
    for (const NotifyType type : kNotifies) take(of("sent", type));
    for (const NotifyType type : kNotifies) take(of("received", type));
    for (const NotifyType type : kHeardOnly) take(of("received", type));
    for_each<ike::Counter>([&](ike::Counter counter) { take(of(counter)); });
    for_each<ike::RarePath>([&](ike::RarePath path) { take(of(path)); });
    for_each<esp::DropReason>([&](esp::DropReason reason) { take(of(reason)); });
    return made;
  }();
  return all;
}

void RarePathTable::count(const std::string& path, std::uint64_t times) {
  if (times == 0) return;
  Count& one = counts_[path];
  one.times += times;
  ++one.runs;
}

void RarePathTable::add(const ike::Counters& counters, const DropCounts& drops) {
  ++runs_;
  for (std::size_t row = 0; !ikev2::collision_row_name(row).empty(); ++row)
    count(collision(row), counters.collisions(row));
  const auto sent_and_received = [&](NotifyType type) {
    count(of("sent", type), counters.notifies_sent(static_cast<std::uint16_t>(type)));
    count(of("received", type), counters.notifies_received(static_cast<std::uint16_t>(type)));
  };
  for (const NotifyType type : kNotifies) sent_and_received(type);
  for (const NotifyType type : kHeardOnly) sent_and_received(type);
  counters.for_each([&](const ike::CounterSample& sample) {
    if (sample.metric != "ike_notifies" || sample.labels[0].second != "sent") return;
    const std::string path = "sent " + sample.labels[1].second;
    if (!is_known(path)) unlisted_.insert(path);
  });
  for_each<ike::Counter>([&](ike::Counter counter) { count(of(counter), counters.value(counter)); });
  for_each<ike::RarePath>([&](ike::RarePath path) { count(of(path), counters.value(path)); });
  for_each<esp::DropReason>(
      [&](esp::DropReason reason) { count(of(reason), drops[static_cast<std::size_t>(reason)]); });
}

bool RarePathTable::is_known(const std::string& path) {
  return std::any_of(rare_paths().begin(), rare_paths().end(),
                     [&](const RarePathInfo& known) { return known.name == path; });
}

std::uint64_t RarePathTable::times(const std::string& path) const {
  const auto at = counts_.find(path);
  return at == counts_.end() ? 0 : at->second.times;
}

std::vector<std::string> RarePathTable::missed() const {
  std::vector<std::string> made;
  for (const RarePathInfo& path : rare_paths())
    if (path.unreached.empty() && times(path.name) == 0) made.push_back(path.name);
  for (const std::string& path : unlisted_) made.push_back(path + " (which stands in no list)");
  return made;
}

std::string RarePathTable::text() const {
  std::size_t width = 0;
  for (const RarePathInfo& path : rare_paths()) width = std::max(width, path.name.size());
  std::string reached = fmt::format("{:<{}} {:>10} {:>8}\n", "path", width, "times", "runs"), never, missed;
  for (const RarePathInfo& path : rare_paths()) {
    if (const auto at = counts_.find(path.name); at != counts_.end())
      reached += fmt::format("{:<{}} {:>10} {:>8}{}{}\n", path.name, width, at->second.times, at->second.runs,
                             path.unreached.empty() ? "" : "   ", path.unreached);
    else if (path.unreached.empty())
      missed += fmt::format("{}\n", path.name);
    else
      never += fmt::format("{:<{}} {}\n", path.name, width, path.unreached);
  }
  for (const std::string& path : unlisted_) missed += path + ": sent, and stands in no list\n";
  std::string text = fmt::format("{} runs\n{}", runs_, reached);
  if (!never.empty()) text += "\nNot reached, and need not be:\n" + never;
  if (!missed.empty()) text += "\nNEVER REACHED, and must be:\n" + missed;
  return text;
}

}  // namespace merlon::sim
