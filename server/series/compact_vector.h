// A vector of few plain values in one pointer: 8 bytes when empty, one block otherwise. For members of which there are millions.
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
  ~CompactVector() { std::free(block_); }
  CompactVector(CompactVector&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  CompactVector& operator=(CompactVector&& other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  CompactVector(const CompactVector&) = delete;
  CompactVector& operator=(const CompactVector&) = delete;

  size_t size() const { return block_ == nullptr ? 0 : block_->size; }
  bool empty() const { return size() == 0; }
  const T* begin() const { return items(); }
  const T* end() const { return items() + size(); }
  T* begin() { return items(); }
  T* end() { return items() + size(); }
  const T& operator[](size_t i) const { return items()[i]; }
  T& operator[](size_t i) { return items()[i]; }

  void push_back(const T& item) {
    const T copy = item;
    if (block_ == nullptr || block_->size == block_->capacity) Grow();
    std::memcpy(static_cast<void*>(items() + block_->size), &copy, sizeof(T));
    ++block_->size;
  }
  // Keeps the order.
  void erase(size_t i) {
    std::memmove(static_cast<void*>(items() + i), items() + i + 1, (size() - i - 1) * sizeof(T));
    if (--block_->size == 0) clear();
  }
  void clear() {
    std::free(block_);
    block_ = nullptr;
  }
  size_t allocated_bytes() const {
    return block_ == nullptr ? 0 : kItems + block_->capacity * sizeof(T);
  }

 private:
  struct Block {
    uint32_t size;
    uint32_t capacity;
  };
  static constexpr size_t kItems = sizeof(Block) < alignof(T) ? alignof(T) : sizeof(Block);

  T* items() const {
    return block_ == nullptr ? nullptr : reinterpret_cast<T*>(reinterpret_cast<char*>(block_) + kItems);
  }
  void Grow() {
    const uint32_t capacity = block_ == nullptr ? 1 : block_->capacity * 2;
    auto* grown = static_cast<Block*>(std::realloc(block_, kItems + capacity * sizeof(T)));
    WHEELPIT_CHECK(grown != nullptr, "out of memory");
    if (block_ == nullptr) grown->size = 0;
    grown->capacity = capacity;
    block_ = grown;
  }

  Block* block_ = nullptr;
};

}  // namespace wheelpit
