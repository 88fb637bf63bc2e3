// Counts what is allocated, by who asked for it: an initiator and a responder live in one process, and each call into one
// of them is made under its name.
#pragma once

#include <cstdint>

namespace merlon::bench {

enum class Owner : std::uint8_t { kNobody, kInitiator, kResponder, kCount };

// Everything that is allocated and freed until the end of the block counts for `owner`.
class Under {
 public:
  explicit Under(Owner owner);
  Under(const Under&) = delete;
  Under& operator=(const Under&) = delete;
  ~Under();

 private:
  Owner before_;
};

// Bytes in use, as malloc rounds them up, with its header; OpenSSL's included.
[[nodiscard]] std::int64_t bytes_in_use(Owner owner);

// Before anything else is done: OpenSSL allocates through us.
void count_openssl();

}  // namespace merlon::bench
