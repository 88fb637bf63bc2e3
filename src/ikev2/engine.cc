#include "ikev2/engine.h"

#include "ikev2/shard.h"

namespace merlon::ikev2 {

class Engine::Impl : public Shard {
 public:
  using Shard::Shard;
};

Engine::Engine(EngineOptions options, Rng& rng, ike::SpiAllocator& spis)
    : impl_(std::make_unique<Impl>(options, rng, spis)) {}
Engine::~Engine() = default;

void Engine::configure(Now now, std::vector<policy::ConnectionPtr> connections,
                       std::shared_ptr<const ike::Credentials> credentials) {
  impl_->configure(now, std::move(connections), std::move(credentials));
}
void Engine::receive(Now now, const ike::Datagram& datagram) {
  impl_->receive(now, datagram);
}
void Engine::complete(Now now, ike::Answer answer) {
  impl_->complete(now, std::move(answer));
}
void Engine::report(Now now, const ike::DataPlaneReport& report) {
  impl_->report(now, report);
}
void Engine::advance(Now now) {
  impl_->advance(now);
}
Instant Engine::next_deadline() const {
  return impl_->next_deadline();
}

Result<Begun> Engine::initiate(Now now, const std::string& connection, const Endpoint& local,
                               const Endpoint& remote, std::span<const std::string> children) {
  return impl_->initiate(now, connection, local, remote, children);
}
Result<Begun> Engine::acquire(Now now, const std::string& connection, const std::string& child,
                              const Endpoint& local, const Endpoint& remote,
                              std::optional<TriggeringPacket> packet) {
  std::optional<TriggeredBy> triggered;
  if (packet) triggered = TriggeredBy{packet->local, packet->remote};
  return impl_->acquire(now, connection, child, local, remote, std::move(triggered));
}
Result<> Engine::terminate(Now now, const std::string& connection, const std::string& child) {
  return impl_->terminate(now, connection, child);
}
Result<> Engine::rekey_ike_sa(Now now, const std::string& connection) {
  return impl_->rekey_ike_sa(now, connection);
}
Result<> Engine::rekey_child_sa(Now now, const std::string& connection, const std::string& child) {
  return impl_->rekey_child_sa(now, connection, child);
}
Result<> Engine::probe_path(Now now, const IpAddress& remote, unsigned datagram_size) {
  return impl_->probe_path(now, remote, datagram_size);
}

std::vector<ike::PathProbed> Engine::drain_path_probes() {
  return impl_->drain_path_probes();
}

void Engine::unknown_spi(Now now, const Endpoint& source, bool udp_encapsulated, Spi spi) {
  impl_->unknown_spi(now, source, udp_encapsulated, spi);
}
void Engine::selectors_violated(Now now, policy::ChildSaId child_sa, ByteView packet_start) {
  impl_->selectors_violated(now, child_sa, packet_start);
}
void Engine::check_paths(Now now) {
  impl_->check_paths(now);
}
void Engine::shut_down(Now now) {
  impl_->shut_down(now);
}
bool Engine::idle() const {
  return impl_->idle();
}
void Engine::trace(const std::string& connection, bool messages, bool keys) {
  impl_->trace(connection, messages, keys);
}
std::vector<ike::Action> Engine::drain() {
  return impl_->drain();
}
std::vector<ike::IkeSaStatus> Engine::status() const {
  return impl_->status();
}
const ike::Counters& Engine::counters() const {
  return impl_->counters();
}
std::size_t Engine::ike_sa_count() const {
  return impl_->ike_sa_count();
}
std::size_t Engine::half_open_count() const {
  return impl_->half_open_count();
}
std::size_t Engine::lingering_count() const {
  return impl_->lingering_count();
}
std::size_t Engine::memory_used() const {
  return impl_->memory_used();
}

}  // namespace merlon::ikev2
