#include "esp/worker.h"

namespace merlon::esp {

WorkerCore::WorkerCore(const WorkerSite& site)
    : reporter_(site.config),
      outbound_(site.config, site.published, site.self, site.pool, site.rng, reporter_),
      inbound_(site.config, site.published, site.self, site.pool, reporter_) {
  if (site.field == nullptr) return;
  crossing_.emplace(*site.field, site.self, reporter_);
  outbound_.set_crossing(&*crossing_);
}

void WorkerCore::outbound(Instant now, packet::Burst& in, OutboundResult& out) {
  outbound_.process(now, in, out);
  if (crossing_) crossing_->flush();
}

void WorkerCore::inbound(Instant now, packet::Burst& in, InboundResult& out) {
  if (crossing_) crossing_->keep_own(in);
  inbound_.process(now, in, out);
  if (crossing_) crossing_->flush();
}

void WorkerCore::poll(Instant now, OutboundResult& out) {
  outbound_.poll(now, out);
  if (crossing_) crossing_->flush();
}

void WorkerCore::crossed(Instant now, OutboundResult& outbound, InboundResult& inbound) {
  if (!crossing_) return;
  crossing_->collect();
  // What was sent here is ours, unless the SA has changed hands meanwhile: then it goes on from here.
  if (crossing_->take(Crossing::kInbound, burst_)) inbound_.process(now, burst_, inbound);
  if (crossing_->take(Crossing::kOutbound, burst_)) outbound_.process(now, burst_, outbound);
  crossing_->flush();
}

void Worker::outbound(Instant now, packet::Burst& in, OutboundResult& out) {
  core_.outbound(now, in, out);
}
void Worker::inbound(Instant now, packet::Burst& in, InboundResult& out) {
  core_.inbound(now, in, out);
}
void Worker::poll(Instant now, OutboundResult& out) {
  core_.poll(now, out);
}
void Worker::crossed(Instant now, OutboundResult& outbound, InboundResult& inbound) {
  core_.crossed(now, outbound, inbound);
}
bool Worker::has_crossed() const {
  return core_.crossing() != nullptr && core_.crossing()->has_any();
}
std::uint64_t Worker::take_sent_to() {
  return core_.crossing() == nullptr ? 0 : core_.crossing()->take_sent_to();
}

}  // namespace merlon::esp
