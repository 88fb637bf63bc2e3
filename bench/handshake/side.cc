#include "bench/handshake/side.h"

#include <ctime>

#include "base/overloaded.h"
#include "bench/trouble.h"

namespace merlon::bench {
namespace {

double thread_cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// What looking at the clock twice costs by itself.
double clock_cost_s() {
  static const double cost = [] {
    double least = 1;
    for (int i = 0; i < 1000; ++i) {
      const double begin = thread_cpu_s();
      least = std::min(least, thread_cpu_s() - begin);
    }
    return least;
  }();
  return cost;
}

// Adds the CPU time of its life.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total), begin_(thread_cpu_s()) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { total_ += thread_cpu_s() - begin_ - clock_cost_s(); }

 private:
  double& total_;
  double begin_;
};

esp::EngineConfig config_for(std::size_t sas) {
  esp::EngineConfig config;
  config.sa_capacity = sas + 64;
  return config;
}

}  // namespace

Side::Side(Owner owner, std::size_t sas)
    : owner_(owner),
      rng_(static_cast<std::uint64_t>(owner)),
      pool_(64, 2048),
      data_plane_(config_for(sas), pool_, rng_) {
  const Under under(owner_);
  engine_ = std::make_unique<ikev2::Engine>(ikev2::EngineOptions{}, rng_, *this);
}

void Side::configure(Now now, std::vector<policy::ConnectionPtr> connections,
                     std::shared_ptr<const ike::Credentials> credentials) {
  const Under under(owner_);
  engine_->configure(now, std::move(connections), std::move(credentials));
  Wire none;
  carry_out(now, none);
}

void Side::initiate(Now now, const std::string& connection, const Endpoint& local, const Endpoint& remote,
                    Wire& wire) {
  const Under under(owner_);
  const Stopwatch running(cpu_s_);
  if (!engine_->initiate(now, connection, local, remote, {})) give_up("the initiator does not begin");
  carry_out(now, wire);
}

void Side::receive(Now now, const ike::Transmit& sent, Wire& wire) {
  const Under under(owner_);
  const Stopwatch running(cpu_s_);
  engine_->receive(now, {sent.remote, sent.local, sent.natt, sent.payload});
  carry_out(now, wire);
}

void Side::advance(Now now, Wire& wire) {
  const Under under(owner_);
  engine_->advance(now);
  carry_out(now, wire);
}

void Side::carry_out(Now now, Wire& wire) {
  for (;;) {
    std::vector<ike::Action> actions = engine_->drain();
    if (actions.empty()) return;
    for (ike::Action& action : actions) {
      std::visit(
          Overloaded{
              [&](ike::Transmit& one) {
                const Under nobody(Owner::kNobody);
                wire.push_back(ike::Transmit{one.local, one.remote, one.natt, Bytes(one.payload), false});
              },
              [&](ike::InstallChildSa& one) {
                const Under nobody(Owner::kNobody);  // the packet engine's memory is measured by "scale"
                if (!data_plane_.install(one.child_sa)) give_up("a Child SA is not taken");
              },
              [&](ike::UpdateChildSa&) { give_up("a Child SA changes"); },
              [&](ike::RemoveChildSa&) { give_up("a Child SA ends"); },
              [&](ike::RunKeyExchange& one) { engine_->complete(now, ike::run(one, rng_)); },
              [&](ike::SignRequest& one) { engine_->complete(now, ike::run(one)); },
              [&](ike::Event& one) {
                if (std::holds_alternative<ike::IkeSaEstablished>(one)) ++established_;
                if (const auto* failed = std::get_if<ike::NegotiationFailed>(&one))
                  give_up(failed->failure.sentence);
              },
              [](ike::TransmitKeepalive&) {},
          },
          action);
    }
  }
}

}  // namespace merlon::bench
