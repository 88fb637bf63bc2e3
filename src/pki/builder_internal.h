// What builder.cc (certificates) and requests and CRLs share. Inside pki/ only.
#pragma once

#include "pki/builder.h"
#include "pki/openssl_internal.h"

namespace merlon::pki {

[[nodiscard]] const EVP_MD* signing_digest(
    const crypto::PrivateKey& key);  // null: the algorithm hashes by itself
// kInvalidArgument unless the key is the issuer's and its certificate allows the usage.
[[nodiscard]] Result<> check_signer(const Certificate& issuer, const crypto::PrivateKey& key, KeyUsage usage);

}  // namespace merlon::pki
