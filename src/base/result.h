// Errors as values. Exceptions never cross a room.
#pragma once

#include <fmt/core.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace merlon {

// What a caller may act on; what a person needs stands in Error::message.
enum class ErrorCode {
  kInvalidArgument,  // the caller (or a file, or a person) asked for something impossible
  kMalformed,        // bytes that do not follow their format
  kUnsupported,      // well formed, but a version, algorithm or critical payload we do not have
  kAuthentication,   // a signature, MAC, ICV or identity that does not prove what it should
  kPolicy,           // well formed and authentic, but not allowed
  kNotFound,
  kExpired,
  kExhausted,  // a limit or a resource
  kSystem,     // the operating system refused
};

struct Error {
  ErrorCode code = ErrorCode::kInvalidArgument;
  std::string message;  // one sentence: what was expected, what came, from whom
};

template <class T = void>
using Result = tl::expected<T, Error>;

template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

// Passes an error on, with words before it that say where it happened.
[[nodiscard]] inline tl::unexpected<Error> fail_in(std::string_view where, Error error) {
  error.message = fmt::format("{}: {}", where, error.message);
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace merlon

#define MERLON_CONCAT_INNER(a, b) a##b
#define MERLON_CONCAT(a, b) MERLON_CONCAT_INNER(a, b)

// MERLON_TRY(auto value, expression): declares value from a Result, or returns its error from the enclosing
// function.
#define MERLON_TRY(declaration, expression) \
  MERLON_TRY_INNER(MERLON_CONCAT(merlon_try_, __LINE__), declaration, expression)
#define MERLON_TRY_INNER(temporary, declaration, expression)                            \
  auto temporary = (expression);                                                        \
  if (!temporary) return tl::unexpected<::merlon::Error>(std::move(temporary).error()); \
  declaration = std::move(*temporary)

// MERLON_TRY_VOID(expression): the same for Result<void>.
#define MERLON_TRY_VOID(expression)                                                                       \
  do {                                                                                                    \
    auto merlon_try_result = (expression);                                                                \
    if (!merlon_try_result) return tl::unexpected<::merlon::Error>(std::move(merlon_try_result).error()); \
  } while (false)
