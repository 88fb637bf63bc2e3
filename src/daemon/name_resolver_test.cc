#include "daemon/name_resolver.h"

#include <gtest/gtest.h>

#include <asio/executor_work_guard.hpp>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

namespace merlon::daemon {
namespace {

using namespace std::chrono_literals;

// DNS that keeps silent about some names until told otherwise. Shared with lookups that outlive the resolver.
class Dns {
 public:
  NameResolver::Addresses look_up(const std::string& host) {
    std::unique_lock held(mutex_);
    ++asked_[host];
    changed_.notify_all();
    changed_.wait(held, [&] { return !silent_.contains(host); });
    ++answered_;
    changed_.notify_all();
    return std::vector{IpAddress::v4(0xc0000200 + static_cast<std::uint32_t>(host.size()))};
  }
  void keep_silent(const std::string& host) {
    const std::lock_guard held(mutex_);
    silent_.insert(host);
  }
  void speak() {
    const std::lock_guard held(mutex_);
    silent_.clear();
    changed_.notify_all();
  }
  unsigned asked(const std::string& host) {
    const std::lock_guard held(mutex_);
    return asked_[host];
  }
  bool wait_for(unsigned lookups, unsigned answers) {
    std::unique_lock held(mutex_);
    return changed_.wait_for(held, 60s, [&] {
      unsigned all = 0;
      for (const auto& [host, times] : asked_) all += times;
      return all >= lookups && answered_ >= answers;
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, unsigned> asked_;
  std::set<std::string> silent_;
  unsigned answered_ = 0;
};

struct Resolving {
  std::shared_ptr<Dns> dns = std::make_shared<Dns>();
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  NameResolver resolver{context, [shared = dns](const std::string& host) { return shared->look_up(host); }};
  std::map<std::string, unsigned> answers;

  void ask(const std::string& host) {
    resolver.ask(host, [this, host](const NameResolver::Addresses& addresses) {
      EXPECT_TRUE(addresses);
      ++answers[host];
    });
  }
  bool run_until(const std::function<bool()>& there) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (!there() && std::chrono::steady_clock::now() < end) context.run_for(10ms);
    return there();
  }
};

TEST(NameResolver, ANameIsAskedForOnceAndEverybodyHearsOfIt) {
  Resolving now;
  now.dns->keep_silent("vpn.example");
  for (int i = 0; i < 100; ++i) now.ask("vpn.example");
  ASSERT_TRUE(now.dns->wait_for(1, 0));
  now.dns->speak();
  EXPECT_TRUE(now.run_until([&] { return now.answers["vpn.example"] == 100; }));
  EXPECT_EQ(now.dns->asked("vpn.example"), 1U);
  now.ask("vpn.example");
  EXPECT_TRUE(now.run_until([&] { return now.answers["vpn.example"] == 101; }));
  EXPECT_EQ(now.dns->asked("vpn.example"), 2U) << "what was answered is asked for anew";
}

TEST(NameResolver, ADeadNameHoldsUpNoOther) {
  Resolving now;
  now.dns->keep_silent("dead.example");
  now.ask("dead.example");
  for (const char* host : {"a.example", "b.example", "c.example", "d.example", "e.example", "f.example"})
    now.ask(host);
  EXPECT_TRUE(now.run_until([&] { return now.answers.size() == 6; }));
  now.dns->speak();
  EXPECT_TRUE(now.run_until([&] { return now.answers["dead.example"] == 1; }));
}

TEST(NameResolver, AsManyDeadOnesAsThereAreLookupsAreOvercome) {
  Resolving now;
  for (unsigned i = 0; i < NameResolver::kLookups; ++i) {
    const auto host = "dead" + std::to_string(i) + ".example";
    now.dns->keep_silent(host);
    now.ask(host);
  }
  now.ask("alive.example");
  ASSERT_TRUE(now.dns->wait_for(NameResolver::kLookups, 0));
  EXPECT_EQ(now.dns->asked("alive.example"), 0U) << "it stands in line";
  now.dns->speak();
  EXPECT_TRUE(now.run_until([&] { return now.answers["alive.example"] == 1; }));
}

// Or the daemon could not end while DNS is dead.
TEST(NameResolver, StoppingWaitsForNobody) {
  const auto dns = std::make_shared<Dns>();
  dns->keep_silent("dead.example");
  {
    asio::io_context context{1};
    NameResolver resolver(context, [dns](const std::string& host) { return dns->look_up(host); });
    resolver.ask("dead.example", [](const auto&) { FAIL() << "nobody waits any more"; });
    ASSERT_TRUE(dns->wait_for(1, 0));
  }
  dns->speak();
  EXPECT_TRUE(dns->wait_for(1, 1));
}

}  // namespace
}  // namespace merlon::daemon
