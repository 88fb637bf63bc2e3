#include "attacker.h"

#include <chrono>
#include <variant>

#include "policy/proposal.h"

namespace merlon::flood {
namespace {

const std::string kName = "attack";

Now time_now() {
  using namespace std::chrono;
  return {Instant(steady_clock::now().time_since_epoch()), floor<seconds>(system_clock::now())};
}

policy::ConnectionPtr connection(const IpAddress& gateway, std::size_t identity_size) {
  policy::Connection made;
  made.name = kName;
  made.remote_addresses = {gateway.to_string()};
  made.ike_proposals = policy::default_ike_proposals();
  policy::LocalAuth local;
  local.kind = policy::AuthKind::kPsk;
  local.id = {IdType::kKeyId, Bytes(identity_size, 'x')};
  made.local_auth.push_back(std::move(local));
  policy::RemoteAuth remote;
  remote.kind = policy::AuthKind::kPsk;
  made.remote_auth.push_back(std::move(remote));
  policy::ChildConfig child;
  child.name = kName;
  child.local_ts = child.remote_ts =
      policy::parse_traffic_selectors("10.0.0.0/8").value_or(policy::TrafficSelectors());
  child.proposals = policy::default_esp_proposals();
  made.children.push_back(std::move(child));
  return std::make_shared<const policy::Connection>(std::move(made));
}

std::shared_ptr<const ike::Credentials> credentials() {
  static constexpr std::uint8_t kGuess[] = {'g', 'u', 'e', 's', 's'};
  auto made = std::make_shared<ike::Credentials>();
  auto& of_attack = made->by_connection[kName];
  of_attack.local_psk = Secret::copy_of(kGuess);
  of_attack.remote_psk = Secret::copy_of(kGuess);
  return made;
}

}  // namespace

Attacker::Attacker(const IpAddress& source, const IpAddress& gateway, std::size_t identity_size,
                   std::uint64_t seed)
    : source_(source), gateway_(gateway), rng_(seed), engine_({}, rng_, spis_) {
  engine_.configure(time_now(), {connection(gateway, identity_size)}, credentials());
}

std::vector<Bytes> Attacker::begin() {
  (void)engine_.initiate(time_now(), kName, {source_, 500}, {gateway_, 500}, {});
  return take();
}

std::vector<Bytes> Attacker::hear(ByteView answer, const Endpoint& to) {
  engine_.receive(time_now(), {to, {gateway_, 500}, false, answer});
  return take();
}

std::vector<Bytes> Attacker::take() {
  std::vector<Bytes> messages;
  for (bool busy = true; busy;) {
    busy = false;
    for (auto& action : engine_.drain()) {
      busy = true;
      if (auto* transmit = std::get_if<ike::Transmit>(&action))
        messages.push_back(std::move(transmit->payload));
      if (const auto* exchange = std::get_if<ike::RunKeyExchange>(&action))
        engine_.complete(time_now(), ike::run(*exchange, rng_));
    }
  }
  return messages;
}

}  // namespace merlon::flood
