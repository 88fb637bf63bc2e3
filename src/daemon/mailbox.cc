#include "daemon/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace merlon::daemon {

Result<std::unique_ptr<Mailbox>> Mailbox::open() {
  auto box = std::make_unique<Mailbox>();
  box->event_ = io::Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!box->event_) return fail(ErrorCode::kSystem, "eventfd: {}", std::generic_category().message(errno));
  return box;
}

bool Mailbox::post(Mail mail) {
  {
    const std::lock_guard lock(mutex_);
    const bool kept = std::visit([this](auto& piece) { return keep(std::move(piece)); }, mail);
    if (!kept) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
  }
  const std::uint64_t one = 1;
  // The counter can only overflow after 2^64 - 2 posts: a short write cannot happen.
  [[maybe_unused]] const auto written = write(event_.get(), &one, sizeof one);
  return true;
}

bool Mailbox::keep(IkeMessageArrived message) {
  if (messages_.size() >= kMaxMessages || message_bytes_ + message.payload.size() > kMaxMessageBytes)
    return false;
  message_bytes_ += message.payload.size();
  messages_.emplace_back(std::move(message));
  return true;
}

bool Mailbox::keep(const PathTooSmall& report) {
  const auto at = paths_.find(report.destination);
  if (at == paths_.end()) {
    if (paths_.size() >= kMaxPaths) return false;
    paths_.emplace(report.destination, report.mtu);
  } else if (report.mtu != 0 && (at->second == 0 || report.mtu < at->second)) {
    at->second = report.mtu;
  }
  return true;
}

bool Mailbox::keep(const SegmentsRefused& report) {
  if (refusals_.size() >= kMaxPaths && !refusals_.contains(report.destination)) return false;
  refusals_[report.destination] = report.error_number;
  return true;
}

std::deque<Mail> Mailbox::take_all() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = read(event_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  std::deque<Mail> out = std::exchange(messages_, {});
  message_bytes_ = 0;
  for (const auto& [destination, mtu] : std::exchange(paths_, {}))
    out.emplace_back(PathTooSmall{destination, mtu});
  for (const auto& [destination, error_number] : std::exchange(refusals_, {}))
    out.emplace_back(SegmentsRefused{destination, error_number});
  return out;
}

}  // namespace merlon::daemon
