#include "base/random.h"

#include <sys/random.h>

#include "base/check.h"

namespace wheelpit {
namespace {

uint64_t RotateLeft(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

// splitmix64 spreads a small seed over the whole state, as the authors of xoshiro advise.
uint64_t SplitMix(uint64_t* x) {
  uint64_t z = (*x += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Rng::Rng(uint64_t seed) {
  for (uint64_t& word : s_) word = SplitMix(&seed);
}

uint64_t Rng::Next() {
  const uint64_t result = RotateLeft(s_[1] * 5, 7) * 9;
  const uint64_t t = s_[1] << 17;
  s_[2] ^= s_[0];
  s_[3] ^= s_[1];
  s_[1] ^= s_[2];
  s_[0] ^= s_[3];
  s_[2] ^= t;
  s_[3] = RotateLeft(s_[3], 45);
  return result;
}

uint64_t Rng::Below(uint64_t n) {
  WHEELPIT_CHECK(n > 0);
  // Values under 2^64 mod n would make the small remainders likelier.
  const uint64_t reject_below = (0 - n) % n;
  for (;;) {
    const uint64_t x = Next();
    if (x >= reject_below) return x % n;
  }
}

double Rng::Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

uint64_t RandomSeed() {
  uint64_t seed = 0;
  const ssize_t got = getrandom(&seed, sizeof(seed), 0);
  WHEELPIT_CHECK(got == static_cast<ssize_t>(sizeof(seed)), "getrandom gave %d bytes", got);
  return seed;
}

}  // namespace wheelpit
