#include "base/bytes.h"

#include <algorithm>
#include <array>
#include <cstring>

#ifdef MERLON_MEMCHECK
#include <valgrind/memcheck.h>
#endif

namespace merlon {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBase64Alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

}  // namespace

bool equal(ByteView a, ByteView b) {
  return std::ranges::equal(a, b);
}

bool equal_constant_time(ByteView a, ByteView b) {
  if (a.size() != b.size()) return false;
  std::uint64_t difference = 0;
  std::size_t i = 0;
  for (; a.size() - i >= sizeof difference; i += sizeof difference) {
    std::uint64_t word_of_a = 0, word_of_b = 0;
    std::memcpy(&word_of_a, a.data() + i, sizeof word_of_a);
    std::memcpy(&word_of_b, b.data() + i, sizeof word_of_b);
    difference |= word_of_a ^ word_of_b;
  }
  for (; i < a.size(); ++i) difference |= static_cast<std::uint64_t>(a[i] ^ b[i]);
  // The compiler must not learn from a partial result that it may stop early.
  asm volatile("" : "+r"(difference));
#ifdef MERLON_MEMCHECK
  // memcheck/: whether they differ is public from here on; where they do is not.
  difference = static_cast<std::uint64_t>(difference != 0);
  VALGRIND_MAKE_MEM_DEFINED(&difference, sizeof difference);
#endif
  return difference == 0;
}

std::string to_hex(ByteView bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    out.push_back(kHexDigits[byte >> 4U]);
    out.push_back(kHexDigits[byte & 15U]);
  }
  return out;
}

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0)
    return fail(ErrorCode::kMalformed, "hexadecimal text has an odd number of digits");
  Bytes out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_value(text[i]);
    const int low = hex_value(text[i + 1]);
    if (high < 0 || low < 0)
      return fail(ErrorCode::kMalformed, "not a hexadecimal digit at position {}", high < 0 ? i : i + 1);
    out.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return out;
}

std::string to_base64(ByteView bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = static_cast<std::uint32_t>(bytes[i]) << 16U;
    if (have > 1) group |= static_cast<std::uint32_t>(bytes[i + 1]) << 8U;
    if (have > 2) group |= bytes[i + 2];
    out.push_back(kBase64Alphabet[group >> 18U]);
    out.push_back(kBase64Alphabet[(group >> 12U) & 63U]);
    out.push_back(have > 1 ? kBase64Alphabet[(group >> 6U) & 63U] : '=');
    out.push_back(have > 2 ? kBase64Alphabet[group & 63U] : '=');
  }
  return out;
}

Result<Bytes> from_base64(std::string_view text) {
  if (text.size() % 4 != 0)
    return fail(ErrorCode::kMalformed, "base64 text must be a multiple of four characters");
  Bytes out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const std::size_t padding = !last || text[i + 3] != '=' ? 0 : (text[i + 2] == '=' ? 2 : 1);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 4 - padding; ++j) {
      const auto value = kBase64Alphabet.find(text[i + j]);
      if (value == std::string_view::npos)
        return fail(ErrorCode::kMalformed, "not a base64 character at position {}", i + j);
      group |= static_cast<std::uint32_t>(value) << (18U - 6U * j);
    }
    const std::uint32_t unused = padding == 2 ? 0xffffU : padding == 1 ? 0xffU : 0U;
    if ((group & unused) != 0) return fail(ErrorCode::kMalformed, "base64 text ends in stray bits");
    out.push_back(static_cast<std::uint8_t>(group >> 16U));
    if (padding < 2) out.push_back(static_cast<std::uint8_t>(group >> 8U));
    if (padding < 1) out.push_back(static_cast<std::uint8_t>(group));
  }
  return out;
}

}  // namespace merlon
