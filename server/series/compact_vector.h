// A vector of few plain values in eight bytes: empty, or one value of up to four bytes, costs nothing more; else one block. For
// members of which there are millions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace wheelpit {

template <typename T>
class CompactVector {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  CompactVector() = default;
  ~CompactVector() { clear(); }
  CompactVector(CompactVector&& other) noexcept : word_(std::exchange(other.word_, Word{})) {}
  CompactVector& operator=(CompactVector&& other) noexcept {
    std::swap(word_, other.word_);
    return *this;
  }
  CompactVector(const CompactVector&) = delete;
  CompactVector& operator=(const CompactVector&) = delete;

  size_t size() const { return is_inline() ? 1 : block() == nullptr ? 0 : block()->size; }
  bool empty() const { return size() == 0; }
  const T* begin() const { return items(); }
  const T* end() const { return items() + size(); }
  T* begin() { return const_cast<T*>(items()); }
  T* end() { return begin() + size(); }
  const T& operator[](size_t i) const { return items()[i]; }
  T& operator[](size_t i) { return begin()[i]; }

  void push_back(const T& item) {
    const T copy = item;
    if constexpr (kMayBeInline) {
      if (empty() && block() == nullptr) {
        word_.small.tag = kInlineTag;
        std::memcpy(word_.small.value, &copy, sizeof(T));
        return;
      }
    }
    if (is_inline() || block() == nullptr || block()->size == block()->capacity) Grow();
    std::memcpy(static_cast<void*>(begin() + block()->size), &copy, sizeof(T));
    ++word_.block->size;
  }
  // Keeps the order.
  void erase(size_t i) {
    const size_t n = size();
    if (n == 1) return clear();
    std::memmove(static_cast<void*>(begin() + i), begin() + i + 1, (n - i - 1) * sizeof(T));
    --word_.block->size;
  }
  void clear() {
    if (!is_inline()) std::free(word_.block);
    word_ = Word{};
  }
  size_t allocated_bytes() const {
    return is_inline() || block() == nullptr ? 0 : kItems + block()->capacity * sizeof(T);
  }

 private:
  struct Block {
    uint32_t size;
    uint32_t capacity;
  };
  // Blocks are aligned, so that the tag, in the pointer's low half, tells them apart.
  struct Small {
    uint32_t tag;
    unsigned char value[4];
  };
  union Word {
    Block* block = nullptr;
    Small small;
  };
  static constexpr uint32_t kInlineTag = 1;
  static constexpr bool kMayBeInline = sizeof(T) <= 4 && alignof(T) <= 4 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
  static constexpr size_t kItems = sizeof(Block) < alignof(T) ? alignof(T) : sizeof(Block);
  static_assert(sizeof(Word) == 8);

  bool is_inline() const { return kMayBeInline && (word_.small.tag & kInlineTag) != 0; }
  const Block* block() const { return is_inline() ? nullptr : word_.block; }
  const T* items() const {
    if (is_inline()) return reinterpret_cast<const T*>(word_.small.value);
    if (word_.block == nullptr) return nullptr;
    return reinterpret_cast<const T*>(reinterpret_cast<const char*>(word_.block) + kItems);
  }
  void Grow() {
    const auto n = static_cast<uint32_t>(size());
    const uint32_t capacity = n == 0 ? 1 : n * 2;
    auto* grown = static_cast<Block*>(std::malloc(kItems + capacity * sizeof(T)));
    WHEELPIT_CHECK(grown != nullptr, "out of memory");
    if (n > 0) std::memcpy(reinterpret_cast<char*>(grown) + kItems, items(), n * sizeof(T));
    clear();
    grown->size = n;
    grown->capacity = capacity;
    word_.block = grown;
  }

  Word word_;
};

}  // namespace wheelpit
