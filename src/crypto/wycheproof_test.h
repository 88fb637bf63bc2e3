// The parts of the Wycheproof test: each runner takes one file through our interface and counts.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/bytes.h"

namespace merlon::crypto {

struct Tally {
  int valid = 0;                       // accepted, and the result was right
  int invalid = 0;                     // refused, as it must be
  std::map<std::string, int> skipped;  // by reason

  void skip(const std::string& reason) { ++skipped[reason]; }
};

// The symmetric algorithms: wycheproof_symmetric_test.cc; the others: wycheproof_asymmetric_test.cc. A test
// whose result is not the expected one fails with its number.
void run_gcm(const nlohmann::json& file, Tally& tally);
void run_ccm(const nlohmann::json& file, Tally& tally);
void run_chacha20_poly1305(const nlohmann::json& file, Tally& tally);
void run_gmac(const nlohmann::json& file, Tally& tally);
void run_mac(const nlohmann::json& file, Tally& tally);
void run_ecdh(const nlohmann::json& file, Tally& tally);
void run_xdh(const nlohmann::json& file, Tally& tally);
void run_signature(const nlohmann::json& file, Tally& tally);

}  // namespace merlon::crypto
