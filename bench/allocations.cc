#include "bench/allocations.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace merlon::bench {
namespace {

constexpr std::size_t kMallocHeader = sizeof(std::size_t);

Owner owner_now = Owner::kNobody;
std::int64_t in_use[static_cast<std::size_t>(Owner::kCount)];

void* count_new(void* memory) {
  if (memory != nullptr)
    in_use[static_cast<std::size_t>(owner_now)] +=
        static_cast<std::int64_t>(malloc_usable_size(memory) + kMallocHeader);
  return memory;
}
void count_gone(void* memory) {
  if (memory != nullptr)
    in_use[static_cast<std::size_t>(owner_now)] -=
        static_cast<std::int64_t>(malloc_usable_size(memory) + kMallocHeader);
}

void* openssl_malloc(std::size_t size, const char*, int) {
  return count_new(std::malloc(size));
}
void* openssl_realloc(void* memory, std::size_t size, const char*, int) {
  count_gone(memory);
  return count_new(std::realloc(memory, size));
}
void openssl_free(void* memory, const char*, int) {
  count_gone(memory);
  std::free(memory);
}

}  // namespace

Under::Under(Owner owner) : before_(owner_now) {
  owner_now = owner;
}
Under::~Under() {
  owner_now = before_;
}

std::int64_t bytes_in_use(Owner owner) {
  return in_use[static_cast<std::size_t>(owner)];
}

void count_openssl() {
  CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
}

}  // namespace merlon::bench

void* operator new(std::size_t size) {
  void* const memory = merlon::bench::count_new(std::malloc(size == 0 ? 1 : size));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto align = static_cast<std::size_t>(alignment);
  void* const memory =
      merlon::bench::count_new(std::aligned_alloc(align, (size + align - 1) / align * align));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept {
  merlon::bench::count_gone(memory);
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  operator delete(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  operator delete(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  operator delete(memory);
}
