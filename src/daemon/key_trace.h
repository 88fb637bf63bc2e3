// Lines for the key files that Wireshark reads, made of key events. The one place where the escape of Secret is used.
#pragma once

#include <string>
#include <vector>

#include "ike/events.h"

namespace merlon::daemon {

struct KeyFileLine {
  // "ikev2_decryption_table" or "esp_sa", as Wireshark names them; "esp_sa_other" in the same form for SAs that it cannot
  // decrypt (AES-CCM, ChaCha20-Poly1305, GMAC), with IANA's names.
  std::string file;
  std::string line;
};

// Nothing for events without keys, and for IKE SAs that Wireshark cannot decrypt.
[[nodiscard]] std::vector<KeyFileLine> key_file_lines(const ike::Event& event);

}  // namespace merlon::daemon
