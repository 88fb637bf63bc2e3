#include "sim/small_scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <unordered_set>

#include "sim/digest.h"

namespace merlon::sim {
namespace {

// No path is longer: retransmissions end.
constexpr std::size_t kLongestPath = 1000;

bool either(const SmallScope& scope, Operation operation) {
  return scope.at_a == operation || scope.at_b == operation;
}

// The SA of the child that a peer sends by: the newest whose outbound half is in use (policy/sad.h).
const policy::ChildSa* outbound(const DuetPeer& peer, std::string_view child) {
  const policy::ChildSa* newest = nullptr;
  for (const auto& [id, one] : peer.installed)
    if (one.use_outbound && one.sa->child().name == child) newest = one.sa.get();
  return newest;
}

const policy::ChildSa* by_inbound(const DuetPeer& peer, Spi spi) {
  for (const auto& [id, one] : peer.installed)
    if (one.sa->inbound_spi == spi) return one.sa.get();
  return nullptr;
}

bool mirrored(const policy::ChildSa& a, const policy::ChildSa& b) {
  return a.outbound_spi == b.inbound_spi && a.inbound_spi == b.outbound_spi &&
         a.outbound.encryption == b.inbound.encryption && a.inbound.encryption == b.outbound.encryption &&
         a.local_ts == b.remote_ts && a.remote_ts == b.local_ts;
}

// ---- what must hold at every step

// RFC 7296 2.8: while SAs are only rekeyed, the peer can always receive what is sent.
std::optional<std::string> check_nothing_lost(const Duet& duet) {
  for (std::size_t i = 0; i < 2; ++i) {
    const auto* out = outbound(duet.peer(i), "net");
    if (out == nullptr) return fmt::format("{} has no SA to send by", i == 0 ? "A" : "B");
    const auto* in = by_inbound(duet.peer(1 - i), out->outbound_spi);
    if (in == nullptr)
      return fmt::format("{} sends by an SA that its peer cannot receive on", i == 0 ? "A" : "B");
    if (!mirrored(*out, *in)) return std::string("the two ends of a Child SA differ");
  }
  return std::nullopt;
}

std::optional<std::string> check_step(const SmallScope& scope, const Duet& duet) {
  for (std::size_t i = 0; i < 2; ++i)
    if (!duet.peer(i).fault.empty()) return duet.peer(i).fault;
  if (either(scope, Operation::kDeleteChild) || either(scope, Operation::kDeleteIke)) return std::nullopt;
  return check_nothing_lost(duet);
}

// ---- what must hold at the end

std::vector<IkeSaId> ike_sas(const DuetPeer& peer) {
  std::vector<IkeSaId> found;
  for (const auto& one : peer.engine.status()) found.push_back(one.id);
  return found;
}

std::size_t count(const DuetPeer& peer, std::string_view child) {
  return static_cast<std::size_t>(
      std::count_if(peer.installed.begin(), peer.installed.end(),
                    [&](const auto& entry) { return entry.second.sa->child().name == child; }));
}

std::optional<std::string> check_agreed(const Duet& duet) {
  const auto &a = duet.peer(0), &b = duet.peer(1);
  const auto at_a = ike_sas(a), at_b = ike_sas(b);
  if (at_a.size() != at_b.size() || !std::is_permutation(at_a.begin(), at_a.end(), at_b.begin()))
    return fmt::format("A has {} IKE SAs and B {}, or others", at_a.size(), at_b.size());
  if (a.installed.size() != b.installed.size())
    return fmt::format("A has {} Child SAs and B {}", a.installed.size(), b.installed.size());
  for (const auto& [id, one] : a.installed) {
    const auto* other = by_inbound(b, one.sa->outbound_spi);
    if (other == nullptr || !mirrored(*one.sa, *other))
      return std::string("a Child SA stands at one end only");
    if (!one.use_outbound) return std::string("A does not send by a Child SA that is left");
  }
  for (const auto* peer : {&a, &b}) {
    if (peer->spis.size() != peer->installed.size()) return std::string("an SPI is never given back");
    std::size_t known = 0;
    for (const auto& ike_sa : peer->engine.status()) known += ike_sa.children.size();
    if (known != peer->installed.size()) return std::string("a Child SA without an IKE SA, or the reverse");
  }
  return std::nullopt;
}

std::optional<std::string> check_wanted(const SmallScope& scope, const Duet& duet) {
  const auto& a = duet.peer(0);
  const bool ike_deleted = either(scope, Operation::kDeleteIke);
  const std::size_t ike = ike_deleted ? 0 : 1;
  if (a.engine.ike_sa_count() != ike)
    return fmt::format("{} IKE SAs are left, there should be {}", a.engine.ike_sa_count(), ike);
  const std::size_t net = ike_deleted || either(scope, Operation::kDeleteChild) ? 0 : 1;
  // RFC 7296 2.25: who wanted to rekey what the other deletes may ask for a new one in its place.
  const bool may_return =
      !ike_deleted && either(scope, Operation::kDeleteChild) && either(scope, Operation::kRekeyChild);
  if (count(a, "net") != net && !(may_return && count(a, "net") == 1))
    return fmt::format("{} Child SAs of \"net\" are left, there should be {}", count(a, "net"), net);
  const std::size_t net2 = !ike_deleted && either(scope, Operation::kCreateChild) ? 1 : 0;
  const bool told =
      a.failures + duet.peer(1).failures != 0;  // then whoever wanted it knows, and may try again
  if (count(a, "net2") != net2 && !(told && count(a, "net2") == 0))
    return fmt::format("{} Child SAs of \"net2\" are left, there should be {}", count(a, "net2"), net2);
  return std::nullopt;
}

// What is left must work: the IKE SA carries an exchange from each side.
std::optional<std::string> check_alive(const SmallScope& scope, Duet& duet) {
  if (duet.peer(0).engine.ike_sa_count() == 0) return std::nullopt;
  for (std::size_t i = 0; i < 2; ++i) {
    duet.command(i, Operation::kRekeyIke);
    if (!duet.settle()) return std::string("afterwards: it never comes to rest");
    if (auto wrong = check_agreed(duet)) return "after one more rekey: " + *wrong;
    if (auto wrong = check_wanted(scope, duet)) return "after one more rekey: " + *wrong;
  }
  return std::nullopt;
}

// ---- the search: depth first; a state that is come back to is made again from its path

class Search {
 public:
  Search(const SmallScope& scope, SmallScopeReport& report) : scope_(scope), report_(report) {}

  void run() { visit(replay(false), scope_.faults); }

 private:
  std::unique_ptr<Duet> replay(bool trace) const {
    auto duet = std::make_unique<Duet>(DuetOptions{scope_.slow_crypto, scope_.pfs, trace});
    duet->begin(scope_.at_a, scope_.at_b);
    for (const Choice& choice : path_) duet->take(choice);
    return duet;
  }

  // Whether this state is new.
  bool enter(const Duet& duet, unsigned faults_left) {
    Digest key;
    key.add(duet.digest());
    key.add(faults_left);
    if (!seen_.insert(key.value()).second) {
      ++report_.repeats;
      return false;
    }
    ++report_.states;
    report_.longest = std::max(report_.longest, path_.size());
    if (scope_.state_limit != 0 && report_.states >= scope_.state_limit) report_.complete = false;
    return true;
  }

  void visit(std::unique_ptr<Duet> duet, unsigned faults_left) {
    if (!enter(*duet, faults_left)) return;
    if (auto wrong = check_step(scope_, *duet)) return violated(*wrong);
    if (path_.size() > kLongestPath) return violated("it never comes to rest");
    const auto choices = duet->choices(faults_left);
    if (choices.empty()) return end(*duet);
    for (const Choice& choice : choices) {
      if (report_.violation || !report_.complete) return;
      if (!duet) duet = replay(false);
      const bool fault = choice.kind == Choice::Kind::kLose || choice.kind == Choice::Kind::kDouble;
      duet->take(choice);
      path_.push_back(choice);
      visit(std::move(duet), faults_left - (fault ? 1U : 0U));
      path_.pop_back();
      duet = nullptr;
    }
  }

  void end(Duet& duet) {
    ++report_.endings;
    if (duet.peer(0).failures + duet.peer(1).failures != 0) ++report_.failures;
    auto wrong = check_agreed(duet);
    if (!wrong) wrong = check_wanted(scope_, duet);
    if (!wrong) wrong = check_alive(scope_, duet);
    if (wrong) violated(*wrong);
  }

  void violated(const std::string& what) {
    report_.violation = what;
    const auto again = replay(true);
    (void)check_alive(scope_, *again);  // for its lines
    report_.lines = again->lines();
  }

  const SmallScope& scope_;
  SmallScopeReport& report_;
  std::vector<Choice> path_;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace

SmallScopeReport explore(const SmallScope& scope) {
  SmallScopeReport report;
  Search(scope, report).run();
  return report;
}

std::string describe(const SmallScope& scope) {
  return fmt::format("{} / {}{}{}", to_text(scope.at_a), to_text(scope.at_b),
                     scope.slow_crypto ? ", slow key exchanges" : "", scope.pfs ? ", PFS" : "");
}

}  // namespace merlon::sim
