// Lines for the key files that Wireshark reads, made of key events. The one place where the escape of Secret is used.
#pragma once

#include <string>
#include <vector>

#include "ike/events.h"

namespace merlon::daemon {

struct KeyFileLine {
  std::string file;  // "ikev2_decryption_table" or "esp_sa", as Wireshark names them
  std::string line;
};

// Nothing for events without keys, and for algorithms that Wireshark has no name for.
[[nodiscard]] std::vector<KeyFileLine> key_file_lines(const ike::Event& event);

}  // namespace merlon::daemon
