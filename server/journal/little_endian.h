// Fixed-width little-endian numbers in byte buffers: every number of the journal's files.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace wheelpit {

static_assert(std::endian::native == std::endian::little,
              "the loads and stores below copy native bytes");

template <typename T>
inline void StoreLe(char* p, T value) {
  memcpy(p, &value, sizeof value);
}
template <typename T>
inline T LoadLe(const char* p) {
  T value;
  memcpy(&value, p, sizeof value);
  return value;
}

}  // namespace wheelpit
