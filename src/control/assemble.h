// From the keys of a connection to the connection: defaults that depend on other keys, and what must not be.
#pragma once

#include <string>
#include <vector>

#include "control/schema.h"

namespace merlon::control {

// A draft with the defaults of docs/configuration.md.
[[nodiscard]] ConnectionDraft new_draft();

// Settles what the keys left open (the kind of authentication, proposals, start modes), then says what is missing,
// contradictory or unsafe, a sentence each; empty when nothing is.
[[nodiscard]] std::vector<std::string> check_connection(ConnectionDraft& draft, const DaemonConfig& daemon);

// What is allowed but deserves a second look: algorithms that RFC 8221 and RFC 8247 advise against.
[[nodiscard]] std::vector<std::string> warnings_of(const policy::Connection& connection);

[[nodiscard]] policy::ConnectionPtr assemble(ConnectionDraft draft);

void add_policy(Config& config, policy::ChildConfig entry, std::string source);

}  // namespace merlon::control
