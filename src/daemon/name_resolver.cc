#include "daemon/name_resolver.h"

#include <asio/post.hpp>
#include <deque>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace merlon::daemon {

// Shared with the threads that look up: they may outlive the resolver, and the context.
struct NameResolver::Core : std::enable_shared_from_this<NameResolver::Core> {
  Core(asio::io_context& of, Lookup how) : context(&of), lookup(std::move(how)) {}

  // On the context's thread.
  void start(const std::string& host);
  void answered(const std::string& host, const Addresses& addresses);
  // On a thread of its own.
  void look_up(const std::string& host);

  std::mutex mutex;           // of the next line
  asio::io_context* context;  // null: nobody waits any more
  const Lookup lookup;
  std::map<std::string, std::vector<Done>> awaited;  // each name that is looked up, or stands in line
  std::deque<std::string> line;
  unsigned running = 0;
};

void NameResolver::Core::start(const std::string& host) {
  ++running;
  try {
    std::thread([core = shared_from_this(), host] { core->look_up(host); }).detach();
  } catch (const std::system_error& error) {
    asio::post(*context, [core = shared_from_this(), host, why = std::string(error.what())] {
      core->answered(host, fail(ErrorCode::kExhausted, "there is no thread to look it up: {}", why));
    });
  }
}

void NameResolver::Core::look_up(const std::string& host) {
  auto addresses = std::make_shared<Addresses>(lookup(host));
  const std::lock_guard held(mutex);
  if (context == nullptr) return;
  asio::post(*context, [core = shared_from_this(), host, addresses] { core->answered(host, *addresses); });
}

void NameResolver::Core::answered(const std::string& host, const Addresses& addresses) {
  --running;
  if (context == nullptr) return;
  if (!line.empty()) {
    start(line.front());
    line.pop_front();
  }
  const auto waiting = awaited.extract(host);
  for (const Done& done : waiting.mapped()) done(addresses);
}

NameResolver::NameResolver(asio::io_context& context, Lookup lookup)
    : core_(std::make_shared<Core>(context, std::move(lookup))) {}

NameResolver::~NameResolver() {
  stop();
}

void NameResolver::ask(const std::string& host, Done done) {
  const auto [at, fresh] = core_->awaited.try_emplace(host);
  at->second.push_back(std::move(done));
  if (!fresh) return;
  if (core_->running < kLookups) {
    core_->start(host);
  } else {
    core_->line.push_back(host);
  }
}

void NameResolver::stop() {
  const std::lock_guard held(core_->mutex);
  core_->context = nullptr;
  core_->awaited.clear();
  core_->line.clear();
}

}  // namespace merlon::daemon
