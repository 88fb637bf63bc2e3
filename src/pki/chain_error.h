// Why a path was refused, in words. Inside pki/ only.
#pragma once

#include <span>

#include "pki/openssl_internal.h"
#include "pki/trust_store.h"

namespace merlon::pki {

// What was being checked when a verification failed.
struct ChainQuestion {
  const Certificate& leaf;
  const std::vector<Certificate>& anchors;
  UnixTime now;
};

// What OpenSSL was looking at when it failed.
struct ChainProblem {
  int error = 0;  // X509_V_ERR_*
  const Certificate& subject;
  const X509_CRL* crl = nullptr;  // null where the problem is none of a CRL
};

[[nodiscard]] ChainError explain(const ChainProblem& problem, const ChainQuestion& question);

[[nodiscard]] ChainError chain_error(ChainFailure failure, std::string message);

}  // namespace merlon::pki
