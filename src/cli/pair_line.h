// The line that `merlon pair` prints on one side and takes on the other: who we are, our public key, where we
// can be reached and which networks are behind us. Nothing in it is secret; whoever can change it on its way
// can stand in the middle, which is why both sides show fingerprints.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace merlon::cli {

struct PairLine {
  std::string id;                     // identity, also the connection's name on the other side
  std::string address;                // address or host name; empty: only we call
  std::vector<std::string> networks;  // prefixes
  std::string public_key;             // base64 SubjectPublicKeyInfo
};

// "merlon-pair-1 id=... address=... networks=... key=... check=xxxxxxxx"
[[nodiscard]] std::string to_text(const PairLine& line);
// Refuses a line that was cut or changed in copying (its checksum), another version, and values that could
// not have been written by to_text.
[[nodiscard]] Result<PairLine> parse_pair_line(std::string_view text);

}  // namespace merlon::cli
