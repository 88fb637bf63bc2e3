// Memory that packets reach at random: tables, and objects of which there may be a hundred thousand. From 2 MiB on it is
// asked for in huge pages, since with small ones every such access first looks for its page.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace merlon {

inline constexpr std::size_t kHugePage = std::size_t{2} << 20U;
inline constexpr std::size_t kCacheLine = 64;

// Aligned to a cache line; from one huge page on to huge pages, of which the system is asked to make it where it can. Throws
// std::bad_alloc, as new does.
[[nodiscard]] void* allocate_large(std::size_t bytes);
void release_large(void* memory, std::size_t bytes) noexcept;  // `bytes` as asked for

// Asks for the cache line, to have it in the first cache, or in the second one. The empty statement is not for nothing: GCC (12, 13)
// holds a function that only prefetches for one without effects, and leaves out the calls of it.
inline void prefetch_line(const void* line) {
  __builtin_prefetch(line);
  asm volatile("");
}
inline void prefetch_line_to_second(const void* line) {
  __builtin_prefetch(line, 0, 2);
  asm volatile("");
}

// For standard containers.
template <class T>
struct LargeAllocator {
  using value_type = T;
  LargeAllocator() = default;
  template <class U>
  LargeAllocator(const LargeAllocator<U>& /*other*/) noexcept {}
  [[nodiscard]] T* allocate(std::size_t count) { return static_cast<T*>(allocate_large(count * sizeof(T))); }
  void deallocate(T* memory, std::size_t count) noexcept { release_large(memory, count * sizeof(T)); }
  friend bool operator==(const LargeAllocator& /*a*/, const LargeAllocator& /*b*/) { return true; }
};

template <class T>
using LargeVector = std::vector<T, LargeAllocator<T>>;

// Room for one object of `bytes`, beside others of its size (rounded up to cache lines): no header, no gaps, and huge pages
// where there are many. Aligned to a cache line. From any thread. Objects wipe themselves what must not be found later.
// A size's memory is given back when its last object is. Under the address sanitizer each object is an allocation of
// its own, so that it sees what is used too late.
[[nodiscard]] void* allocate_in_slab(std::size_t bytes);
void release_in_slab(void* object, std::size_t bytes) noexcept;  // `bytes` as asked for

}  // namespace merlon
