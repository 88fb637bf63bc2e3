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
    if (mail_.size() >= kCapacity) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    mail_.push_back(std::move(mail));
  }
  const std::uint64_t one = 1;
  // The counter can only overflow after 2^64 - 2 posts: a short write cannot happen.
  [[maybe_unused]] const auto written = write(event_.get(), &one, sizeof one);
  return true;
}

std::deque<Mail> Mailbox::take_all() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = read(event_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  return std::exchange(mail_, {});
}

}  // namespace merlon::daemon
