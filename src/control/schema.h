// The one place that knows every key of the configuration: its name, type, default, unit and meaning, and
// where its value goes. The parser, the "did you mean", and the reference in docs/configuration.md are all
// made from these tables.
#pragma once

#include <toml++/toml.h>

#include <span>
#include <string_view>

#include "control/config.h"

namespace merlon::control {

struct SchemaContext {
  std::string directory;  // relative file names are taken from here
  bool readable_by_others = false;
};

template <class T>
struct Key {
  std::string_view name;
  std::string_view type;          // for people: "string", "duration", ...
  std::string_view default_text;  // as it would be written, or words
  std::string_view help;
  Result<> (*set)(T& target, const toml::node& node, const SchemaContext& context);
};

// What the tables of a connection fill before the whole is checked and put together.
struct ConnectionDraft {
  policy::Connection connection;
  policy::LocalAuth local_auth;
  policy::RemoteAuth remote_auth;
  policy::ChildConfig child_defaults;  // keys of a child may stand in the connection, for all its children
};

[[nodiscard]] std::span<const Key<DaemonConfig>> daemon_keys();
[[nodiscard]] std::span<const Key<ConnectionDraft>> connection_keys();
[[nodiscard]] std::span<const Key<policy::ChildConfig>> child_keys();
[[nodiscard]] std::span<const Key<policy::ChildConfig>> policy_keys();  // of a [[policy]] entry

// A relative file name as seen from `directory`.
[[nodiscard]] std::string in_directory(const std::string& file, const std::string& directory);

}  // namespace merlon::control
