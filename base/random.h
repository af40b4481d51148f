// Chance as it is passed in: a seeded generator (xoshiro256**), so that a simulation repeats from its seed.
#pragma once

#include <cstdint>

namespace wheelpit {

// Not thread-safe: one owner each.
class Rng {
 public:
  explicit Rng(uint64_t seed);
  uint64_t Next();
  // Uniform in [0, n); n > 0.
  uint64_t Below(uint64_t n);
  // Uniform in [0, 1).
  double Unit();
  // True with probability p.
  bool Chance(double p) { return Unit() < p; }

 private:
  uint64_t s_[4];
};

// A seed from the operating system, for app/ and the SDK.
uint64_t RandomSeed();

}  // namespace wheelpit
