// Variable-length integers (LEB128) and fixed words in strings: for compact encodings that a checksum guards elsewhere.
//
// Get… consume from the front of `in` and return false when it ends too early or the number is too long.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

namespace wheelpit {

inline constexpr size_t kVarintMax = 10;

// Writes at `p` (kVarintMax bytes of room) and returns the end.
inline char* EncodeVarint(uint64_t v, char* p) {
  while (v >= 0x80) {
    *p++ = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  *p++ = static_cast<char>(v);
  return p;
}

inline void PutVarint(uint64_t v, std::string* out) {
  char buffer[kVarintMax];
  out->append(buffer, static_cast<size_t>(EncodeVarint(v, buffer) - buffer));
}

inline bool GetVarint(absl::string_view* in, uint64_t* v) {
  uint64_t value = 0;
  for (size_t i = 0; i < in->size() && i < kVarintMax; ++i) {
    const auto byte = static_cast<uint8_t>((*in)[i]);
    if (i == kVarintMax - 1 && byte > 1) return false;
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *v = value;
      in->remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

inline void PutSigned(int64_t v, std::string* out) {
  PutVarint((static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63), out);
}

inline bool GetSigned(absl::string_view* in, int64_t* v) {
  uint64_t u;
  if (!GetVarint(in, &u)) return false;
  *v = static_cast<int64_t>(u >> 1) ^ -static_cast<int64_t>(u & 1);
  return true;
}

inline void PutDouble(double v, std::string* out) {
  char bytes[sizeof(v)];
  std::memcpy(bytes, &v, sizeof(v));
  out->append(bytes, sizeof(v));
}

inline bool GetDouble(absl::string_view* in, double* v) {
  if (in->size() < sizeof(*v)) return false;
  std::memcpy(v, in->data(), sizeof(*v));
  in->remove_prefix(sizeof(*v));
  return true;
}

inline void PutBytes(absl::string_view bytes, std::string* out) {
  PutVarint(bytes.size(), out);
  out->append(bytes.data(), bytes.size());
}

inline bool GetBytes(absl::string_view* in, absl::string_view* bytes) {
  uint64_t n;
  if (!GetVarint(in, &n) || n > in->size()) return false;
  *bytes = in->substr(0, n);
  in->remove_prefix(n);
  return true;
}

}  // namespace wheelpit
