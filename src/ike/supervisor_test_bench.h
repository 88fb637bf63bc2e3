// For the supervisor's tests: a supervisor, a clock, and an engine that does what the test says.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ike/supervisor.h"

namespace merlon::ike::test {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline policy::Connection connection_named(const std::string& name,
                                           std::vector<std::string> remotes = {"192.0.2.1"}) {
  policy::Connection connection;
  connection.name = name;
  connection.source = "test.toml:3";
  connection.remote_addresses = std::move(remotes);
  policy::ChildConfig child;
  child.name = "net";
  connection.children.push_back(child);
  return connection;
}

inline policy::ConnectionPtr shared(policy::Connection connection) {
  return std::make_shared<const policy::Connection>(std::move(connection));
}

class SupervisorBench : public testing::Test {
 protected:
  void configure(policy::Connection connection) {
    supervisor_.configure(now_, {shared(std::move(connection))});
  }

  template <class T>
  std::vector<T> take() {
    std::vector<T> found;
    for (auto& command : supervisor_.drain())
      if (auto* one = std::get_if<T>(&command)) found.push_back(std::move(*one));
    return found;
  }
  std::vector<Initiate> initiates() { return take<Initiate>(); }

  void wait(Duration span) {
    const Instant until = now_.monotonic + span;
    while (supervisor_.next_deadline() <= until) {
      now_.monotonic = std::max(now_.monotonic, supervisor_.next_deadline());
      supervisor_.advance(now_);
      if (supervisor_.next_deadline() <= now_.monotonic) break;
    }
    now_.monotonic = until;
    supervisor_.advance(now_);
  }
  // How long until the next attempt; 0 when there is none within a day.
  Duration until_initiate() {
    const Instant start = now_.monotonic;
    while (now_.monotonic - start < std::chrono::hours(24)) {
      if (!initiates().empty()) return now_.monotonic - start;
      wait(milliseconds(50));
    }
    return Duration{0};
  }

  IkeSaId ike_up(const std::string& connection = "office") {
    const IkeSaId id{{++last_}, {1}};
    IkeSaEstablished event;
    event.connection = connection;
    event.id = id;
    event.local = {IpAddress::v4(0x0a000001), 4500};
    event.remote = {IpAddress::v4(0xc0000201), 4500};
    supervisor_.handle(now_, event);
    return id;
  }
  policy::ChildSaId child_up(const IkeSaId& ike, const std::string& child = "net") {
    ChildSaEstablished event;
    event.connection = "office";
    event.child = child;
    event.ike_sa = ike;
    event.id = {++last_};
    supervisor_.handle(now_, event);
    return event.id;
  }
  void child_closed(policy::ChildSaId id, bool replaced = false, const std::string& child = "net") {
    ChildSaClosed event;
    event.connection = "office";
    event.child = child;
    event.id = id;
    event.replaced = replaced;
    event.reason = "deleted by the peer";
    supervisor_.handle(now_, event);
  }
  void ike_closed(const IkeSaId& id, FailureKind kind = FailureKind::kLiveness) {
    IkeSaClosed event{"office", id, {}};
    event.reason.kind = kind;
    event.reason.sentence = "gone";
    supervisor_.handle(now_, event);
  }
  void failed(const std::string& child = {}, FailureKind kind = FailureKind::kTimeout) {
    NegotiationFailed event;
    event.connection = "office";
    event.child = child;
    event.failure.kind = kind;
    event.failure.sentence = "no luck";
    supervisor_.handle(now_, event);
  }
  SupervisorStatus status() { return *supervisor_.status("office"); }

  SeededRng rng_{7};
  Supervisor supervisor_{rng_};
  Now now_{Instant(seconds(1000)), UnixTime(seconds(1'790'000'000))};
  std::uint64_t last_ = 0;
};

}  // namespace merlon::ike::test
