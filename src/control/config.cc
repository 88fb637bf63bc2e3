#include "control/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "control/schema.h"

namespace merlon::control {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{16} << 20U;

// Straight into one string of the right size: a growing one would leave copies of a secret behind.
Result<std::string> read_open_file(int fd, std::size_t size) {
  std::string out(size, '\0');
  std::size_t at = 0;
  while (at < size) {
    const ssize_t got = read(fd, out.data() + at, size - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return fail(ErrorCode::kSystem, "cannot read it: {}", std::generic_category().message(errno));
    if (got == 0) break;
    at += static_cast<std::size_t>(got);
  }
  out.resize(at);
  return out;
}

Result<ConfigText> read_config_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return fail(ErrorCode::kSystem, "cannot read it: {}", std::generic_category().message(errno));
  struct stat status {};
  Result<std::string> text = fail(ErrorCode::kSystem, "cannot read it: not a regular file");
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
    text = static_cast<std::size_t>(status.st_size) > kMaxFileBytes
               ? fail(ErrorCode::kExhausted, "it is larger than {} bytes", kMaxFileBytes)
               : read_open_file(fd, static_cast<std::size_t>(status.st_size));
  }
  close(fd);
  if (!text) return tl::unexpected<Error>(text.error());
  return ConfigText{path, std::move(*text), (status.st_mode & (S_IRWXG | S_IRWXO)) != 0};
}

// Every *.toml in the folder, in the order of their names; no such folder is no error.
Result<std::vector<std::string>> toml_files_in(const std::filesystem::path& folder) {
  std::vector<std::string> out;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
    if (entry->path().extension() == ".toml") out.push_back(entry->path().string());
  if (error && error != std::errc::no_such_file_or_directory)
    return fail(ErrorCode::kSystem, "cannot list it: {}", error.message());
  std::ranges::sort(out);
  return out;
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
  return line == 0 ? fmt::format("{}: {}: {}", file, kind, message)
                   : fmt::format("{}:{}:{}: {}: {}", file, line, column, kind, message);
}

LoadedConfig load_config(const std::string& path) {
  const std::filesystem::path directory = std::filesystem::path(path).parent_path();
  std::vector<std::string> files{path};
  std::vector<Diagnostic> unreadable;
  if (const auto more = toml_files_in(directory / "conf.d")) {
    files.insert(files.end(), more->begin(), more->end());
  } else {
    unreadable.push_back({(directory / "conf.d").string(), 0, 0, false, more.error().message});
  }
  std::vector<ConfigText> texts;
  for (const std::string& file : files) {
    if (auto text = read_config_file(file)) {
      texts.push_back(std::move(*text));
    } else {
      unreadable.push_back({file, 0, 0, false, text.error().message});
    }
  }
  LoadedConfig out{std::nullopt, std::move(unreadable)};
  if (out.diagnostics.empty()) out = parse_config(texts, directory.empty() ? "." : directory.string());
  for (ConfigText& text : texts) wipe({reinterpret_cast<std::uint8_t*>(text.text.data()), text.text.size()});
  return out;
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
