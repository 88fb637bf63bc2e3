// What comes in to the control thread: IKE messages, mail from the data workers, network changes, time.
#include <algorithm>

#include "base/overloaded.h"
#include "daemon/gateway.h"
#include "io/system_clock.h"

namespace merlon::daemon {
namespace {

constexpr std::size_t kLargestDatagram = 65535;
constexpr unsigned kTicksPerSecond = 4;
constexpr unsigned kPathMtuMaxAgeSeconds = 600;  // then a larger one is tried again (RFC 8201 4)
constexpr unsigned kGuardCheckSeconds = 5;

// Ours is not to be touched by others, but some flush whole tables, or take our device down and so its routes away.
bool concerns_ours(const io::NetlinkChange& change, int tun_index) {
  using Kind = io::NetlinkChange::Kind;
  return change.kind == Kind::kOwnRouteRemoved || change.kind == Kind::kRuleRemoved ||
         (change.kind == Kind::kLinkChanged && change.link_index == tun_index);
}

}  // namespace

void Gateway::wait_readable(asio::posix::stream_descriptor& descriptor, void (Gateway::*handler)()) {
  descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                        [this, &descriptor, handler](const asio::error_code& error) {
                          if (error) return;
                          (this->*handler)();
                          if (descriptor.is_open()) wait_readable(descriptor, handler);
                        });
}

void Gateway::read_ike(IpFamily family) {
  io::UdpSocket& socket = *sockets_.ike(family);
  static thread_local std::vector<Bytes> buffers(16, Bytes(kLargestDatagram));
  std::array<io::ReceivedDatagram, 16> slots;
  for (std::size_t i = 0; i < slots.size(); ++i) slots[i].buffer = buffers[i];
  const auto count = socket.receive_burst(slots);
  for (std::size_t i = 0; i < count.value_or(0); ++i) {
    if (slots[i].truncated) continue;
    engine_->receive(io::system_now(), {slots[i].destination, slots[i].source, false, slots[i].payload});
    pump();  // what follows from one message happens before the next
  }
  for (int i = 0; i < 32 && socket.read_error(); ++i)
    continue;  // an unproven ICMP error only empties the queue
}

void Gateway::read_mail() {
  for (const Mail& mail : mailbox_->take_all())
    std::visit(
        Overloaded{
            [this](const IkeMessageArrived& message) {
              engine_->receive(io::system_now(),
                               {message.local, message.remote, message.natt, message.payload});
              pump();
            },
            [this](const PathTooSmall& report) { path_too_small(report); },
            [this](const SegmentsRefused& report) {
              // Of many such ways a socket forgets the oldest, and tells of it again.
              log_.limited(
                  io::monotonic_now(),
                  fmt::format(
                      "the way to {} does not take several ESP packets in one send ({}): one by one now",
                      report.destination, std::generic_category().message(report.error_number)));
            }},
        mail);
  read_data_plane_events();
  pump();
}

void Gateway::read_network_changes() {
  bool relevant = false;
  for (;;) {
    const auto changes = monitor_->read_changes();
    if (!changes || (changes->changes.empty() && !changes->resync)) break;
    relevant |= changes->resync;
    network_in_doubt_ |= changes->resync;
    for (const io::NetlinkChange& change : changes->changes) {
      const bool ours = concerns_ours(change, tun_queues_.front().index());
      network_in_doubt_ |= ours;
      relevant |= !ours && change.link_index != tun_queues_.front().index();
    }
  }
  if (!relevant) return;
  look_at_paths_again();
  network_dirty_ =
      true;  // addresses that routes prefer as source may have come or gone; once a second is enough
}

void Gateway::arm_timer() {
  const Instant next = std::min(engine_->next_deadline(), supervisor_.next_deadline());
  if (next == kNever) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(next.time_since_epoch()));
  timer_.async_wait([this](const asio::error_code& error) {
    if (error) return;
    const Now now = io::system_now();
    engine_->advance(now);
    supervisor_.advance(now);
    pump();
  });
}

void Gateway::every_tick() {
  tick_.expires_after(std::chrono::milliseconds(1000 / kTicksPerSecond));
  tick_.async_wait([this](const asio::error_code& error) {
    if (error) return;
    ++ticks_;
    report_looks_ = 0;
    if (workers_->has_lost_tun() && broken_)
      return broken_(fmt::format("somebody has removed the device {}", tun_queues_.front().name()));
    watch_workers();
    workers_->data_plane().reclaim();  // keys of SAs that were removed while a worker was busy
    read_data_plane_events();
    ask_paths();
    if (ticks_ % kTicksPerSecond == 0) {
      edge_drops_->look();
      report_inbound();
      look_at_network();
    }
    if (ticks_ % (kTicksPerSecond * kPathMtuMaxAgeSeconds) == 0) {
      look_at_paths_again();
      for (const auto& [id, sa] : child_sas_) set_path_mtu(*sa);
    }
    pump();
    if (stop_deadline_ != kNever && io::monotonic_now() >= stop_deadline_) return finish_shut_down();
    every_tick();
  });
}

void Gateway::look_at_network() {
  if (ticks_ % (kTicksPerSecond * kGuardCheckSeconds) == 0 && network_->guard_is_gone()) {
    log_.warning("somebody has removed the nftables guard: it is put in place again");
    network_in_doubt_ = true;
  }
  const bool dirty = network_dirty_;
  if (network_in_doubt_) network_->doubt();
  if (dirty || network_in_doubt_) apply_network();
  if (!dirty) return;
  const Now now = io::system_now();
  for (const auto& [id, sa] : child_sas_) set_path_mtu(*sa);
  engine_->check_paths(now);
  supervisor_.network_changed(now);
}

void Gateway::read_data_plane_events() {
  while (const auto event = workers_->data_plane().next_event()) handle(*event);
}

void Gateway::handle(const esp::Event& event) {
  const Now now = io::system_now();
  std::visit(
      Overloaded{
          [&](const esp::SoftExpired& e) { engine_->report(now, ike::ChildSaSoftExpired{e.sa}); },
          [&](const esp::HardExpired& e) { engine_->report(now, ike::ChildSaHardExpired{e.sa}); },
          [&](const esp::Acquire& e) {
            const auto [local, remote] = policy::selectors_of_packet(e.packet, policy::Direction::kOutbound);
            supervisor_.acquire(now, e.connection->name, e.connection->children[e.child_index].name,
                                ike::TriggeringPacket{local, remote});
          },
          [&](const esp::PeerMoved& e) {
            engine_->report(now, ike::ChildSaPeerMoved{e.sa, e.remote});
          },
          [&](const esp::FirstInbound& e) {
            engine_->report(now, ike::ChildSaInbound{e.sa, now.monotonic});
          },
          [&](const esp::UnknownSpi& e) {
            log_.limited(now.monotonic,
                         fmt::format("ESP from {} with SPI {}, which we do not have", e.source, e.spi));
            engine_->unknown_spi(now, e.source, e.udp_encapsulated, e.spi);
          },
          [&](const esp::Audit& e) {
            // A packet that no policy wanted never had an SA; its own addresses stand in the record.
            const std::string what = e.sa.value == 0 && e.sequence == 0
                                         ? fmt::format("packet from {} to {}", e.source, e.destination)
                                         : fmt::format("ESP from {} with SPI {} and sequence number {}",
                                                       e.source, e.spi, e.sequence);
            log_.limited(now.monotonic, fmt::format("audit: {} dropped: {}", what, esp::name(e.reason)));
            if (e.reason == esp::DropReason::kSelectorMismatch && e.sa.value != 0)
              engine_->selectors_violated(now, e.sa, e.packet.bytes());
          },
      },
      event);
}

// Authenticated traffic proves that the peer lives (RFC 7296 2.4), so the engine need not ask.
void Gateway::report_inbound() {
  const Now now = io::system_now();
  for (const auto& [id, sa] : child_sas_) {
    const auto stats = workers_->data_plane().stats(id);
    if (stats && stats->inbound.last_used != kNever &&
        now.monotonic - stats->inbound.last_used < std::chrono::seconds(2))
      engine_->report(now, ike::ChildSaInbound{id, stats->inbound.last_used});
  }
}

}  // namespace merlon::daemon
