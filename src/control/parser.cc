// From TOML tables to the configuration: which tables there are, how they nest, and where an error stands.
#include <toml++/toml.h>

#include <algorithm>
#include <map>

#include "base/nearest.h"
#include "control/assemble.h"
#include "control/config.h"
#include "control/schema.h"

namespace merlon::control {
namespace {

// A table's entries in the order of the file; toml++ keeps them by name.
std::vector<std::pair<const toml::key*, const toml::node*>> in_order(const toml::table& table) {
  std::vector<std::pair<const toml::key*, const toml::node*>> out;
  for (const auto& [key, node] : table) out.emplace_back(&key, &node);
  std::ranges::stable_sort(out, [](const auto& a, const auto& b) {
    const auto &x = a.first->source().begin, &y = b.first->source().begin;
    return std::pair(x.line, x.column) < std::pair(y.line, y.column);
  });
  return out;
}

// What a table held may have been a pre-shared key.
void wipe_strings(toml::node& node) {
  if (auto* table = node.as_table()) {
    for (auto&& [key, value] : *table) wipe_strings(value);
  } else if (auto* array = node.as_array()) {
    for (auto& value : *array) wipe_strings(value);
  } else if (auto* text = node.as_string()) {
    wipe({reinterpret_cast<std::uint8_t*>((*text)->data()), (*text)->size()});
  }
}

// Collects what the files say; errors do not stop it, so that one run reports all of them.
class Parser {
 public:
  explicit Parser(std::string directory) : context_{std::move(directory), false} {}

  LoadedConfig parse(const std::vector<ConfigText>& texts) {
    std::vector<toml::table> tables;
    for (const ConfigText& text : texts) {
      enter(text);
      tables.push_back(read(text.text));
    }
    // What [daemon] says counts for every connection, in whatever order and files they stand.
    for (std::size_t i = 0; i < texts.size(); ++i) {
      enter(texts[i]);
      daemon_of(tables[i]);
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
      enter(texts[i]);
      root(tables[i]);
    }
    for (toml::table& table : tables) wipe_strings(table);
    return finish();
  }

 private:
  void enter(const ConfigText& text) {
    file_ = text.file;
    context_.readable_by_others = text.readable_by_others;
  }

  toml::table read(const std::string& text) {
    try {
      return toml::parse(text, file_);
    } catch (const toml::parse_error& problem) {
      error(problem.source(), std::string(problem.description()));
      return {};
    }
  }

  LoadedConfig finish() {
    LoadedConfig out;
    if (std::ranges::all_of(diagnostics_, &Diagnostic::warning)) out.config = std::move(config_);
    out.diagnostics = std::move(diagnostics_);
    return out;
  }

  void error(const toml::source_region& where, std::string message) {
    diagnostics_.push_back({file_, where.begin.line, where.begin.column, false, std::move(message)});
  }
  void warning(const toml::source_region& where, std::string message) {
    diagnostics_.push_back({file_, where.begin.line, where.begin.column, true, std::move(message)});
  }
  void unknown(const toml::key& key, const std::string& place, const std::vector<std::string_view>& known) {
    const auto guess = nearest(key.str(), known);
    error(key.source(), fmt::format("unknown key \"{}\" in {}{}", key.str(), place,
                                    guess ? fmt::format("; did you mean \"{}\"?", *guess) : ""));
  }

  // Sets the key in the target if one of the tables knows it; false when none does.
  template <class T>
  bool set(std::span<const Key<T>> keys, T& target, const toml::key& key, const toml::node& node) {
    const auto at = std::ranges::find(keys, key.str(), &Key<T>::name);
    if (at == keys.end()) return false;
    if (const auto done = at->set(target, node, context_); !done)
      error(node.source(), fmt::format("{}: {}", at->name, done.error().message));
    return true;
  }

  template <class T>
  static void add_names(std::vector<std::string_view>& names, std::span<const Key<T>> keys) {
    for (const auto& key : keys) names.push_back(key.name);
  }

  const toml::table* expect_table(const toml::key& key, const toml::node& node) {
    const auto* table = node.as_table();
    if (table == nullptr) error(key.source(), fmt::format("expected a table [{}...]", key.str()));
    return table;
  }

  void daemon_of(const toml::table& file) {
    for (const auto& [key, node] : in_order(file)) {
      if (*key != "daemon") continue;
      const auto* table = expect_table(*key, *node);
      if (table == nullptr) return;
      daemon_table(*table);
      for (const std::string& problem : check_daemon(config_.daemon)) error(key->source(), problem);
      for (const std::string& text : warnings_of(config_.daemon)) warning(key->source(), text);
    }
  }

  void daemon_table(const toml::table& table) {
    for (const auto& [key, node] : in_order(table)) {
      const auto [first, is_new] = daemon_keys_seen_.emplace(key->str(), position(*key));
      if (!is_new) {
        error(key->source(),
              fmt::format("{} stands in [daemon] twice: also at {}", key->str(), first->second));
        continue;
      }
      if (set(daemon_keys(), config_.daemon, *key, *node)) continue;
      std::vector<std::string_view> names;
      add_names(names, daemon_keys());
      unknown(*key, "[daemon]", names);
    }
  }

  void root(const toml::table& table) {
    for (const auto& [key, node] : in_order(table)) {
      if (*key == "daemon") continue;
      if (*key == "connection") {
        if (const auto* connections = expect_table(*key, *node))
          for (const auto& [name, connection] : in_order(*connections))
            if (const auto* found = expect_table(*name, *connection)) connection_table(*name, *found);
      } else if (*key == "policy") {
        policies(*node);
      } else {
        unknown(*key, "the file", {"daemon", "connection", "policy"});
      }
    }
  }

  [[nodiscard]] std::string position(const toml::key& key) const {
    return fmt::format("{}:{}", file_, key.source().begin.line);
  }

  bool valid_name(const toml::key& key) {
    const bool good = !key.empty() && key.str().size() <= 64 && std::ranges::all_of(key.str(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
             c == '_';
    });
    if (!good)
      error(key.source(),
            fmt::format("\"{}\" is not a name: expected 1 to 64 letters, digits, '-' and '_'", key.str()));
    return good;
  }

  void connection_table(const toml::key& name, const toml::table& table) {
    if (!valid_name(name)) return;
    const auto [first, is_new] = connection_names_.emplace(name.str(), position(name));
    if (!is_new)
      return error(name.source(),
                   fmt::format("connection \"{}\" stands twice: also at {}", name.str(), first->second));
    ConnectionDraft draft = new_draft();
    draft.connection.name = name.str();
    draft.connection.source = position(name);
    const std::size_t before = diagnostics_.size();
    add_children(draft, connection_keys_of(draft, table));
    if (diagnostics_.size() != before) return;  // what follows would only repeat it
    for (const std::string& problem : check_connection(draft, config_.daemon)) error(name.source(), problem);
    for (const std::string& text : warnings_of(draft.connection)) warning(name.source(), text);
    config_.connections.push_back(assemble(std::move(draft)));
  }

  // Everything but the table of children, which it returns; nullptr when there is none.
  const toml::table* connection_keys_of(ConnectionDraft& draft, const toml::table& table) {
    const toml::table* children = nullptr;
    for (const auto& [key, node] : in_order(table)) {
      if (*key == "child") {
        children = expect_table(*key, *node);
        continue;
      }
      if (set(connection_keys(), draft, *key, *node)) continue;
      if (set(child_keys(), draft.child_defaults, *key, *node)) continue;
      std::vector<std::string_view> names{"child"};
      add_names(names, connection_keys());
      add_names(names, child_keys());
      unknown(*key, fmt::format("[connection.{}]", draft.connection.name), names);
    }
    return children;
  }

  void add_children(ConnectionDraft& draft, const toml::table* children) {
    if (children == nullptr) {
      policy::ChildConfig child = draft.child_defaults;
      child.name = draft.connection.name;
      draft.connection.children.push_back(std::move(child));
      return;
    }
    for (const auto& [name, node] : in_order(*children)) {
      const toml::table* table = expect_table(*name, *node);
      if (table == nullptr || !valid_name(*name)) continue;
      policy::ChildConfig child = draft.child_defaults;
      child.name = name->str();
      for (const auto& [key, value] : in_order(*table)) {
        if (set(child_keys(), child, *key, *value)) continue;
        std::vector<std::string_view> names;
        add_names(names, child_keys());
        unknown(*key, fmt::format("[connection.{}.child.{}]", draft.connection.name, child.name), names);
      }
      draft.connection.children.push_back(std::move(child));
    }
  }

  void policies(const toml::node& node) {
    const toml::array* array = node.as_array();
    if (array == nullptr || !array->is_array_of_tables())
      return error(node.source(), "expected [[policy]], an array of tables");
    for (const auto& element : *array) policy_table(*element.as_table());
  }

  void policy_table(const toml::table& table) {
    policy::ChildConfig entry;
    entry.action = policy::ChildAction::kProtect;  // none given yet
    const std::size_t before = diagnostics_.size();
    for (const auto& [key, value] : in_order(table)) {
      if (set(policy_keys(), entry, *key, *value)) continue;
      std::vector<std::string_view> names;
      add_names(names, policy_keys());
      unknown(*key, "[[policy]]", names);
    }
    if (diagnostics_.size() != before) return;
    if (entry.action == policy::ChildAction::kProtect)
      error(table.source(), "a [[policy]] needs action = \"bypass\" or \"discard\"");
    if (entry.local_ts.empty() || entry.remote_ts.empty()) {
      error(table.source(), "a [[policy]] needs local_ts and remote_ts");
    } else if (!can_match(entry)) {
      error(table.source(),
            "no packet can match: local_ts and remote_ts have no address family and protocol in common");
    }
    add_policy(config_, std::move(entry), fmt::format("{}:{}", file_, table.source().begin.line));
  }

  std::string file_;
  SchemaContext context_;
  std::map<std::string, std::string, std::less<>> connection_names_,
      daemon_keys_seen_;  // and where they stand
  std::vector<Diagnostic> diagnostics_;
  Config config_;
};

}  // namespace

LoadedConfig parse_config(const std::vector<ConfigText>& texts, const std::string& directory) {
  return Parser(directory).parse(texts);
}

}  // namespace merlon::control
