#include <rapidcheck.h>

#include "ike/supervisor.h"
#include "ike/supervisor_test_bench.h"

namespace merlon::ike {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::connection_named;
using test::shared;

// Whatever happens to an "always" connection: never two attempts at once, and in the end it is up.
TEST(SupervisorProperty, AlwaysConvergesAndNeverTriesTwiceAtOnce) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng script(seed), jitter(seed + 1);
    Supervisor supervisor(jitter);
    Now now{Instant(seconds(50)), UnixTime(seconds(1))};
    supervisor.configure(now, {shared(connection_named("office", {"192.0.2.1", "gw.example.com"}))});
    bool trying = false;
    std::uint64_t last = 0;
    std::set<std::uint64_t> ike_sas, children;
    std::optional<RequestId> question;
    const auto close_ike = [&](std::uint64_t id) {
      for (const auto child : std::exchange(children, {}))
        supervisor.handle(now, ChildSaClosed{"office", "net", {child}, {}, {}, false, "lost"});
      ike_sas.erase(id);
      supervisor.handle(now, IkeSaClosed{"office", {{id}, {1}}, {}});
    };
    const auto drain = [&] {
      for (const auto& command : supervisor.drain()) {
        if (std::holds_alternative<Initiate>(command)) {
          RC_ASSERT(!trying);
          trying = true;
        } else if (const auto* resolve = std::get_if<ResolveName>(&command)) {
          RC_ASSERT(!question.has_value());
          question = resolve->request;
        }
      }
    };
    const auto establish = [&] {
      if (ike_sas.empty()) {
        ike_sas.insert(++last);
        supervisor.handle(
            now, IkeSaEstablished{"office", {{last}, {1}}, true, false, {}, {}, false, {}, {}, {}, {}, {}});
      }
      children.insert(++last);
      trying = false;
      supervisor.handle(now,
                        ChildSaEstablished{"office", "net", {}, {last}, {}, {}, false, false, {}, {}, {}});
    };
    for (int step = 0; step < 200; ++step) {
      drain();
      const auto dice = script.below(6);
      if (question && dice < 3) {
        const RequestId request = *std::exchange(question, std::nullopt);
        if (script.below(2) == 0)
          supervisor.resolved(now, request, std::vector<IpAddress>{IpAddress::v4(5)});
        else
          supervisor.resolved(now, request, fail(ErrorCode::kNotFound, "no"));
      } else if (trying && dice == 0) {
        establish();
      } else if (trying && dice == 1) {
        trying = false;
        supervisor.handle(now, NegotiationFailed{"office", ike_sas.empty() ? "" : "net", {}, {}});
      } else if (!trying && dice == 2 && !ike_sas.empty()) {
        close_ike(*ike_sas.begin());
      } else if (!trying && dice == 3 && !children.empty()) {
        const auto child = *children.begin();
        children.erase(child);
        supervisor.handle(now, ChildSaClosed{"office", "net", {child}, {}, {}, false, "lost"});
      } else if (dice == 4) {
        supervisor.network_changed(now);
      } else {
        now.monotonic += milliseconds(script.below(5000));
        if (!trying && !question) supervisor.advance(now);
      }
    }
    // The network heals: every question and every attempt succeeds.
    for (int step = 0; step < 200 && children.empty(); ++step) {
      drain();
      if (question)
        supervisor.resolved(now, *std::exchange(question, std::nullopt),
                            std::vector<IpAddress>{IpAddress::v4(5)});
      drain();
      if (trying) establish();
      now.monotonic += seconds(5);
      if (!trying && !question) supervisor.advance(now);
    }
    drain();
    RC_ASSERT(!children.empty());
    RC_ASSERT(supervisor.status("office")->phase == SupervisorPhase::kUp);
  }));
}

}  // namespace
}  // namespace merlon::ike
