#include "base/large_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>
#include <vector>

namespace merlon {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kHasAddressSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kHasAddressSanitizer = true;
#else
constexpr bool kHasAddressSanitizer = false;
#endif
#else
constexpr bool kHasAddressSanitizer = false;
#endif

constexpr std::size_t kLeastPiece = std::size_t{16} << 10U;

constexpr std::align_val_t alignment_of(std::size_t bytes) {
  return std::align_val_t{bytes >= kHugePage ? kHugePage : kCacheLine};
}

// Objects of one size, in pieces that grow with their number: at most a quarter of the memory is spare, and never more
// than a huge page.
class Slab {
 public:
  void set_size(std::size_t object_size) { object_size_ = object_size; }

  void* allocate() {
    const std::lock_guard lock(mutex_);
    if (free_ == nullptr && static_cast<std::size_t>(end_ - fresh_) < object_size_) add_piece();
    ++in_use_;
    if (free_ == nullptr) return std::exchange(fresh_, fresh_ + object_size_);
    Free* const object = free_;
    free_ = object->next;
    object->~Free();
    return object;
  }

  void release(void* object) noexcept {
    const std::lock_guard lock(mutex_);
    free_ = ::new (object) Free{free_};
    if (--in_use_ != 0) return;
    for (const Piece& piece : pieces_) release_large(piece.memory, piece.bytes);
    pieces_.clear();
    pieces_.shrink_to_fit();
    free_ = nullptr;
    fresh_ = end_ = nullptr;
    total_ = 0;
  }

 private:
  struct Free {
    Free* next;
  };
  struct Piece {
    std::byte* memory;
    std::size_t bytes;
  };

  void add_piece() {
    // Whole objects, but for pieces of a huge page.
    std::size_t bytes = std::clamp(total_ / 4, kLeastPiece, kHugePage);
    if (bytes < kHugePage) bytes = (bytes + object_size_ - 1) / object_size_ * object_size_;
    pieces_.reserve(pieces_.size() + 1);
    fresh_ = static_cast<std::byte*>(allocate_large(bytes));
    end_ = fresh_ + bytes;
    pieces_.push_back({fresh_, bytes});
    total_ += bytes;
  }

  std::mutex mutex_;
  std::size_t object_size_ = 0, total_ = 0, in_use_ = 0;
  Free* free_ = nullptr;
  std::byte *fresh_ = nullptr, *end_ = nullptr;  // what of the newest piece was never used
  std::vector<Piece> pieces_;
};

constexpr std::size_t kLargestObject = 4096;

Slab& slab_for(std::size_t bytes) {
  static auto& slabs = [&]() -> auto& {
    auto* made = new std::array<Slab, kLargestObject / kCacheLine>;  // objects may outlive static destructors
    for (std::size_t i = 0; i < made->size(); ++i) (*made)[i].set_size((i + 1) * kCacheLine);
    return *made;
  }
  ();
  return slabs[(bytes - 1) / kCacheLine];
}

bool is_slab_size(std::size_t bytes) {
  return !kHasAddressSanitizer && bytes != 0 && bytes <= kLargestObject;
}

}  // namespace

void* allocate_large(std::size_t bytes) {
  void* const memory = ::operator new(bytes, alignment_of(bytes));
  // A wish: without it everything is as right, and slower.
  if (bytes >= kHugePage) (void)madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return memory;
}

void release_large(void* memory, std::size_t bytes) noexcept {
  ::operator delete(memory, alignment_of(bytes));
}

void* allocate_in_slab(std::size_t bytes) {
  return is_slab_size(bytes) ? slab_for(bytes).allocate()
                             : ::operator new (bytes, std::align_val_t{kCacheLine});
}

void release_in_slab(void* object, std::size_t bytes) noexcept {
  if (object == nullptr) return;
  if (is_slab_size(bytes)) {
    slab_for(bytes).release(object);
  } else {
    ::operator delete (object, std::align_val_t{kCacheLine});
  }
}

}  // namespace merlon
