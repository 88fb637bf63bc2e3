#include "control/config.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/nearest.h"
#include "control/assemble.h"
#include "control/schema.h"
#include "control/value.h"

namespace merlon::control {
namespace {

// Collects what the files say; errors do not stop it, so that one run reports all of them.
class Parser {
 public:
  explicit Parser(std::string directory) : context_{std::move(directory), false} {}

  void file(const ConfigText& text) {
    file_ = text.file;
    context_.readable_by_others = text.readable_by_others;
    try {
      tables_.push_back(toml::parse(text.text, text.file));
      root(tables_.back());
    } catch (const toml::parse_error& error) {
      diagnostics_.push_back({file_, error.source().begin.line, error.source().begin.column, false, std::string(error.description())});
    }
  }

  LoadedConfig finish() {
    LoadedConfig out;
    if (std::ranges::all_of(diagnostics_, &Diagnostic::warning)) out.config = std::move(config_);
    out.diagnostics = std::move(diagnostics_);
    return out;
  }

 private:
  void error(const toml::source_region& where, std::string message) {
    diagnostics_.push_back({file_, where.begin.line, where.begin.column, false, std::move(message)});
  }
  void unknown(const toml::key& key, const std::string& place, std::vector<std::string_view> known) {
    const auto guess = nearest(key.str(), known);
    error(key.source(), fmt::format("unknown key \"{}\" in {}{}", key.str(), place, guess ? fmt::format("; did you mean \"{}\"?", *guess) : ""));
  }

  // Sets the key in the target if one of the tables knows it; false when none does.
  template <class T>
  bool set(std::span<const Key<T>> keys, T& target, const toml::key& key, const toml::node& node) {
    const auto at = std::ranges::find(keys, key.str(), &Key<T>::name);
    if (at == keys.end()) return false;
    if (const auto done = at->set(target, node, context_); !done) error(node.source(), fmt::format("{}: {}", at->name, done.error().message));
    return true;
  }

  template <class T>
  static void add_names(std::vector<std::string_view>& names, std::span<const Key<T>> keys) {
    for (const auto& key : keys) names.push_back(key.name);
  }

  void root(const toml::table& table) {
    for (const auto& [key, node] : table) {
      if (key == "daemon") {
        if (const auto* daemon = expect_table(key, node)) daemon_table(*daemon);
      } else if (key == "connection") {
        if (const auto* connections = expect_table(key, node))
          for (const auto& [name, connection] : *connections)
            if (const auto* found = expect_table(name, connection)) connection_table(name, *found);
      } else if (key == "policy") {
        policies(node);
      } else {
        unknown(key, "the file", {"daemon", "connection", "policy"});
      }
    }
  }

  const toml::table* expect_table(const toml::key& key, const toml::node& node) {
    const auto* table = node.as_table();
    if (table == nullptr) error(key.source(), fmt::format("expected a table [{}...]", key.str()));
    return table;
  }

  void daemon_table(const toml::table& table) {
    for (const auto& [key, node] : table) {
      if (set(daemon_keys(), config_.daemon, key, node)) continue;
      std::vector<std::string_view> names;
      add_names(names, daemon_keys());
      unknown(key, "[daemon]", names);
    }
  }

  bool valid_name(const toml::key& key) {
    const bool good = !key.empty() && key.str().size() <= 64 && std::ranges::all_of(key.str(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
    if (!good) error(key.source(), fmt::format("\"{}\" is not a name: expected 1 to 64 letters, digits, '-' and '_'", key.str()));
    return good;
  }

  void connection_table(const toml::key& name, const toml::table& table) {
    if (!valid_name(name)) return;
    if (!connection_names_.insert(std::string(name.str())).second)
      return error(name.source(), fmt::format("connection \"{}\" stands twice", name.str()));
    ConnectionDraft draft = new_draft();
    draft.connection.name = name.str();
    draft.connection.source = fmt::format("{}:{}", file_, name.source().begin.line);
    const toml::table* children = nullptr;
    const std::size_t errors_before = diagnostics_.size();
    for (const auto& [key, node] : table) {
      if (key == "child") {
        children = expect_table(key, node);
        continue;
      }
      if (set(connection_keys(), draft, key, node)) continue;
      if (set(child_keys(), draft.child_defaults, key, node)) {
        draft.has_selectors |= key == "local_ts" || key == "remote_ts";
        continue;
      }
      std::vector<std::string_view> names{"child"};
      add_names(names, connection_keys());
      add_names(names, child_keys());
      unknown(key, fmt::format("[connection.{}]", name.str()), names);
    }
    add_children(draft, children);
    if (diagnostics_.size() != errors_before) return;  // what follows would only repeat it
    for (const std::string& problem : check_connection(draft, config_.daemon)) error(name.source(), problem);
    for (const std::string& text : warnings_of(draft.connection))
      diagnostics_.push_back({file_, name.source().begin.line, name.source().begin.column, true, text});
    config_.connections.push_back(assemble(std::move(draft)));
  }

  void add_children(ConnectionDraft& draft, const toml::table* children) {
    if (children == nullptr) {
      policy::ChildConfig child = draft.child_defaults;
      child.name = draft.connection.name;
      draft.connection.children.push_back(std::move(child));
      return;
    }
    for (const auto& [name, node] : *children) {
      const toml::table* table = expect_table(name, node);
      if (table == nullptr || !valid_name(name)) continue;
      policy::ChildConfig child = draft.child_defaults;
      child.name = name.str();
      for (const auto& [key, value] : *table) {
        if (set(child_keys(), child, key, value)) continue;
        std::vector<std::string_view> names;
        add_names(names, child_keys());
        unknown(key, fmt::format("[connection.{}.child.{}]", draft.connection.name, child.name), names);
      }
      draft.connection.children.push_back(std::move(child));
    }
  }

  void policies(const toml::node& node) {
    const toml::array* array = node.as_array();
    if (array == nullptr || !array->is_array_of_tables())
      return error(node.source(), "expected [[policy]], an array of tables");
    for (const auto& element : *array) {
      policy::ChildConfig entry;
      entry.action = policy::ChildAction::kProtect;  // none given yet
      for (const auto& [key, value] : *element.as_table()) {
        if (set(policy_keys(), entry, key, value)) continue;
        std::vector<std::string_view> names;
        add_names(names, policy_keys());
        unknown(key, "[[policy]]", names);
      }
      if (entry.action == policy::ChildAction::kProtect) error(element.source(), "a [[policy]] needs action = \"bypass\" or \"discard\"");
      if (entry.local_ts.empty() || entry.remote_ts.empty()) error(element.source(), "a [[policy]] needs local_ts and remote_ts");
      add_policy(config_, std::move(entry), fmt::format("{}:{}", file_, element.source().begin.line));
    }
  }

  std::string file_;
  SchemaContext context_;
  std::vector<toml::table> tables_;
  std::set<std::string> connection_names_;
  std::vector<Diagnostic> diagnostics_;
  Config config_;
};

Result<ConfigText> read_config_file(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return fail(ErrorCode::kSystem, "cannot read it: {}", std::generic_category().message(errno));
  std::ifstream stream(path);
  std::ostringstream content;
  content << stream.rdbuf();
  if (!stream) return fail(ErrorCode::kSystem, "cannot read it");
  return ConfigText{path, content.str(), (status.st_mode & (S_IRWXG | S_IRWXO)) != 0};
}

template <class T>
void reference_table(std::string& out, std::span<const Key<T>> keys) {
  out += "| key | value | default | meaning |\n|---|---|---|---|\n";
  for (const auto& key : keys) {
    std::string type(key.type);
    for (std::size_t at = 0; (at = type.find('|', at)) != std::string::npos; at += 2) type.insert(at, "\\");
    out += fmt::format("| `{}` | {} | {} | {} |\n", key.name, type, key.default_text, key.help);
  }
}

}  // namespace

std::string Diagnostic::to_string() const {
  const char* kind = warning ? "warning" : "error";
  return line == 0 ? fmt::format("{}: {}: {}", file, kind, message) : fmt::format("{}:{}:{}: {}: {}", file, line, column, kind, message);
}

LoadedConfig parse_config(const std::vector<ConfigText>& texts, const std::string& directory) {
  Parser parser(directory);
  for (const ConfigText& text : texts) parser.file(text);
  return parser.finish();
}

LoadedConfig load_config(const std::string& path) {
  namespace fs = std::filesystem;
  const fs::path directory = fs::path(path).parent_path();
  std::vector<std::string> files{path};
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory / "conf.d", ignored))
    if (entry.path().extension() == ".toml") files.push_back(entry.path().string());
  std::sort(files.begin() + 1, files.end());
  std::vector<ConfigText> texts;
  std::vector<Diagnostic> unreadable;
  for (const std::string& file : files) {
    if (auto text = read_config_file(file)) {
      texts.push_back(std::move(*text));
    } else {
      unreadable.push_back({file, 0, 0, false, text.error().message});
    }
  }
  if (!unreadable.empty()) return {std::nullopt, std::move(unreadable)};
  return parse_config(texts, directory.empty() ? "." : directory.string());
}

std::string configuration_reference() {
  std::string out = "## `[daemon]`\n\n";
  reference_table(out, daemon_keys());
  out += "\n## `[connection.NAME]`\n\n";
  reference_table(out, connection_keys());
  out += "\n## `[connection.NAME.child.CHILD]`\n\n";
  reference_table(out, child_keys());
  out += "\n## `[[policy]]`\n\n";
  reference_table(out, policy_keys());
  return out;
}

}  // namespace merlon::control
