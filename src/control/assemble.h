// From the keys of a connection to the connection: defaults that depend on other keys, and what must not be.
#pragma once

#include <string>
#include <vector>

#include "control/schema.h"

namespace merlon::control {

// A draft with the defaults of docs/configuration.md.
[[nodiscard]] ConnectionDraft new_draft();

// What contradicts itself in [daemon], and what deserves a second look.
[[nodiscard]] std::vector<std::string> check_daemon(const DaemonConfig& daemon);
[[nodiscard]] std::vector<std::string> warnings_of(const DaemonConfig& daemon);

// Settles what the keys left open (the kind of authentication, proposals, start modes, lifetimes), then says
// what is missing, contradictory or unsafe, a sentence each; empty when nothing is.
[[nodiscard]] std::vector<std::string> check_connection(ConnectionDraft& draft, const DaemonConfig& daemon);

// What is allowed but deserves a second look: algorithms that RFC 8221 and RFC 8247 advise against.
[[nodiscard]] std::vector<std::string> warnings_of(const policy::Connection& connection);

// Whether some packet may match: selectors of one family, of protocols that do not exclude each other.
[[nodiscard]] bool can_match(const policy::ChildConfig& child);

[[nodiscard]] policy::ConnectionPtr assemble(ConnectionDraft draft);

void add_policy(Config& config, policy::ChildConfig entry, std::string source);

}  // namespace merlon::control
