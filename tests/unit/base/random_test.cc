#include "base/random.h"

#include <array>

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

// xoshiro256** seeded through splitmix64(0), as its authors' reference code prints it.
TEST(RngTest, ReferenceSequence) {
  Rng rng(0);
  EXPECT_EQ(rng.Next(), 11091344671253066420u);
  EXPECT_EQ(rng.Next(), 13793997310169335082u);
  EXPECT_EQ(rng.Next(), 1900383378846508768u);
  EXPECT_EQ(rng.Next(), 7684712102626143532u);
}

TEST(RngTest, SameSeedSameSequence) {
  Rng a(42), b(42), c(43);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const uint64_t x = a.Next();
    ASSERT_EQ(x, b.Next());
    differs = differs || x != c.Next();
  }
  EXPECT_TRUE(differs);
}

TEST(RngTest, BelowCoversItsRangeEvenly) {
  Rng rng(7);
  std::array<int, 6> seen{};
  for (int i = 0; i < 60'000; ++i) ++seen[rng.Below(6)];
  // Five sigma of a binomial with n = 60,000, p = 1/6.
  for (int n : seen) EXPECT_NEAR(n, 10'000, 457);
  EXPECT_EQ(rng.Below(1), 0u);
}

TEST(RngTest, UnitAndChance) {
  Rng rng(9);
  double sum = 0;
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double u = rng.Unit();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    hits += rng.Chance(0.25) ? 1 : 0;
    ASSERT_FALSE(rng.Chance(0));
    ASSERT_TRUE(rng.Chance(1));
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
  EXPECT_NEAR(hits, 2500, 220);
}

}  // namespace
}  // namespace wheelpit
