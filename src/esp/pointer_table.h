// Objects found by a key that they hold themselves, at the price of a pointer or two each. For books with 100,000 entries.
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace merlon::esp {

// Traits: `using Key`; static Key key_of(const T&); static std::uint64_t hash_of(const Key&). The objects outlive their place.
template <class T, class Traits>
class PointerTable {
 public:
  using Key = typename Traits::Key;

  [[nodiscard]] T* find(const Key& key) const {
    if (slots_.empty()) return nullptr;
    for (std::size_t at = first_of(key); slots_[at] != nullptr; at = next(at))
      if (Traits::key_of(*slots_[at]) == key) return slots_[at];
    return nullptr;
  }
  // Its key is not there yet.
  void insert(T& object) {
    if ((size_ + 1) * 4 > slots_.size() * 3) grow();
    place(object);
    ++size_;
  }
  // It is there.
  void erase(const T& object) {
    std::size_t at = first_of(Traits::key_of(object));
    while (slots_[at] != &object) at = next(at);
    slots_[at] = nullptr;
    --size_;
    // What follows may have been pushed here by it.
    for (std::size_t later = next(at); slots_[later] != nullptr; later = next(later)) {
      T* const moved = slots_[later];
      slots_[later] = nullptr;
      place(*moved);
    }
  }
  template <class Function>
  void for_each(const Function& function) const {
    for (T* object : slots_)
      if (object != nullptr) function(*object);
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  [[nodiscard]] std::size_t first_of(const Key& key) const {
    return Traits::hash_of(key) & (slots_.size() - 1);
  }
  [[nodiscard]] std::size_t next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }
  void place(T& object) {
    std::size_t at = first_of(Traits::key_of(object));
    while (slots_[at] != nullptr) at = next(at);
    slots_[at] = &object;
  }
  void grow() {
    std::vector<T*> before(slots_.empty() ? 16 : slots_.size() * 2);
    before.swap(slots_);
    for (T* object : before)
      if (object != nullptr) place(*object);
  }

  std::vector<T*> slots_;  // open addressing; a power of two, at most three quarters taken
  std::size_t size_ = 0;
};

}  // namespace merlon::esp
