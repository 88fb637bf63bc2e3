#include "cli/printable.h"

namespace merlon::cli {

std::string printable(std::string_view text) {
  std::string out(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    const bool starts_c1 =
        byte == 0xc2 && i + 1 < out.size() && (static_cast<unsigned char>(out[i + 1]) & 0xe0U) == 0x80;
    if (starts_c1) out.erase(i, 1);
    if (byte < 0x20 || byte == 0x7f || starts_c1) out[i] = '?';
  }
  return out;
}

}  // namespace merlon::cli
