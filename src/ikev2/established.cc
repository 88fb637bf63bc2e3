#include "ikev2/established.h"

#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/create_child_sa.h"
#include "ikev2/exchanges/informational.h"
#include "ikev2/peer_validity.h"

namespace merlon::ikev2 {

static_assert(leads_to<&on_established_timer, Established, Next<Established, Closing, Closed>>);

using ike::Counter;
using ike::RarePath;

namespace {

constexpr Duration kPathDoubtInterval = std::chrono::seconds(10);

struct OwnRequestPaths {
  RarePath sent_again, given_up;
};
OwnRequestPaths paths_of(const OwnInFlight& own) {
  if (const auto* child = std::get_if<std::unique_ptr<CreatingChild>>(&own))
    return (*child)->rekeys ? OwnRequestPaths{RarePath::kRekeyChildSentAgain, RarePath::kRekeyChildGivenUp}
                            : OwnRequestPaths{RarePath::kCreateChildSentAgain, RarePath::kCreateChildGivenUp};
  if (std::holds_alternative<std::unique_ptr<RekeyingIke>>(own))
    return {RarePath::kRekeyIkeSentAgain, RarePath::kRekeyIkeGivenUp};
  if (std::holds_alternative<DeletingChild>(own))
    return {RarePath::kDeleteChildSentAgain, RarePath::kDeleteChildGivenUp};
  if (std::holds_alternative<Notifying>(own)) return {RarePath::kNoticeSentAgain, RarePath::kNoticeGivenUp};
  return {RarePath::kLivenessSentAgain, RarePath::kLivenessGivenUp};
}

template <class T>
bool queued(const Established& established) {
  return std::any_of(established.tasks.begin(), established.tasks.end(),
                     [](const Task& task) { return std::holds_alternative<T>(task.what); });
}

bool idle(const Established& established) {
  return !established.channel.requesting() && std::holds_alternative<std::monostate>(established.own);
}

// Whether this task may begin now, nothing of ours being in flight.
bool may_begin(const Established& established, const Task& task) {
  if (std::holds_alternative<DeleteIkeTask>(task.what)) return true;
  // Undecided which of two new IKE SAs stays, or the peer is replacing this one: children wait for the heir.
  if (established.predecessor ||
      std::holds_alternative<std::unique_ptr<AnsweringRekeyIke>>(established.answering))
    return false;
  if (std::holds_alternative<RekeyIkeTask>(task.what))
    return std::holds_alternative<std::monostate>(established.answering);
  // The peer's rekey of the same Child SA is being answered: when that is done, this one is moot.
  const auto* rekey = std::get_if<RekeyChildTask>(&task.what);
  const auto* answering = std::get_if<std::unique_ptr<AnsweringChild>>(&established.answering);
  return !rekey || !answering || (*answering)->rekeys != rekey->id;
}

Instant confirmed_at(const Established& established, const Task& task) {
  for (const auto& record : established.children) {
    const auto* rekey = std::get_if<RekeyChildTask>(&task.what);
    const auto* remove = std::get_if<DeleteChildTask>(&task.what);
    if ((rekey && rekey->id == record.sa->id) || (remove && remove->inbound_spi == record.sa->inbound_spi))
      return record.unconfirmed_until;
  }
  return Instant{};
}

std::optional<Task> next_task(Established& established, Instant now) {
  // A Delete of the IKE SA goes before all else.
  auto found = std::find_if(established.tasks.begin(), established.tasks.end(), [](const Task& task) {
    return std::holds_alternative<DeleteIkeTask>(task.what);
  });
  if (found == established.tasks.end())
    found = std::find_if(established.tasks.begin(), established.tasks.end(),
                         [&](const Task& task) { return task_ready_at(established, task) <= now; });
  if (found == established.tasks.end()) return std::nullopt;
  // Deletes of Child SAs go together in one message: they are taken from the list there.
  if (std::holds_alternative<DeleteChildTask>(found->what))
    return Task{*std::get_if<DeleteChildTask>(&found->what), {}};
  auto task = std::move(*found);
  established.tasks.erase(found);
  return task;
}

Next<Established, Closing, Closed> begin_tasks(Shard& shard, IkeSa& sa, Established&& phase) {
  while (idle(phase)) {
    auto task = next_task(phase, shard.time());
    if (!task) break;
    if (auto* remove = std::get_if<DeleteIkeTask>(&task->what))
      return begin_delete_ike(shard, sa, std::move(phase), *remove->reason);
    if (auto* create = std::get_if<NewChildTask>(&task->what)) {
      begin_new_child(shard, sa, phase, std::move(*create));
    } else if (const auto* rekey = std::get_if<RekeyChildTask>(&task->what)) {
      begin_rekey_child(shard, sa, phase, *rekey);
    } else if (const auto* rekey_ike = std::get_if<RekeyIkeTask>(&task->what)) {
      begin_rekey_ike(shard, sa, phase, *rekey_ike);
    } else if (std::holds_alternative<DeleteChildTask>(task->what)) {
      begin_delete_children(shard, sa, phase);
    } else if (auto* notice = std::get_if<NoticeTask>(&task->what)) {
      begin_notice(shard, sa, phase, std::move(*notice));
    } else {
      begin_probe(shard, sa, phase, std::get<ProbeTask>(task->what).datagram_size);
    }
  }
  return std::move(phase);
}

void check_lifetimes(Shard& shard, IkeSa& sa, Established& established) {
  const auto now = shard.time();
  const bool exhausted = established.channel.nearly_exhausted();
  if ((now >= established.soft || exhausted) && !established.soft_expired && !established.successor) {
    established.soft_expired = true;
    if (exhausted) shard.count(RarePath::kMessageIdsNearlyExhausted);
    queue_rekey_ike(established);
  }
  // RFC 7296 2.2: Message IDs never begin again.
  if (established.channel.exhausted() && !delete_ike_task(established)) {
    shard.count(RarePath::kMessageIdsExhausted);
    queue_delete_ike(shard, established,
                     ike::diagnosis::deleted_by_us(subject_of(sa), "its Message IDs are used up"));
  }
  if (now >= established.hard) {
    established.hard = kNever;
    shard.count(RarePath::kIkeHardLifetime);
    queue_delete_ike(shard, established,
                     ike::diagnosis::deleted_by_us(subject_of(sa), "its hard lifetime is over"));
  }
  for (auto& record : established.children) {
    if (now >= record.soft) {
      record.soft = kNever;
      queue_rekey_child(established, record);
    }
    if (now < record.hard) continue;
    record.hard = kNever;
    if (record.remove_at != kNever) {
      record.remove_at = now;  // late packets are taken no longer than the SA itself would have lived
    } else {
      shard.count(RarePath::kChildHardLifetime);
      queue_delete_child(shard, established, record, "its hard lifetime is over");
      record.replaced = false;  // not a packet more
      close_child(shard, sa, record, "its hard lifetime is over");
    }
  }
}

Instant liveness_deadline(const IkeSa& sa, const Established& established) {
  const auto interval = sa.connection->liveness_interval;
  if (interval.count() <= 0 || !idle(established) || established.successor || queued<ProbeTask>(established))
    return kNever;
  return established.last_inbound + interval;
}

void send_keepalive(Shard& shard, IkeSa& sa, const Established& established) {
  const auto interval = sa.connection->keepalive_interval;
  const auto& path = established.channel.path();
  // RFC 3948 4: only the side behind the NAT.
  if (!sa.nat.local_behind_nat || !path.natt || interval.count() <= 0) {
    sa.next_keepalive = kNever;
    return;
  }
  if (sa.next_keepalive != kNever && shard.time() < sa.next_keepalive) return;
  if (sa.next_keepalive != kNever) {
    shard.count(Counter::kKeepalivesSent);
    shard.emit(ike::TransmitKeepalive{path.local, path.remote});
  }
  sa.next_keepalive = shard.time() + interval;
}

// Our last request was never answered: the peer is gone.
Closed lost(Shard& shard, IkeSa& sa, Established&& phase, unsigned sends, Duration elapsed) {
  if (phase.successor) {
    shard.count(RarePath::kReplacedGivenUp);
    (void)give_up(shard, sa, phase, ike::diagnosis::deleted_by_us(subject_of(sa), "replaced by a rekey"));
    return {};
  }
  shard.count(Counter::kLivenessFailures);
  (void)give_up(shard, sa, phase, ike::diagnosis::liveness(subject_of(sa), sends, elapsed));
  return {};
}

}  // namespace

Next<Established, Closing, Closed> on_established_timer(Shard& shard, IkeSa& sa, Established&& phase) {
  const auto sends = phase.channel.sends();
  const auto elapsed = shard.time() - phase.channel.first_sent();
  const auto due = phase.channel.advance(shard, sa);
  if (due == Channel::Due::kSentAgain) shard.count(paths_of(phase.own).sent_again);
  if (due == Channel::Due::kGivenUp) {
    shard.count(paths_of(phase.own).given_up);
    return lost(shard, sa, std::move(phase), sends, elapsed);
  }
  phase.channel.drop_stale_fragments(shard);
  // The one that this replaced went another way than by its rekey.
  if (phase.predecessor && !shard.find(*phase.predecessor)) phase.predecessor.reset();
  check_lifetimes(shard, sa, phase);
  check_peer_validity(shard, sa, phase);
  if (shard.time() >= phase.replaced_until) {
    shard.count(RarePath::kReplacedNeverDeleted);
    return give_up(shard, sa, phase, ike::diagnosis::deleted_by_us(subject_of(sa), "replaced by a rekey"));
  }
  for (const auto& task : phase.tasks)
    if (const auto* remove = std::get_if<DeleteIkeTask>(&task.what);
        remove && !idle(phase) && shard.time() >= task.not_before + kDeletePatience) {
      shard.count(RarePath::kDeleteOutOfPatience);
      auto reason = *remove->reason;
      return give_up(shard, sa, phase, std::move(reason));
    }
  if (shard.time() >= liveness_deadline(sa, phase)) queue_probe(phase);
  send_keepalive(shard, sa, phase);
  sweep_children(shard, phase);
  return begin_tasks(shard, sa, std::move(phase));
}

Instant established_deadline(const IkeSa& sa, const Established& established) {
  auto deadline =
      std::min({established.channel.deadline(), established.channel.fragments_deadline(), established.hard,
                established.replaced_until, established.validity_check, sa.next_keepalive});
  if (established.channel.exhausted() && !delete_ike_task(established)) deadline = Instant{};
  if (!established.soft_expired && !established.successor)
    deadline = std::min(deadline, established.channel.nearly_exhausted() ? Instant{} : established.soft);
  for (const auto& record : established.children)
    deadline = std::min({deadline, record.soft, record.hard, record.remove_at});
  deadline = std::min(deadline, liveness_deadline(sa, established));
  for (const auto& task : established.tasks) {
    if (idle(established))
      deadline = std::min(deadline, task_ready_at(established, task));
    else if (std::holds_alternative<DeleteIkeTask>(task.what))
      deadline = std::min(deadline, task.not_before + kDeletePatience);
  }
  // The first keepalive sets its own timer.
  if (sa.nat.local_behind_nat && established.channel.path().natt &&
      sa.connection->keepalive_interval.count() > 0 && sa.next_keepalive == kNever)
    deadline = std::min(deadline, established.established);
  return deadline;
}

void follow_peer(Shard& shard, IkeSa& sa, Established& established, const Path& from) {
  const auto& path = established.channel.path();
  if (from == path) return;
  // RFC 7296 2.23: the side that is not behind the NAT follows; without a NAT addresses do not move (MOBIKE
  // would).
  if (!from.natt || !path.natt || sa.nat.local_behind_nat) return;
  if (from.remote != path.remote) {
    shard.count(Counter::kPeersMoved);
    shard.emit(ike::Event(ike::PeerMoved{sa.connection_name(), sa.id, path.remote, from.remote}));
  }
  established.channel.set_path(from);
  sa.path = from;
  update_child_paths(shard, sa, established);
}

void doubt_path(Shard& shard, Established& established, const Path& from) {
  if (from.remote == established.channel.path().remote || shard.time() < established.next_path_doubt) return;
  established.next_path_doubt = shard.time() + kPathDoubtInterval;
  shard.count(RarePath::kHeardFromElsewhere);
  queue_probe(established);
}

Instant task_ready_at(const Established& established, const Task& task) {
  return may_begin(established, task) ? std::max(task.not_before, confirmed_at(established, task)) : kNever;
}

const DeleteIkeTask* delete_ike_task(const Established& established) {
  for (const auto& task : established.tasks)
    if (const auto* found = std::get_if<DeleteIkeTask>(&task.what)) return found;
  return nullptr;
}

// ---- intentions

void queue_rekey_child(Established& established, ChildSaRecord& record) {
  if (!record.live() || record.replaced) return;
  const auto id = record.sa->id;
  for (const auto& task : established.tasks)
    if (const auto* rekey = std::get_if<RekeyChildTask>(&task.what); rekey && rekey->id == id) return;
  if (const auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
      own && (*own)->rekeys == id)
    return;
  established.tasks.push_back({RekeyChildTask{id, 0, KeMethod::kNone}, {}});
}

void queue_rekey_ike(Established& established) {
  if (established.successor || queued<RekeyIkeTask>(established) ||
      std::holds_alternative<std::unique_ptr<RekeyingIke>>(established.own))
    return;
  established.tasks.push_back({RekeyIkeTask{}, {}});
}

void queue_delete_child(Shard& shard, Established& established, ChildSaRecord& record, std::string reason) {
  if (!record.live()) return;
  record.deleting = true;
  established.tasks.push_back({DeleteChildTask{record.sa->inbound_spi, std::move(reason)}, shard.time()});
}

void queue_delete_ike(Shard& shard, Established& established, ike::Failure reason) {
  if (!delete_ike_task(established))
    established.tasks.push_back({DeleteIkeTask{std::move(reason)}, shard.time()});
}

void queue_probe(Established& established) {
  if (!queued<ProbeTask>(established) && idle(established)) established.tasks.push_back({ProbeTask{}, {}});
}

void queue_notice(Shard& shard, Established& established, NoticeTask notice) {
  if (shard.time() < established.next_notice || queued<NoticeTask>(established))
    return shard.count(RarePath::kNoticeSuppressed);
  established.next_notice = shard.time() + kNoticeInterval;
  established.tasks.push_back({std::move(notice), {}});
}

bool carries(const Established& established, const ChildIntent& intent) {
  return std::any_of(established.children.begin(), established.children.end(),
                     [&](const ChildSaRecord& record) {
                       if (record.child_index != intent.child_index || !record.live() || record.replaced)
                         return false;
                       return !intent.packet ||
                              (policy::contains(record.sa->local_ts, std::span(&intent.packet->local, 1)) &&
                               policy::contains(record.sa->remote_ts, std::span(&intent.packet->remote, 1)));
                     });
}

static bool is_narrowed_away(Instant now, const Established& established, const ChildIntent& intent) {
  return intent.packet && std::ranges::any_of(established.narrowed_away, [&](const auto& one) {
           return one.child_index == intent.child_index && now < one.until;
         });
}

bool queue_new_child(Instant now, Established& established, ChildIntent intent) {
  if (carries(established, intent) || is_narrowed_away(now, established, intent)) return false;
  // One more beside others (RFC 9611) is not what is asked for: without those it is never made.
  const auto same = [&](const ChildIntent& one) {
    return !one.additional && one.child_index == intent.child_index;
  };
  for (const auto& task : established.tasks)
    if (const auto* create = std::get_if<NewChildTask>(&task.what); create && same(create->intent))
      return true;
  if (const auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
      own && same((*own)->intent))
    return true;
  established.tasks.push_back({NewChildTask{std::move(intent), 0, KeMethod::kNone, false}, {}});
  return true;
}

}  // namespace merlon::ikev2
