// The index file of an authority: what it issued, and the number of its last CRL. Inside pki/ only.
#pragma once

#include <filesystem>

#include "pki/authority.h"

namespace merlon::pki {

struct AuthorityIndex {
  std::uint64_t crl_number = 0;  // of the last CRL; 0: none yet
  std::vector<IssuedCertificate> issued;

  [[nodiscard]] std::string to_text() const;
  [[nodiscard]] static Result<AuthorityIndex> from_text(std::string_view text);
};

// Holds the authority's lock file until it is destroyed, so that two commands cannot both change the index.
class AuthorityLock {
 public:
  [[nodiscard]] static Result<AuthorityLock> take(const std::filesystem::path& directory);
  AuthorityLock(AuthorityLock&& from) noexcept : fd_(std::exchange(from.fd_, -1)) {}
  AuthorityLock& operator=(AuthorityLock&&) = delete;
  AuthorityLock(const AuthorityLock&) = delete;
  AuthorityLock& operator=(const AuthorityLock&) = delete;
  ~AuthorityLock();

 private:
  explicit AuthorityLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace merlon::pki
