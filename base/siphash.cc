#include "base/siphash.h"

#include <cstring>

namespace wheelpit {
namespace {

uint64_t RotateLeft(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

uint64_t LoadLittle(const void* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

struct SipState {
  uint64_t v0, v1, v2, v3;

  explicit SipState(const SipKey& key) {
    const uint64_t k0 = LoadLittle(key.data());
    const uint64_t k1 = LoadLittle(key.data() + 8);
    v0 = k0 ^ 0x736f6d6570736575;
    v1 = k1 ^ 0x646f72616e646f6d;
    v2 = k0 ^ 0x6c7967656e657261;
    v3 = k1 ^ 0x7465646279746573;
  }

  void Round() {
    v0 += v1;
    v1 = RotateLeft(v1, 13) ^ v0;
    v0 = RotateLeft(v0, 32);
    v2 += v3;
    v3 = RotateLeft(v3, 16) ^ v2;
    v0 += v3;
    v3 = RotateLeft(v3, 21) ^ v0;
    v2 += v1;
    v1 = RotateLeft(v1, 17) ^ v2;
    v2 = RotateLeft(v2, 32);
  }

  void Absorb(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }

  void AbsorbAll(absl::string_view data) {
    const char* p = data.data();
    size_t n = data.size();
    for (; n >= 8; n -= 8, p += 8) Absorb(LoadLittle(p));
    uint64_t last = static_cast<uint64_t>(data.size()) << 56;
    for (size_t i = 0; i < n; ++i)
      last |= static_cast<uint64_t>(static_cast<uint8_t>(p[i])) << (8 * i);
    Absorb(last);
  }

  uint64_t Finish() {
    for (int i = 0; i < 4; ++i) Round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace

Hash128 SipHash128(const SipKey& key, absl::string_view data) {
  SipState state(key);
  state.v1 ^= 0xee;
  state.AbsorbAll(data);
  state.v2 ^= 0xee;
  Hash128 hash;
  hash.lo = state.Finish();
  state.v1 ^= 0xdd;
  hash.hi = state.Finish();
  return hash;
}

uint64_t SipHash64(const SipKey& key, absl::string_view data) {
  SipState state(key);
  state.AbsorbAll(data);
  state.v2 ^= 0xff;
  return state.Finish();
}

}  // namespace wheelpit
