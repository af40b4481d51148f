#include "client/loadgen/arrivals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace wheelpit {
namespace {

std::vector<double> All(RateProfile profile, uint64_t seed) {
  Arrivals arrivals(std::move(profile), seed);
  std::vector<double> times;
  while (const auto at = arrivals.Next()) times.push_back(*at);
  return times;
}

double CountIn(const std::vector<double>& times, double from, double to) {
  double n = 0;
  for (double t : times) n += t >= from && t < to ? 1 : 0;
  return n;
}

// Five standard deviations of a Poisson count.
void ExpectPoisson(double count, double mean) { EXPECT_NEAR(count, mean, 5 * std::sqrt(mean) + 1); }

TEST(ArrivalsTest, AConstantRateGivesPoissonCountsAndExponentialGaps) {
  const auto times = All(RateProfile::Decaying(100, 0, 100), 7);
  ExpectPoisson(static_cast<double>(times.size()), 10'000);
  double squares = 0, previous = 0;
  for (double t : times) {
    ASSERT_GE(t, previous);
    squares += (t - previous) * (t - previous);
    previous = t;
  }
  // E[gap^2] = 2 / rate^2: an even spacing would give half.
  EXPECT_NEAR(squares / static_cast<double>(times.size()), 2e-4, 2e-5);
}

TEST(ArrivalsTest, TheRateFallsExponentially) {
  const RateProfile profile = RateProfile::Decaying(200, 0.05, 100);
  const auto times = All(profile, 3);
  for (double from : {0.0, 20.0, 40.0, 60.0, 80.0}) {
    ExpectPoisson(CountIn(times, from, from + 20),
                  profile.Expected(from + 20) - profile.Expected(from));
  }
  EXPECT_NEAR(profile.Expected(20), 200 / 0.05 * (1 - std::exp(-1)), 1e-9);
}

TEST(ArrivalsTest, AProfileChangesItsRateAtItsTimes) {
  const auto profile = RateProfile::Parse("20:10s,0:5s,80:30s");
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->seconds(), 45);
  EXPECT_EQ(profile->Expected(45), 2600);
  const auto times = All(*profile, 11);
  ExpectPoisson(CountIn(times, 0, 10), 200);
  EXPECT_EQ(CountIn(times, 10, 15), 0);
  ExpectPoisson(CountIn(times, 15, 45), 2400);
}

TEST(ArrivalsTest, OneSeedIsOneSequence) {
  EXPECT_EQ(All(RateProfile::Decaying(10, 0, 10), 1), All(RateProfile::Decaying(10, 0, 10), 1));
  EXPECT_NE(All(RateProfile::Decaying(10, 0, 10), 1), All(RateProfile::Decaying(10, 0, 10), 2));
}

TEST(ArrivalsTest, WithoutEndADecayingRateStillEnds) {
  const auto times = All(RateProfile::Decaying(100, 1, std::numeric_limits<double>::infinity()), 5);
  ExpectPoisson(static_cast<double>(times.size()), 100);
}

TEST(ArrivalsTest, BadProfilesAreRefused) {
  for (const char* text : {"", "20", "20:", ":10s", "-1:10s", "20:10s,", "nan:1s", "a:1s", "1:x"}) {
    EXPECT_FALSE(RateProfile::Parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace wheelpit
