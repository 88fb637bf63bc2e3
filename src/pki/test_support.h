// For the tests of this room: a fixed day, made-up authorities, a scratch directory and the openssl command.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/rng.h"
#include "pki/builder.h"
#include "pki/files.h"
#include "pki/identity_text.h"

namespace merlon::pki {

inline constexpr UnixTime kToday = std::chrono::sys_days{std::chrono::year{2026} / 10 / 4};
inline constexpr std::chrono::days kYear{365};

template <class T>
T value_or_die(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

inline CertificateSpec spec_for(const std::string& subject, std::vector<std::string> dns = {}) {
  CertificateSpec spec;
  spec.subject_dn = value_or_die(dn_from_text(subject));
  spec.names.dns = std::move(dns);
  spec.not_before = kToday - std::chrono::days{1};
  spec.not_after = kToday + kYear;
  return spec;
}

struct TestAuthority {
  explicit TestAuthority(const std::string& subject, std::string_view kind = "ed25519",
                         std::uint64_t seed = 1)
      : rng(seed),
        key(value_or_die(generate_key(kind))),
        certificate(value_or_die(make_root(key, spec_for(subject), rng))) {}

  Certificate issue(const CertificateSpec& spec, const crypto::PublicKey& subject_key) {
    return value_or_die(make_certificate(certificate, key, subject_key, spec, rng));
  }
  Certificate issue(const CertificateSpec& spec, std::string_view kind = "ed25519") {
    return issue(spec, value_or_die(generate_key(kind)).public_key());
  }
  Bytes crl(std::vector<RevokedCertificate> revoked, UnixTime from = kToday,
            std::chrono::seconds lifetime = std::chrono::days{7}) {
    return value_or_die(make_crl(certificate, key, {1, from, from + lifetime, std::move(revoked)}));
  }

  SeededRng rng;
  crypto::PrivateKey key;
  Certificate certificate;
};

class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "merlon-pki-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  void write(std::string_view name, std::string_view text) const {
    if (auto done = write_public_file(path_ / name, as_bytes(text)); !done)
      throw std::runtime_error(done.error().message);
  }
  [[nodiscard]] std::string read(std::string_view name) const {
    return std::string(as_text(value_or_die(read_file(path_ / name))));
  }

  struct Output {
    int status = 0;
    std::string text;  // both streams
  };
  // Runs a shell command inside the directory.
  [[nodiscard]] Output run(const std::string& command) const {
    Output output;
    FILE* pipe = ::popen(("cd '" + path_.string() + "' && (" + command + ") 2>&1").c_str(), "r");
    if (pipe == nullptr) return {-1, "popen failed"};
    char buffer[4096];
    for (std::size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
      output.text.append(buffer, got);
    const int status = ::pclose(pipe);
    output.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return output;
  }

 private:
  std::filesystem::path path_;
};

inline bool have_openssl_command() {
  static const bool have = ScratchDirectory().run("openssl version").status == 0;
  return have;
}

}  // namespace merlon::pki

#define MERLON_NEEDS_OPENSSL_COMMAND() \
  if (!::merlon::pki::have_openssl_command()) GTEST_SKIP() << "the openssl command is not installed"
