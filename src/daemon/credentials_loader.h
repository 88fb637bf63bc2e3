// From the configuration's file names to keys, certificates and identities.
#pragma once

#include <memory>
#include <vector>

#include "control/config.h"
#include "ike/credentials.h"

namespace merlon::daemon {

struct ResolvedConfig {
  std::vector<policy::ConnectionPtr> connections;  // identities filled in
  std::shared_ptr<const ike::Credentials> credentials;
};

// Errors name the connection, the file and what to do. Nothing is half loaded: one bad file fails the whole.
[[nodiscard]] Result<ResolvedConfig> resolve(const control::Config& config);

// Connections that did not change keep the pointer they have, so that nobody touches their SAs.
[[nodiscard]] std::vector<policy::ConnectionPtr> keep_unchanged(
    std::vector<policy::ConnectionPtr> fresh, const std::vector<policy::ConnectionPtr>& current);

}  // namespace merlon::daemon
