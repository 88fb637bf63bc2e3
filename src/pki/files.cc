#include "pki/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "pki/openssl_internal.h"

namespace merlon::pki {
namespace {

constexpr mode_t kPrivateMode = 0600;
constexpr mode_t kPublicMode = 0644;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

std::string reason() {
  return std::strerror(errno);
}  // NOLINT(concurrency-mt-unsafe)

Result<> check_private(const std::filesystem::path& path, const struct stat& info) {
  if ((info.st_mode & 0077U) != 0)
    return fail(ErrorCode::kPolicy,
                "{} can be read or written by others than its owner (mode {:04o}): chmod 600 {}",
                path.string(), info.st_mode & 07777U, path.string());
  if (info.st_uid != 0 && info.st_uid != ::geteuid())
    return fail(ErrorCode::kPolicy, "{} belongs to another user (uid {}): chown it to root", path.string(),
                info.st_uid);
  return {};
}

// Looks at the file that is open, never at the name again. The buffer has the file's size from the start, so
// that no copy of a secret is left behind by a growing one.
Result<Secret> read_all(const std::filesystem::path& path, bool must_be_private) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (file.get() < 0)
    return fail(errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kSystem, "{}: {}",
                path.string(), reason());
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return fail(ErrorCode::kSystem, "{}: {}", path.string(), reason());
  if (!S_ISREG(info.st_mode))
    return fail(ErrorCode::kInvalidArgument, "{} is not a regular file", path.string());
  if (must_be_private) MERLON_TRY_VOID(check_private(path, info));
  if (info.st_size < 0 || static_cast<std::size_t>(info.st_size) > kMaxFileSize)
    return fail(ErrorCode::kExhausted, "{} is larger than {} bytes", path.string(), kMaxFileSize);
  Secret content(static_cast<std::size_t>(info.st_size));
  std::size_t at = 0;
  while (at < content.size()) {
    const ssize_t got = ::read(file.get(), content.mutable_bytes().data() + at, content.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::kSystem, "{}: {}", path.string(), reason());
    if (got == 0) return content.slice(0, at);
    at += static_cast<std::size_t>(got);
  }
  return content;
}

Result<> write_all(const std::filesystem::path& path, int fd, ByteView content) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(ErrorCode::kSystem, "cannot write {}: {}", path.string(), reason());
    content = content.subspan(static_cast<std::size_t>(written));
  }
  if (::fsync(fd) != 0) return fail(ErrorCode::kSystem, "cannot write {}: {}", path.string(), reason());
  return {};
}

void sync_directory_of(const std::filesystem::path& path) {
  const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const FileDescriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
}

enum class Existing { kReplace, kRefuse };

// The content goes to a new file beside the target, which then takes the target's name in one step.
Result<> write_atomically(const std::filesystem::path& path, ByteView content, mode_t mode,
                          Existing existing) {
  if (path.empty() || !path.has_filename())
    return fail(ErrorCode::kInvalidArgument, "'{}' is no file name", path.string());
  std::string temporary = path.string() + ".XXXXXX";
  const FileDescriptor file(::mkostemp(temporary.data(), O_CLOEXEC));  // O_EXCL, 0600
  if (file.get() < 0) return fail(ErrorCode::kSystem, "cannot write {}: {}", path.string(), reason());
  Result<> done = write_all(path, file.get(), content);
  if (done && ::fchmod(file.get(), mode) != 0)
    done = fail(ErrorCode::kSystem, "{}: {}", path.string(), reason());
  if (done && existing == Existing::kReplace && ::rename(temporary.c_str(), path.c_str()) == 0) {
    sync_directory_of(path);
    return {};
  }
  if (done && existing == Existing::kRefuse && ::link(temporary.c_str(), path.c_str()) == 0) {
    ::unlink(temporary.c_str());
    sync_directory_of(path);
    return {};
  }
  if (done && errno == EEXIST) {
    done = fail(ErrorCode::kPolicy, "{} exists already and is not overwritten", path.string());
  } else if (done) {
    done = fail(ErrorCode::kSystem, "cannot write {}: {}", path.string(), reason());
  }
  ::unlink(temporary.c_str());
  return done;
}

}  // namespace

Result<Bytes> read_file(const std::filesystem::path& path) {
  MERLON_TRY(const Secret content, read_all(path, false));
  return to_bytes(content.bytes());
}

Result<Secret> read_private_file(const std::filesystem::path& path) {
  return read_all(path, true);
}

Result<crypto::PrivateKey> read_private_key_file(const std::filesystem::path& path) {
  MERLON_TRY(const Secret content, read_private_file(path));
  auto key = looks_like_der(content.bytes()) ? crypto::PrivateKey::from_der(content.bytes())
                                             : crypto::PrivateKey::from_pem(as_text(content.bytes()));
  if (!key) return fail_in(path.string(), std::move(key).error());
  return key;
}

Result<std::vector<Certificate>> read_certificates_file(const std::filesystem::path& path) {
  MERLON_TRY(const Bytes content, read_file(path));
  if (looks_like_der(content)) {
    auto one = Certificate::from_der(content);
    if (!one) return fail_in(path.string(), std::move(one).error());
    return std::vector<Certificate>{std::move(*one)};
  }
  auto all = Certificate::all_from_pem(as_text(content));
  if (!all) return fail_in(path.string(), std::move(all).error());
  return all;
}

Result<> write_private_file(const std::filesystem::path& path, ByteView content) {
  return write_atomically(path, content, kPrivateMode, Existing::kRefuse);
}
Result<> write_public_file(const std::filesystem::path& path, ByteView content) {
  return write_atomically(path, content, kPublicMode, Existing::kReplace);
}
Result<> replace_private_file(const std::filesystem::path& path, ByteView content) {
  return write_atomically(path, content, kPrivateMode, Existing::kReplace);
}

}  // namespace merlon::pki
