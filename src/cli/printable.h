// For the terminal: whatever stands in a text that a peer had a hand in, it must not move the cursor.
#pragma once

#include <string>
#include <string_view>

namespace merlon::cli {

// The text with control characters (C0, DEL, and C1 in UTF-8) shown as '?'. Line breaks among them.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace merlon::cli
