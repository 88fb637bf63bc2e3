#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/result.h"

namespace merlon::bench {

[[noreturn]] inline void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

template <class T>
T value(Result<T> result) {
  if (!result) give_up(result.error().message);
  return std::move(*result);
}

}  // namespace merlon::bench
