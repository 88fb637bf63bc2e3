#include "esp/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "esp/worker.h"
#include "wire/esp.h"

namespace merlon::esp {

// The control side's books: what is published, by whose name, and who keeps it alive.
class DataPlane::Impl {
 public:
  Impl(const EngineConfig& config, std::span<const WorkerResources> workers)
      : config_(config), published_(config.sa_capacity, workers.size()) {
    if (workers.size() > 1) {
      std::vector<packet::PacketPool*> pools;
      for (const WorkerResources& resources : workers) pools.push_back(resources.pool);
      field_.emplace(config.crossing_capacity, pools);
    }
    for (const WorkerResources& resources : workers)
      seats_.push_back(std::make_unique<Seat>(
          WorkerSite{config_, published_, *resources.pool, *resources.rng, field_ ? &*field_ : nullptr,
                     WorkerIndex{static_cast<std::uint8_t>(seats_.size())}}));
  }

  Result<> install(const policy::ChildSa& sa);
  Result<> update(const policy::ChildSa& sa);
  Result<> remove(policy::ChildSaId id);
  void set_spd(std::shared_ptr<const policy::Spd> spd);
  std::optional<SaStats> stats(policy::ChildSaId id) const;

  struct Record;
  // Children are known by name, so that a reload that does not change them does not touch their tunnels.
  using ChildKey = std::pair<std::string, std::string>;
  struct Child {
    explicit Child(std::uint64_t number) : entry(number) {}
    ChildEntry entry;
    std::shared_ptr<const OutboundSet> set;
    std::vector<Record*> sas;  // in the order of their installation
    bool in_spd = false;
  };
  struct Record {
    std::shared_ptr<SaMaterial> material;
    std::shared_ptr<const OutboundSa> outbound;
    Spi inbound_spi;
    ChildKey child_key;
    std::shared_ptr<Child> child;
    bool use_outbound = true;
    std::optional<std::uint8_t> worker;  // ChildSa::worker
  };

  [[nodiscard]] WorkerStats worker_stats(WorkerIndex index) const;
  [[nodiscard]] std::optional<Event> next_event();

  struct Seat {
    explicit Seat(const WorkerSite& site) : core(site), worker(core) {}
    WorkerCore core;
    Worker worker;
  };

  const EngineConfig config_;
  Published published_;
  std::optional<CrossingField> field_;        // with several workers
  std::vector<std::unique_ptr<Seat>> seats_;  // the workers', in order

  mutable std::mutex mutex_;  // orders the control threads
  std::unordered_map<policy::ChildSaId, std::unique_ptr<Record>> records_;

 private:
  [[nodiscard]] SaParameters parameters_of(Spi inbound_spi) const {
    return {config_.sequence_limit, config_.first_sequence, config_.default_path_mtu,
            owner_of(inbound_spi, seats_.size())};
  }
  std::shared_ptr<Child> child_of(const ChildKey& key);
  static void inherit_path_mtu(Record& record);
  void publish_outbound(Child& child);
  void forget_if_unused(const ChildKey& key);

  std::map<ChildKey, std::shared_ptr<Child>> children_;
  std::shared_ptr<const SpdSnapshot> spd_;
  std::uint64_t last_child_number_ = 0;
  std::size_t next_reporter_ = 0;  // whose events are read next
};

std::shared_ptr<DataPlane::Impl::Child> DataPlane::Impl::child_of(const ChildKey& key) {
  std::shared_ptr<Child>& child = children_[key];
  if (!child) child = std::make_shared<Child>(++last_child_number_);
  return child;
}

void DataPlane::Impl::publish_outbound(Child& child) {
  auto set = std::make_shared<OutboundSet>();
  for (auto at = child.sas.rbegin(); at != child.sas.rend(); ++at)
    if ((*at)->use_outbound) set->add((*at)->outbound);
  child.entry.outbound.store(set.get(), std::memory_order_seq_cst);
  published_.grace.published(std::exchange(child.set, std::move(set)));
}

void DataPlane::Impl::forget_if_unused(const ChildKey& key) {
  const auto at = children_.find(key);
  if (at == children_.end() || at->second->in_spd || !at->second->sas.empty()) return;
  published_.grace.published(at->second);
  children_.erase(at);
}

// A rekeyed SA goes the way of the one before, and need not learn anew what fits.
void DataPlane::Impl::inherit_path_mtu(Record& record) {
  for (auto at = record.child->sas.rbegin(); at != record.child->sas.rend(); ++at) {
    if ((*at)->outbound->remote.address != record.outbound->remote.address) continue;
    record.material->outbound_state.path_mtu.store(
        (*at)->material->outbound_state.path_mtu.load(std::memory_order_relaxed), std::memory_order_relaxed);
    return;
  }
}

Result<> DataPlane::Impl::install(const policy::ChildSa& sa) {
  if (!sa.connection || sa.child_index >= sa.connection->children.size()) {
    return fail(ErrorCode::kInvalidArgument, "Child SA {} names no child of a connection", sa.id.value);
  }
  if (records_.contains(sa.id)) {
    return fail(ErrorCode::kInvalidArgument, "Child SA {} is installed already", sa.id.value);
  }
  if (sa.inbound_spi < wire::kFirstUsableSpi || sa.outbound_spi < wire::kFirstUsableSpi) {  // RFC 4303 2.1
    return fail(ErrorCode::kInvalidArgument, "Child SA {}: SPIs below 256 are reserved", sa.id.value);
  }
  if (published_.inbound.has_sa(sa.inbound_spi)) {
    return fail(ErrorCode::kInvalidArgument, "inbound SPI {} is in use", sa.inbound_spi);
  }
  if (records_.size() >= config_.sa_capacity) {
    return fail(ErrorCode::kExhausted, "all {} places for SAs are in use", config_.sa_capacity);
  }
  const SaParameters parameters = parameters_of(sa.inbound_spi);
  if (sa.worker && *sa.worker != parameters.owner.value) {
    return fail(ErrorCode::kInvalidArgument,
                "Child SA {} is for worker {}, but inbound SPI {} is worker {}'s", sa.id.value, *sa.worker,
                sa.inbound_spi, parameters.owner.value);
  }
  auto record = std::make_unique<Record>();
  MERLON_TRY(record->material, make_material(sa, parameters));
  record->outbound = make_outbound(sa, parameters, *record->material);
  record->inbound_spi = sa.inbound_spi;
  record->child_key = {sa.connection->name, sa.child().name};
  record->use_outbound = sa.use_outbound;
  record->worker = sa.worker;
  record->child = child_of(record->child_key);
  inherit_path_mtu(*record);
  record->child->sas.push_back(record.get());
  // Inbound first: the peer's answer to our first packet must find its SA.
  published_.inbound.publish(make_inbound(sa, parameters, *record->material));
  publish_outbound(*record->child);
  records_.emplace(sa.id, std::move(record));
  return {};
}

Result<> DataPlane::Impl::update(const policy::ChildSa& sa) {
  const auto at = records_.find(sa.id);
  if (at == records_.end()) return fail(ErrorCode::kNotFound, "there is no Child SA {}", sa.id.value);
  Record& record = *at->second;
  policy::ChildSa next;  // what may change is taken from `sa`, everything else is as it was
  next.id = sa.id;
  next.connection = record.material->rules.connection;
  next.child_index = record.material->rules.child_index;
  next.inbound_spi = record.inbound_spi;
  next.outbound_spi = record.outbound->spi;
  next.algorithms = record.material->algorithms;
  next.path = sa.path;
  record.use_outbound = sa.use_outbound;
  next.worker = record.worker;
  const SaParameters parameters = parameters_of(record.inbound_spi);
  record.outbound = make_outbound(next, parameters, *record.material);
  published_.inbound.publish(make_inbound(next, parameters, *record.material));
  publish_outbound(*record.child);
  return {};
}

Result<> DataPlane::Impl::remove(policy::ChildSaId id) {
  const auto at = records_.find(id);
  if (at == records_.end()) return fail(ErrorCode::kNotFound, "there is no Child SA {}", id.value);
  const std::unique_ptr<Record> record = std::move(at->second);
  records_.erase(at);
  std::erase(record->child->sas, record.get());
  publish_outbound(*record->child);
  published_.inbound.erase(record->inbound_spi);
  record->outbound.reset();
  published_.grace.published(std::move(record->material));
  forget_if_unused(record->child_key);
  return {};
}

void DataPlane::Impl::set_spd(std::shared_ptr<const policy::Spd> spd) {
  MERLON_ASSERT(spd != nullptr);
  for (auto& [key, child] : children_) child->in_spd = false;
  auto snapshot = std::make_shared<SpdSnapshot>();
  for (const policy::SpdEntry& entry : spd->entries()) {
    std::shared_ptr<const ChildEntry> child_entry;
    if (entry.action == policy::ChildAction::kProtect) {
      const auto child =
          child_of({entry.connection->name, entry.connection->children[entry.child_index].name});
      child->in_spd = true;
      child_entry = std::shared_ptr<const ChildEntry>(child, &child->entry);
    }
    snapshot->children.push_back(std::move(child_entry));
  }
  snapshot->spd = std::move(spd);
  published_.spd.store(snapshot.get(), std::memory_order_seq_cst);
  published_.grace.published(std::exchange(spd_, std::move(snapshot)));
  std::vector<ChildKey> keys;
  for (const auto& [key, child] : children_) keys.push_back(key);
  for (const ChildKey& key : keys) forget_if_unused(key);
}

std::optional<SaStats> DataPlane::Impl::stats(policy::ChildSaId id) const {
  const auto at = records_.find(id);
  if (at == records_.end()) return std::nullopt;
  const Record& record = *at->second;
  SaStats stats;
  stats.inbound = record.material->inbound_state.counters.totals();
  stats.outbound = record.material->outbound_state.counters.totals();
  // Each packet takes one number, so the worker's own count need not be read across threads.
  stats.next_outbound_sequence.value = config_.first_sequence + stats.outbound.packets;
  const std::uint32_t path_mtu = record.material->outbound_state.path_mtu.load(std::memory_order_relaxed);
  stats.path_mtu = std::max<unsigned>(path_mtu, record.outbound->sizes.mtu_floor);
  stats.inner_mtu = static_cast<unsigned>(record.outbound->sizes.inner_mtu(path_mtu));
  stats.owner = record.outbound->owner;
  return stats;
}

WorkerStats DataPlane::Impl::worker_stats(WorkerIndex index) const {
  WorkerStats stats;
  stats.sas = published_.inbound.owners().in_use(index);
  if (const CrossingEnd* crossing = std::as_const(seats_[index.value]->core).crossing()) {
    stats.crossed_out = crossing->counters().sent.load(std::memory_order_relaxed);
    stats.crossed_in = crossing->counters().taken.load(std::memory_order_relaxed);
    stats.crossing_refused = crossing->counters().refused.load(std::memory_order_relaxed);
  }
  return stats;
}

// One of each worker in its turn: none of them can fill the others' rings by keeping us busy.
std::optional<Event> DataPlane::Impl::next_event() {
  for (std::size_t tried = 0; tried < seats_.size(); ++tried) {
    next_reporter_ = next_reporter_ + 1 >= seats_.size() ? 0 : next_reporter_ + 1;
    if (auto event = seats_[next_reporter_]->core.reporter().events().pop()) return event;
  }
  return std::nullopt;
}

DataPlane::DataPlane(const EngineConfig& config, packet::PacketPool& pool, Rng& worker_rng)
    : DataPlane(config, std::array{WorkerResources{&pool, &worker_rng}}) {}
DataPlane::DataPlane(const EngineConfig& config, std::span<const WorkerResources> workers)
    : impl_(std::make_unique<Impl>(config, workers)) {}
DataPlane::~DataPlane() = default;

Worker& DataPlane::worker(WorkerIndex index) {
  return impl_->seats_[index.value]->worker;
}
std::size_t DataPlane::worker_count() const {
  return impl_->seats_.size();
}

Result<Spi> DataPlane::allocate_spi(Rng& rng, std::optional<WorkerIndex> owner) {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->published_.inbound.allocate_spi(rng, owner);
}
WorkerIndex DataPlane::owner(Spi inbound_spi) const {
  return owner_of(inbound_spi, impl_->seats_.size());
}
void DataPlane::release_spi(Spi spi) {
  const std::lock_guard lock(impl_->mutex_);
  impl_->published_.inbound.release_spi(spi);
}
Result<> DataPlane::install(const policy::ChildSaPtr& sa) {
  const std::lock_guard lock(impl_->mutex_);
  auto result = impl_->install(*sa);
  impl_->published_.grace.reclaim();
  return result;
}
Result<> DataPlane::update(const policy::ChildSaPtr& sa) {
  const std::lock_guard lock(impl_->mutex_);
  auto result = impl_->update(*sa);
  impl_->published_.grace.reclaim();
  return result;
}
Result<> DataPlane::remove(policy::ChildSaId id) {
  const std::lock_guard lock(impl_->mutex_);
  auto result = impl_->remove(id);
  impl_->published_.grace.reclaim();
  return result;
}
void DataPlane::set_spd(std::shared_ptr<const policy::Spd> spd) {
  const std::lock_guard lock(impl_->mutex_);
  impl_->set_spd(std::move(spd));
  impl_->published_.grace.reclaim();
}

void DataPlane::set_path_mtu(policy::ChildSaId id, unsigned mtu) {
  const std::lock_guard lock(impl_->mutex_);
  const auto at = impl_->records_.find(id);
  if (at == impl_->records_.end()) return;
  at->second->material->outbound_state.path_mtu.store(mtu == 0 ? impl_->config_.default_path_mtu : mtu,
                                                      std::memory_order_relaxed);
}

std::optional<SaStats> DataPlane::stats(policy::ChildSaId id) const {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->stats(id);
}
std::vector<policy::ChildSaId> DataPlane::installed() const {
  const std::lock_guard lock(impl_->mutex_);
  std::vector<policy::ChildSaId> ids;
  for (const auto& [id, record] : impl_->records_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  return ids;
}
std::uint64_t DataPlane::drops(DropReason reason) const {
  std::uint64_t sum = 0;
  for (const auto& seat : impl_->seats_) sum += std::as_const(seat->core).reporter().drops().get(reason);
  return sum;
}
WorkerStats DataPlane::worker_stats(WorkerIndex index) const {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->worker_stats(index);
}

std::optional<Event> DataPlane::next_event() {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->next_event();
}
std::size_t DataPlane::reclaim() {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->published_.grace.reclaim();
}

}  // namespace merlon::esp
