// Keys and certificates in files. Private keys are only read from files that nobody else can read or write,
// and only ever written to such.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/secret.h"
#include "pki/certificate.h"

namespace merlon::pki {

inline constexpr std::size_t kMaxFileSize = std::size_t{16} << 20U;

// A regular file of at most kMaxFileSize. kNotFound when there is none, kSystem for what the system refuses.
[[nodiscard]] Result<Bytes> read_file(const std::filesystem::path& path);
// The same, but kPolicy when group or others may read or write it ("chmod 600 FILE"), or it belongs neither
// to root nor to us. For private keys and shared secrets.
[[nodiscard]] Result<Secret> read_private_file(const std::filesystem::path& path);

// PEM or DER.
[[nodiscard]] Result<crypto::PrivateKey> read_private_key_file(const std::filesystem::path& path);
// PEM with one or more certificates, or DER with one.
[[nodiscard]] Result<std::vector<Certificate>> read_certificates_file(const std::filesystem::path& path);

// Creates the file with mode 0600, complete or not at all; kPolicy when it exists already.
[[nodiscard]] Result<> write_private_file(const std::filesystem::path& path, ByteView content);
// Mode 0644, replaced atomically when it exists.
[[nodiscard]] Result<> write_public_file(const std::filesystem::path& path, ByteView content);
// Mode 0600, replaced atomically when it exists.
[[nodiscard]] Result<> replace_private_file(const std::filesystem::path& path, ByteView content);

}  // namespace merlon::pki
