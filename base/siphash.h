// SipHash-2-4 with 128-bit output (Aumasson and Bernstein 2012): keyed, so outsiders cannot make collisions.
#pragma once

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace wheelpit {

using SipKey = std::array<uint8_t, 16>;
struct Hash128 {
  uint64_t lo = 0, hi = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

Hash128 SipHash128(const SipKey& key, absl::string_view data);
uint64_t SipHash64(const SipKey& key, absl::string_view data);

}  // namespace wheelpit
