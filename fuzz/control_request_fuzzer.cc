// A line on the control socket, from whoever may open it: a request or a refusal, and what was understood
// says the same when it is written again.
#include <cstdlib>

#include "base/bytes.h"
#include "control/protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace merlon;
  const auto request = control::parse_request(as_text({data, size}));
  if (!request) {
    if (control::error_line(request.error().message).find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const auto again = control::parse_request(control::encode(*request));
  if (!again || again->command != request->command || again->connection != request->connection ||
      again->child != request->child || again->ike != request->ike || again->wait != request->wait ||
      again->keys != request->keys)
    std::abort();
  return 0;
}
