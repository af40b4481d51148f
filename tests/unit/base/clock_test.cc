#include "base/clock.h"

#include "base/check.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

TEST(SystemClockTest, StartsAtTheWallClock) {
  const TimeMs before = absl::ToUnixMillis(SystemClock().WallNow());
  const SystemClock clock;
  EXPECT_GE(clock.NowMs(), before);
}

TEST(SystemClockTest, StartsFromTheLaterStoredTime) {
  const TimeMs later = absl::ToUnixMillis(SystemClock().WallNow()) + 1'000'000'000;
  const SystemClock clock(later);
  EXPECT_GE(clock.NowMs(), later);
}

TEST(SystemClockTest, AdvanceMovesForwardOnly) {
  SystemClock clock;
  const TimeMs later = clock.NowMs() + 5'000'000;
  clock.AdvanceTo(later);
  EXPECT_GE(clock.NowMs(), later);
  clock.AdvanceTo(1);
  EXPECT_GE(clock.NowMs(), later);
}

TEST(SystemClockTest, NeverFalls) {
  const SystemClock clock;
  TimeMs last = clock.NowMs();
  int64_t last_ns = clock.MonotonicNanos();
  for (int i = 0; i < 10'000; ++i) {
    const TimeMs now = clock.NowMs();
    const int64_t now_ns = clock.MonotonicNanos();
    ASSERT_GE(now, last);
    ASSERT_GE(now_ns, last_ns);
    last = now;
    last_ns = now_ns;
  }
}

TEST(CheckDeathTest, NamesConditionAndDetail) {
  const int lsn = 7;
  EXPECT_DEATH(WHEELPIT_CHECK(lsn > 8, "lsn %d after %d", lsn, 8),
               "clock_test.cc:[0-9]+: check failed: lsn > 8: lsn 7 after 8");
  EXPECT_DEATH(WHEELPIT_CHECK(lsn == 8), "check failed: lsn == 8");
}

TEST(CheckTest, HoldingConditionDoesNothing) {
  int evaluated = 0;
  WHEELPIT_CHECK(++evaluated == 1, "seen %d", evaluated);
  EXPECT_EQ(evaluated, 1);
}

}  // namespace
}  // namespace wheelpit
