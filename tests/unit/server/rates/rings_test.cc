#include "server/rates/rings.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "base/random.h"

namespace wheelpit {
namespace {

constexpr int64_t kSecond = 1000;

int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// The vectors of the exact engine, r = 1 s.
class RingVectorsTest : public testing::Test {
 protected:
  void AddE1() {
    rings_.Add(3, 500, 0, 500);
    rings_.Add(5, 1200, 0, 1200);
    rings_.Add(2, 1900, 0, 1900);
    rings_.Add(7, 3000, 0, 3000);
  }
  Rings rings_;
};

TEST_F(RingVectorsTest, E1CountsWholeSlotsOfAClosedWindow) {
  AddE1();
  const Window w = WindowAt(3400, 3 * kSecond);
  EXPECT_EQ(w.start_s, 0);
  EXPECT_EQ(w.end_s, 3);
  EXPECT_EQ(rings_.Increase(3400, 3 * kSecond), 10u);
  EXPECT_DOUBLE_EQ(rings_.IncreaseAsDouble(3400, 3 * kSecond) / 3, 3.3333333333333335);
}

TEST_F(RingVectorsTest, E1OpenAddsTheRunningSlot) {
  AddE1();
  const uint64_t open = rings_.Increase(3400, 3 * kSecond) + rings_.Running(3400);
  EXPECT_EQ(open, 17u);
  EXPECT_DOUBLE_EQ(static_cast<double>(open) / 3.4, 5);
}

TEST_F(RingVectorsTest, E3AnAgedBatchCountsWhereItHappened) {
  AddE1();
  rings_.Add(4, 4100 - 1500, 0, 4100);
  EXPECT_EQ(rings_.Increase(4400, 3 * kSecond), 18u);
  EXPECT_EQ(rings_.Increase(4400, 1 * kSecond), 7u);
  EXPECT_EQ(rings_.Increase(3400, 1 * kSecond), 4u);
}

TEST_F(RingVectorsTest, E4AFirstDeltaCountsAtOnce) {
  rings_.Add(6, 5000, 0, 5000);
  EXPECT_EQ(rings_.Increase(6000, kSecond), 6u);
}

TEST_F(RingVectorsTest, E5SilenceReadsZero) {
  AddE1();
  EXPECT_EQ(rings_.Increase(73'100, 60 * kSecond), 0u);
}

TEST_F(RingVectorsTest, E9AdjacentWindowsAddUpToTheTotal) {
  AddE1();
  rings_.Add(4, 2600, 0, 4100);
  rings_.Add(6, 5000, 0, 5000);
  EXPECT_EQ(rings_.Increase(3000, 3 * kSecond), 14u);
  EXPECT_EQ(rings_.Increase(6000, 3 * kSecond), 13u);
  EXPECT_EQ(rings_.Increase(6000, 6 * kSecond), 27u);
}

TEST(WindowTest, WindowsRoundUpToWholeSecondsAndStartOnASlotEdge) {
  const auto at = [](int64_t now_ms, int64_t window_ms) {
    const Window w = WindowAt(now_ms, window_ms);
    return std::pair(w.start_s, w.end_s);
  };
  EXPECT_EQ(at(1'000'999, 1), std::pair(int64_t{999}, int64_t{1000}));
  EXPECT_EQ(at(1'000'999, 1001), std::pair(int64_t{998}, int64_t{1000}));
  EXPECT_EQ(at(1'007'000, 60'000), std::pair(int64_t{947}, int64_t{1007}));
  EXPECT_EQ(at(1'007'000, 61'000), std::pair(int64_t{940}, int64_t{1007}));
  EXPECT_EQ(at(1'007'000, 600'000), std::pair(int64_t{400}, int64_t{1007}));
  EXPECT_EQ(at(1'007'000, 601'000), std::pair(int64_t{360}, int64_t{1007}));
  EXPECT_EQ(at(10'007'000, 3'600'000), std::pair(int64_t{6360}, int64_t{10'007}));
  EXPECT_EQ(at(10'007'000, 9'000'000), at(10'007'000, 3'600'000)) << "an hour at most";
}

TEST(CoverageTest, CoverageIsTheKnownShareAndDecidesReadiness) {
  const Window minute{100, 160};
  EXPECT_DOUBLE_EQ(CoverageOf(minute, 0).share, 1);
  EXPECT_DOUBLE_EQ(CoverageOf(minute, 100'000).share, 1);
  const Coverage half = CoverageOf(minute, 130'000);
  EXPECT_DOUBLE_EQ(half.share, 0.5);
  EXPECT_DOUBLE_EQ(half.covered_s, 30);
  EXPECT_TRUE(half.ready);
  EXPECT_FALSE(CoverageOf(minute, 130'001).ready) << "less than 30 s is known";
  EXPECT_TRUE(CoverageOf({100, 110}, 100'000).ready) << "a short window needs only itself";
  EXPECT_FALSE(CoverageOf({100, 110}, 101'000).ready);
  EXPECT_DOUBLE_EQ(CoverageOf(minute, 500'000).covered_s, 0);
}

TEST(RingsTest, EventsOfTheFutureCountAsNow) {
  Rings rings;
  rings.Add(5, 90'000, 0, 10'500);
  EXPECT_EQ(rings.Running(10'500), 5u);
  EXPECT_EQ(rings.newest_s(), 10);
}

TEST(RingsTest, OldEventsSkipTheRingsThatAreTooShort) {
  Rings rings;
  const int64_t now = 100'000 * kSecond;
  rings.Add(1, now, 0, now);
  EXPECT_EQ(rings.Add(10, now - 100 * kSecond, 0, now), 0u);
  EXPECT_EQ(rings.Increase(now, 60 * kSecond), 0u);
  EXPECT_EQ(rings.Increase(now, 120 * kSecond), 10u);
  EXPECT_EQ(rings.Add(20, now - 1000 * kSecond, 0, now), 0u);
  EXPECT_EQ(rings.Increase(now, 600 * kSecond), 10u);
  EXPECT_EQ(rings.Increase(now, 3600 * kSecond), 30u);
  EXPECT_EQ(rings.Add(40, now - 3900 * kSecond, 0, now), 40u) << "older than every ring";
  EXPECT_EQ(rings.Increase(now, 3600 * kSecond), 30u);
}

TEST(RingsTest, LongIntervalsSpreadByLargestRemainder) {
  Rings rings;
  // [1.5 s, 4.5 s]: half of slot 1, slots 2 and 3, half of slot 4; 10 = 1.67 + 3.33 + 3.33 + 1.67.
  rings.Add(10, 4500, 3000, 4500);
  EXPECT_EQ(rings.Increase(2000, kSecond), 2u);
  EXPECT_EQ(rings.Increase(3000, kSecond), 3u);
  EXPECT_EQ(rings.Increase(4000, kSecond), 3u);
  EXPECT_EQ(rings.Increase(5000, kSecond), 2u);
  EXPECT_EQ(rings.Increase(5000, 5 * kSecond), 10u);
}

TEST(RingsTest, SpreadNeverLosesACountAndReportsWhatIsTooOld) {
  Rng rng(7);
  for (int round = 0; round < 500; ++round) {
    Rings rings;
    const int64_t now = 50'000'000 + static_cast<int64_t>(rng.Below(100'000));
    const int64_t interval = static_cast<int64_t>(rng.Below(round % 5 == 0 ? 9'000'000 : 90'000));
    const uint64_t delta = rng.Below(round % 2 == 0 ? 20 : 1'000'000'000'000);
    const uint64_t late = rings.Add(delta, now, interval, now);
    uint64_t seen = rings.Running(now) + rings.Increase(now, 3'600'000);
    if (interval <= 3'600'000) {
      ASSERT_EQ(late, 0u) << "round " << round;
      ASSERT_EQ(seen, delta) << "interval " << interval;
    } else {
      ASSERT_LE(seen + late, delta);
    }
  }
}

TEST(RingsTest, SlotsThatOutgrow32BitsWiden) {
  Rings rings;
  const size_t narrow = rings.bytes();
  EXPECT_EQ(narrow, 792u);
  rings.Add(4'000'000'000, 500, 0, 500);
  EXPECT_EQ(rings.bytes(), narrow);
  rings.Add(4'000'000'000, 600, 0, 600);
  EXPECT_EQ(rings.Running(600), 8'000'000'000u);
  rings.Add(1, 1500, 0, 1500);
  EXPECT_GT(rings.bytes(), narrow);
  EXPECT_EQ(rings.Increase(1500, kSecond), 8'000'000'000u);
  EXPECT_EQ(rings.Increase(2500, 60 * kSecond), 8'000'000'001u);
  EXPECT_FALSE(rings.has_fractions());
}

TEST(RingsTest, SlotsThatOutgrow64BitsGoOnAsDouble) {
  Rings rings;
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  rings.Add(most, 500, 0, 500);
  EXPECT_EQ(rings.Increase(1500, kSecond), most);
  rings.Add(most, 600, 0, 600);
  EXPECT_TRUE(rings.has_fractions());
  EXPECT_DOUBLE_EQ(rings.IncreaseAsDouble(1500, kSecond), 2 * std::pow(2.0, 64));
}

TEST(RingsTest, TheNewestSecondOutgrows64BitsToo) {
  Rings rings;
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  rings.Add(1, 500, 0, 500);
  rings.Add(uint64_t{1} << 62, 600, 0, 600);
  EXPECT_EQ(rings.Increase(1500, kSecond), (uint64_t{1} << 62) + 1);
  rings.Add(most, 700, 0, 700);
  EXPECT_DOUBLE_EQ(rings.IncreaseAsDouble(1500, kSecond), std::pow(2.0, 62) + std::pow(2.0, 64));
}

TEST(RingsTest, TheNewestSecondIsInEveryEncoding) {
  Rings rings;
  for (int i = 0; i < 10; ++i) rings.Add(3'000'000'000, 500, 0, 500);
  std::string bytes;
  rings.EncodeTo(&bytes);
  Rings copy;
  absl::string_view in = bytes;
  ASSERT_TRUE(Rings::Decode(&in, &copy));
  EXPECT_EQ(copy.Increase(1500, kSecond), 30'000'000'000u);
  EXPECT_EQ(copy.Increase(60'500, 600 * kSecond), 30'000'000'000u);
  rings.AddFraction(0.5, RingTime(600, 0, 600));
  EXPECT_DOUBLE_EQ(rings.IncreaseAsDouble(1500, kSecond), 30'000'000'000.5);
}

TEST(RingsTest, FractionsCount) {
  Rings rings;
  rings.Add(2, 500, 0, 500);
  rings.AddFraction(0.25, RingTime(700, 0, 700));
  EXPECT_TRUE(rings.has_fractions());
  EXPECT_DOUBLE_EQ(rings.IncreaseAsDouble(1500, kSecond), 2.25);
  rings.Add(1, 1500, 0, 1500);
  EXPECT_DOUBLE_EQ(rings.RunningAsDouble(1500), 1);
  rings.AddFraction(3, RingTime(4500, 3000, 4500));
  EXPECT_DOUBLE_EQ(rings.IncreaseAsDouble(5000, 5 * kSecond), 6.25);
  EXPECT_DOUBLE_EQ(rings.IncreaseAsDouble(3000, kSecond), 1);
}

TEST(RingsTest, AnHourOfZerosExpires) {
  Rings rings;
  EXPECT_TRUE(rings.Expired(0));
  rings.Add(1, 60'000, 0, 60'000);
  EXPECT_FALSE(rings.Expired(60'000 + 63 * 60'000));
  EXPECT_TRUE(rings.Expired(60'000 + 64 * 60'000));
}

// Counts by second: what the rings must tell, whatever they keep of it.
class NaiveModel {
 public:
  void Add(uint64_t delta, int64_t event_ms, int64_t now_ms) { by_second_[FloorDiv(std::min(event_ms, now_ms), 1000)] += delta; }
  uint64_t Sum(int64_t from_s, int64_t to_s) const {
    uint64_t sum = 0;
    for (auto it = by_second_.lower_bound(from_s); it != by_second_.end() && it->first < to_s; ++it) sum += it->second;
    return sum;
  }

 private:
  std::map<int64_t, uint64_t> by_second_;
};

TEST(RingsTest, EveryWindowEqualsANaiveModel) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Rng rng(seed);
    auto rings = std::make_unique<Rings>();
    NaiveModel model;
    int64_t now = 1'000'000 + static_cast<int64_t>(rng.Below(1'000'000));
    for (int step = 0; step < 600; ++step) {
      static constexpr uint64_t kPauses[] = {10, 900, 5'000, 70'000, 700'000};
      now += static_cast<int64_t>(rng.Below(kPauses[rng.Below(rng.Chance(0.05) ? 5 : 3)]));
      const uint64_t delta = rng.Below(rng.Chance(0.02) ? 6'000'000'000 : 50);
      // Up to an hour late, or ahead of time.
      const int64_t age = rng.Chance(0.3) ? static_cast<int64_t>(rng.Below(3'600'000)) : static_cast<int64_t>(rng.Below(3'000)) - 500;
      EXPECT_EQ(rings->Add(delta, now - age, 0, now), 0u);
      model.Add(delta, now - age, now);
      if (rng.Chance(0.02)) {
        std::string bytes;
        rings->EncodeTo(&bytes);
        rings = std::make_unique<Rings>();
        absl::string_view in = bytes;
        ASSERT_TRUE(Rings::Decode(&in, rings.get()));
        ASSERT_TRUE(in.empty());
      }
      const auto window_ms = static_cast<int64_t>(1 + rng.Below(rng.Chance(0.5) ? 60'000 : 3'600'000));
      const Window w = WindowAt(now, window_ms);
      ASSERT_EQ(rings->Increase(now, window_ms), model.Sum(w.start_s, w.end_s))
          << "replay: seed " << seed << " step " << step << " window " << window_ms << " at " << now;
      ASSERT_EQ(rings->Running(now), model.Sum(w.end_s, w.end_s + 1)) << "seed " << seed << " step " << step;
    }
  }
}

TEST(RingsTest, IncreasesOverAdjacentWindowsAddUp) {
  Rng rng(11);
  Rings rings;
  uint64_t total = 0, windows = 0;
  // Read each second over one second: every count is read once, when its second is over.
  for (int64_t second = 1000; second < 3000; ++second) {
    windows += rings.Increase(second * 1000, 1000);
    for (int i = 0; i < 3; ++i) {
      const uint64_t delta = rng.Below(100);
      rings.Add(delta, second * 1000 + static_cast<int64_t>(rng.Below(1000)), 0, second * 1000 + 999);
      total += delta;
    }
  }
  windows += rings.Increase(3'000'000, 1000);
  EXPECT_EQ(windows, total);
}

TEST(RingsTest, DamagedEncodingsAreRefusedOrHarmless) {
  Rings rings;
  Rng rng(5);
  for (int i = 0; i < 200; ++i) rings.Add(rng.Below(1000), 1'000'000 + i * 700, 0, 1'000'000 + i * 700);
  std::string good;
  rings.EncodeTo(&good);
  for (size_t cut = 0; cut < good.size(); ++cut) {
    Rings out;
    absl::string_view in(good.data(), cut);
    EXPECT_FALSE(Rings::Decode(&in, &out)) << cut;
  }
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good;
    bad[rng.Below(bad.size())] ^= static_cast<char>(1 << rng.Below(8));
    Rings out;
    absl::string_view in = bad;
    if (Rings::Decode(&in, &out)) out.Increase(1'200'000, 3'600'000);
  }
}

}  // namespace
}  // namespace wheelpit
