#include "esp/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "esp/children.h"
#include "esp/pointer_table.h"
#include "esp/worker.h"
#include "wire/esp.h"

namespace merlon::esp {

// The control side's books: what is published, by whose name, and who keeps it alive.
class DataPlane::Impl {
 public:
  Impl(const EngineConfig& config, std::span<const WorkerResources> workers)
      : config_(config), published_(config.sa_capacity, workers.size()), children_(published_.grace) {
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
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  Result<> install(const policy::ChildSa& sa);
  Result<> update(const policy::ChildSa& sa);
  Result<> remove(policy::ChildSaId id);
  void set_spd(std::shared_ptr<const policy::Spd> spd);
  std::optional<SaStats> stats(policy::ChildSaId id) const;

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
  struct ById {
    using Key = policy::ChildSaId;
    static Key key_of(const SaMaterial& material) { return material.inbound.id; }
    static std::uint64_t hash_of(Key id) { return id.value * 0x9e3779b97f4a7c15U >> 20U; }
  };
  PointerTable<SaMaterial, ById> sas_;  // its own, until they are retired
  Children children_;

 private:
  [[nodiscard]] SaParameters parameters_of(Spi inbound_spi) const {
    return {config_.first_sequence, config_.default_path_mtu, owner_of(inbound_spi, seats_.size())};
  }
  void inherit_path_mtu(SaMaterial& material);
  template <class Sa>
  void retire_moved(const Sa& sa, const Sa& first);

  std::shared_ptr<const SpdSnapshot> spd_;
  std::size_t next_reporter_ = 0;  // whose events are read next
};

// What is taken back goes with `published_`.
DataPlane::Impl::~Impl() {
  std::vector<policy::ChildSaId> ids;
  sas_.for_each([&](const SaMaterial& material) { ids.push_back(material.inbound.id); });
  for (const policy::ChildSaId id : ids) (void)remove(id);
}

// What was published first stands in the material and goes with it.
template <class Sa>
void DataPlane::Impl::retire_moved(const Sa& sa, const Sa& first) {
  if (&sa != &first) published_.grace.published(std::shared_ptr<const Sa>(&sa));
}

// A rekeyed SA goes the way of the one before, and need not learn anew what fits.
void DataPlane::Impl::inherit_path_mtu(SaMaterial& material) {
  const OutboundSa* before =
      material.outbound_state.rules->child->entry.outbound.predecessor(material.outbound);
  if (before == nullptr) return;
  material.outbound_state.path_mtu.store(before->state().path_mtu.load(std::memory_order_relaxed),
                                         std::memory_order_relaxed);
}

Result<> DataPlane::Impl::install(const policy::ChildSa& sa) {
  if (!sa.connection || sa.child_index >= sa.connection->children.size()) {
    return fail(ErrorCode::kInvalidArgument, "Child SA {} names no child of a connection", sa.id.value);
  }
  if (sas_.find(sa.id) != nullptr) {
    return fail(ErrorCode::kInvalidArgument, "Child SA {} is installed already", sa.id.value);
  }
  if (sa.inbound_spi < wire::kFirstUsableSpi || sa.outbound_spi < wire::kFirstUsableSpi) {  // RFC 4303 2.1
    return fail(ErrorCode::kInvalidArgument, "Child SA {}: SPIs below 256 are reserved", sa.id.value);
  }
  if (published_.inbound.has_sa(sa.inbound_spi)) {
    return fail(ErrorCode::kInvalidArgument, "inbound SPI {} is in use", sa.inbound_spi);
  }
  if (sas_.size() >= config_.sa_capacity) {
    return fail(ErrorCode::kExhausted, "all {} places for SAs are in use", config_.sa_capacity);
  }
  const SaParameters parameters = parameters_of(sa.inbound_spi);
  if (sa.resource && *sa.resource % seats_.size() != parameters.owner.value) {
    return fail(ErrorCode::kInvalidArgument,
                "Child SA {} is for resource {}, so for worker {}, but inbound SPI {} is worker {}'s",
                sa.id.value, *sa.resource, *sa.resource % seats_.size(), sa.inbound_spi,
                parameters.owner.value);
  }
  SaRules& rules = children_.rules_for(sa);
  auto made = make_material(sa, parameters, rules);
  if (!made) {
    children_.release(rules);
    return tl::unexpected(std::move(made.error()));
  }
  SaMaterial& material = *made->release();
  inherit_path_mtu(material);
  sas_.insert(material);
  // Inbound first: the peer's answer to our first packet must find its SA.
  published_.inbound.publish(material.inbound);
  rules.child->entry.outbound.insert(material.outbound, published_.grace);
  return {};
}

Result<> DataPlane::Impl::update(const policy::ChildSa& sa) {
  SaMaterial* const material = sas_.find(sa.id);
  if (material == nullptr) return fail(ErrorCode::kNotFound, "there is no Child SA {}", sa.id.value);
  OutboundSet& set = material->outbound_state.rules->child->entry.outbound;
  const OutboundSa& outbound = set.find(*material);
  const InboundSa& inbound = *published_.inbound.publish(*moved(material->inbound, sa.path).release());
  set.replace(outbound, *moved(outbound, sa.path, sa.use_outbound).release(), published_.grace);
  retire_moved(inbound, material->inbound);
  retire_moved(outbound, material->outbound);
  return {};
}

Result<> DataPlane::Impl::remove(policy::ChildSaId id) {
  SaMaterial* const material = sas_.find(id);
  if (material == nullptr) return fail(ErrorCode::kNotFound, "there is no Child SA {}", id.value);
  sas_.erase(*material);
  const SaRules& rules = *material->outbound_state.rules;
  OutboundSet& set = rules.child->entry.outbound;
  const OutboundSa& outbound = set.find(*material);
  set.erase(outbound, published_.grace);
  const InboundSa& inbound = *published_.inbound.erase(material->inbound.spi);
  retire_moved(inbound, material->inbound);
  retire_moved(outbound, material->outbound);
  published_.grace.published(std::shared_ptr<const SaMaterial>(material));
  children_.release(rules);
  return {};
}

void DataPlane::Impl::set_spd(std::shared_ptr<const policy::Spd> spd) {
  MERLON_ASSERT(spd != nullptr);
  children_.forget_spd();
  auto snapshot = std::make_shared<SpdSnapshot>();
  snapshot->children.reserve(spd->entries().size());
  for (const policy::SpdEntry& entry : spd->entries()) {
    const ChildEntry* child_entry = nullptr;
    if (entry.action == policy::ChildAction::kProtect) {
      Child& child = children_.of(entry.connection, static_cast<std::uint32_t>(entry.child_index));
      child.in_spd = true;
      child_entry = &child.entry;
    }
    snapshot->children.push_back(child_entry);
  }
  snapshot->spd = std::move(spd);
  published_.spd.store(snapshot.get(), std::memory_order_seq_cst);
  published_.grace.published(std::exchange(spd_, std::move(snapshot)));
  children_.sweep();
}

std::optional<SaStats> DataPlane::Impl::stats(policy::ChildSaId id) const {
  const SaMaterial* const material = sas_.find(id);
  if (material == nullptr) return std::nullopt;
  const OutboundSa& outbound = material->outbound_state.rules->child->entry.outbound.find(*material);
  SaStats stats;
  stats.inbound = material->inbound_state.counters.totals();
  stats.outbound = material->outbound_state.counters.totals();
  // Each packet takes one number, so the worker's own count need not be read across threads.
  stats.next_outbound_sequence.value = config_.first_sequence + stats.outbound.packets;
  const std::uint32_t path_mtu = material->outbound_state.path_mtu.load(std::memory_order_relaxed);
  stats.path_mtu = std::max(path_mtu, static_cast<std::uint32_t>(outbound.sizes.mtu_floor()));
  stats.inner_mtu = static_cast<unsigned>(outbound.sizes.inner_mtu(path_mtu));
  stats.owner = outbound.owner;
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
  SaMaterial* const material = impl_->sas_.find(id);
  if (material == nullptr) return;
  material->outbound_state.path_mtu.store(mtu == 0 ? impl_->config_.default_path_mtu : mtu,
                                          std::memory_order_relaxed);
}

std::optional<SaStats> DataPlane::stats(policy::ChildSaId id) const {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->stats(id);
}
std::vector<policy::ChildSaId> DataPlane::installed() const {
  const std::lock_guard lock(impl_->mutex_);
  std::vector<policy::ChildSaId> ids;
  impl_->sas_.for_each([&](const SaMaterial& material) { ids.push_back(material.inbound.id); });
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
