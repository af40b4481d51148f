// What expressions are worth on known rings: the exact engine's vectors, aggregation, arithmetic,
// certainty.
#include <cmath>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "tests/unit/server/promql/promql_fixture.h"

namespace wheelpit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

class EvaluationTest : public PromqlTest {
 protected:
  // The deltas of vector E1.
  SeriesId MakeE1() {
    const SeriesId id = MakeCounter("x_total");
    Count(id, 3, 500);
    Count(id, 5, 1200);
    Count(id, 2, 1900);
    Count(id, 7, 3000);
    return id;
  }
  // With windows that end now.
  double Open(const std::string& query, int64_t now_ms) {
    const auto result = engine_->QueryAt(query, now_ms, now_ms, UnknownPolicy::kFail, WindowEnd::kNow);
    EXPECT_TRUE(result.ok() && result->vector.size() == 1) << query << ": " << result.status();
    return result.ok() && !result->vector.empty() ? result->vector[0].value : -1;
  }
};

TEST_F(EvaluationTest, E1CountsWholeSeconds) {
  MakeE1();
  EXPECT_EQ(Value("increase(x_total[3s])", 3400), 10);
  EXPECT_EQ(Value("rate(x_total[3s])", 3400), 3.3333333333333335);
  EXPECT_EQ(Value("irate(x_total[3s])", 3400), 3.3333333333333335);
  EXPECT_EQ(Value("x_total", 3400), 17);
}

TEST_F(EvaluationTest, AnOpenWindowCountsTheRunningSecond) {
  MakeE1();
  EXPECT_EQ(Open("increase(x_total[3s])", 3400), 17);
  EXPECT_EQ(Open("rate(x_total[3s])", 3400), 5);
  EXPECT_EQ(Open("sum(rate(x_total[3s]))", 3400), 5);
  // On a whole second there is nothing to add.
  EXPECT_EQ(Open("rate(x_total[3s])", 2000), Value("rate(x_total[3s])", 2000));
  // What lies in the past is as ever.
  EXPECT_EQ(Open("increase(x_total[2s] offset 1s)", 3400), Value("increase(x_total[2s] offset 1s)", 3400));
  EXPECT_EQ(Open("x_total", 3400), 17);
}

TEST_F(EvaluationTest, AnOpenWindowShowsTheFirstCountAtOnce) {
  const SeriesId id = MakeCounter("x_total", {}, 61'700);
  EXPECT_EQ(Open("rate(x_total[60s])", 61'800), 0);
  Count(id, 2, 61'800);
  EXPECT_EQ(Open("increase(x_total[60s])", 61'800), 2);
  EXPECT_EQ(Open("rate(x_total[60s])", 61'800), 2 / 60.8);
  EXPECT_EQ(Value("rate(x_total[60s])", 61'800), 0);
}

TEST_F(EvaluationTest, AnOpenWindowDividesByWhatIsCovered) {
  SetHistoryStart(10'000);
  const SeriesId id = MakeCounter("x_total", {}, 10'000);
  for (int64_t ms = 10'000; ms < 50'500; ms += 100) Count(id, 1, ms);
  EXPECT_NEAR(Open("rate(x_total[60s])", 50'500), 10, 1e-9);
}

TEST_F(EvaluationTest, E3LateBatchFillsItsSecond) {
  const SeriesId id = MakeE1();
  Count(id, 4, 2600, 4100);
  EXPECT_EQ(Value("increase(x_total[3s])", 4400), 18);
  EXPECT_EQ(Value("x_total", 4400), 21);
}

TEST_F(EvaluationTest, E4ABornSeriesCountsFromItsFirstIncrement) {
  const SeriesId id = MakeCounter("x_total", {}, 5000);
  Count(id, 6, 5000);
  EXPECT_EQ(Value("increase(x_total[1s])", 6000), 6);
}

TEST_F(EvaluationTest, E5IdleIsZero) {
  MakeE1();
  EXPECT_EQ(Value("rate(x_total[60s])", 80'000), 0);
  EXPECT_EQ(Value("increase(x_total[1h])", 80'000), 17);
}

TEST_F(EvaluationTest, E6SilentIsUnknownNeverZero) {
  MakeE1();
  store_.SetReporter(kReporter, SeriesStore::ReporterState::kLive, 13'000);
  EXPECT_EQ(Value("rate(x_total[3s])", 12'000), 0);
  EXPECT_THAT(ErrorOf("rate(x_total[3s])", 14'000),
              StartsWith("UNKNOWN value of {} cannot be known now: the reporters"));
  EXPECT_THAT(ErrorOf("sum(rate(x_total[3s])) or vector(0)", 14'000), StartsWith("UNKNOWN"));
  EXPECT_THAT(ErrorOf("sum(rate(x_total[3s])) * 2 + 1", 14'000), StartsWith("UNKNOWN"));
  EXPECT_THAT(ErrorOf("scalar(sum(rate(x_total[3s])))", 14'000), StartsWith("UNKNOWN"));
  EXPECT_THAT(ErrorOf("rate(x_total[3s]) > 5", 14'000), StartsWith("UNKNOWN"));
  EXPECT_EQ(Ask("rate(x_total[3s])", 14'000).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EvaluationTest, E9AdjacentIncreasesAddUpToTheChange) {
  const SeriesId id = MakeE1();
  Count(id, 4, 2600, 4100);
  Count(id, 6, 5000);
  EXPECT_EQ(Value("increase(x_total[3s] offset 3s)", 6000), 14);
  EXPECT_EQ(Value("increase(x_total[3s])", 6000), 13);
  EXPECT_EQ(Value("increase(x_total[6s])", 6000), 27);
}

TEST_F(EvaluationTest, IncreasesAddUpOverRandomTimes) {
  Rng rng(11);
  const SeriesId id = MakeCounter("x_total");
  std::map<int64_t, uint64_t> by_second;
  int64_t now = 10'000'000;
  for (int i = 0; i < 3000; ++i) {
    now += static_cast<int64_t>(rng.Below(2000));
    const uint64_t delta = rng.Below(100);
    Count(id, delta, now);
    by_second[now / 1000] += delta;
  }
  const auto counted = [&](int64_t from_s, int64_t to_s) {
    double sum = 0;
    for (const auto& [second, n] : by_second)
      if (second >= from_s && second < to_s) sum += static_cast<double>(n);
    return sum;
  };
  const int64_t end_s = now / 1000;
  for (int64_t w : {1, 7, 60}) {
    EXPECT_EQ(Value(absl::StrCat("increase(x_total[", w, "s])"), now), counted(end_s - w, end_s))
        << w;
    for (int64_t offset : {1, 20, 59}) {
      if (w + offset > 60) continue;
      EXPECT_EQ(Value(absl::StrCat("increase(x_total[", w, "s] offset ", offset, "s)"), now),
                counted(end_s - offset - w, end_s - offset));
      EXPECT_EQ(Value(absl::StrCat("x_total offset ", offset, "s"), now),
                counted(0, end_s - offset));
    }
  }
  // Beyond a minute the start lies on a 10 s slot, beyond 10 minutes on a minute.
  EXPECT_EQ(Value("increase(x_total[5m])", now), counted((end_s - 300) / 10 * 10, end_s));
  EXPECT_EQ(Value("increase(x_total[30m])", now), counted((end_s - 1800) / 60 * 60, end_s));
  EXPECT_EQ(Value("increase(x_total[5m] offset 2m)", now),
            counted((end_s - 420) / 10 * 10, (end_s - 120) / 10 * 10));
  EXPECT_EQ(Value("rate(x_total[5m] offset 2m)", now) *
                static_cast<double>((end_s - 120) / 10 * 10 - (end_s - 420) / 10 * 10),
            Value("increase(x_total[5m] offset 2m)", now));
}

TEST_F(EvaluationTest, OffsetWindowThatIsTooShortIsRefused) {
  MakeE1();
  EXPECT_THAT(ErrorOf("rate(x_total[1s] offset 15m)", 4'000'000),
              HasSubstr("EXECUTION 1:1: the window is shorter"));
}

TEST_F(EvaluationTest, ShortHistoryIsUnknownThenDividesByWhatIsCovered) {
  const SeriesId id = MakeCounter("x_total", {}, 100'000);
  SetHistoryStart(100'000);
  Count(id, 40, 101'000);
  EXPECT_THAT(ErrorOf("rate(x_total[60s])", 120'000),
              HasSubstr("less than 30 s of its history is known"));
  EXPECT_THAT(ErrorOf("sum(increase(x_total[60s]))", 129'000), StartsWith("UNKNOWN"));
  EXPECT_EQ(Value("rate(x_total[60s])", 140'000), 1);
  EXPECT_EQ(Value("increase(x_total[60s])", 140'000), 40);
  EXPECT_THAT(ErrorOf("rate(x_total[10s])", 105'000), StartsWith("UNKNOWN"));
  EXPECT_EQ(Value("rate(x_total[10s])", 110'000), 4);
  EXPECT_EQ(Value("x_total", 101'500), 40) << "a total needs no window";
}

TEST_F(EvaluationTest, QueueFedSeriesAreAlwaysCovered) {
  const SeriesId id = Make("x_total", MetricType::kCounter, {}, 100'000, {});
  MakeQueueFed(id);
  SetHistoryStart(100'000);
  Count(id, 60, 101'000);
  EXPECT_EQ(Value("rate(x_total[60s])", 102'000), 1);
}

TEST_F(EvaluationTest, SomeSilentIsPartial) {
  const SeriesId both = Make("x_total", MetricType::kCounter, {{"s", "both"}}, 0, {1, 2});
  const SeriesId silent = Make("x_total", MetricType::kCounter, {{"s", "silent"}}, 0, {2});
  store_.SetReporter(2, SeriesStore::ReporterState::kLive, 50'000);
  Count(both, 10, 95'000);
  Count(silent, 10, 45'000);
  const auto omitted = Ask("increase(x_total[10s])", 100'000, UnknownPolicy::kOmit);
  ASSERT_TRUE(omitted.ok()) << omitted.status();
  ASSERT_EQ(omitted->vector.size(), 1u);
  EXPECT_EQ(omitted->vector[0].value, 10);
  EXPECT_TRUE(omitted->vector[0].partial);
  EXPECT_THAT(ErrorOf("increase(x_total[10s])", 100'000), HasSubstr("value of {s=\"silent\"}"));
  const auto sum = Ask("sum(increase(x_total[10s]))", 100'000);
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->vector[0].value, 10);
  EXPECT_TRUE(sum->vector[0].partial);
  EXPECT_THAT(ErrorOf("sum by (s) (increase(x_total[10s]))", 100'000), StartsWith("UNKNOWN"));
  const auto none_left = Ask("increase(x_total{s=\"silent\"}[10s])", 100'000, UnknownPolicy::kOmit);
  EXPECT_EQ(ErrorReason(none_left.status()), "UNKNOWN");
  // What was counted is a fact; more may come.
  const auto total = Ask("x_total{s=\"silent\"}", 100'000);
  ASSERT_TRUE(total.ok());
  EXPECT_EQ(total->vector[0].value, 10);
  EXPECT_TRUE(total->vector[0].partial);
}

TEST_F(EvaluationTest, AbsentIsEmpty) {
  EXPECT_THAT(Values("x_total", 1000), IsEmpty());
  EXPECT_THAT(Values("sum(rate(x_total[1m]))", 1000), IsEmpty());
  EXPECT_THAT(Values("sum(rate(x_total[1m])) or vector(0)", 1000), ElementsAre(Pair("{}", 0)));
  EXPECT_THAT(Values("count(x_total)", 1000), IsEmpty());
  EXPECT_THAT(Values("absent(x_total{a=\"1\",b=~\"2\"})", 1000), ElementsAre(Pair("{a=1}", 1)));
  EXPECT_THAT(Values("absent(sum(x_total))", 1000), ElementsAre(Pair("{}", 1)));
  MakeCounter("x_total");
  EXPECT_THAT(Values("absent(x_total)", 1000), IsEmpty());
  EXPECT_THAT(Values("x_total", 1000), ElementsAre(Pair("x_total{}", 0)))
      << "declared: zero, not absent";
}

TEST_F(EvaluationTest, MatchersAreAnchoredAndMissingLabelsAreEmpty) {
  MakeGauge("g", {{"a", "one"}}, 1);
  MakeGauge("g", {{"a", "two\nlines"}}, 2);
  MakeGauge("g", {}, 3);
  EXPECT_THAT(Values("g{a=\"one\"}", 1000), ElementsAre(Pair("g{a=one}", 1)));
  EXPECT_THAT(Values("g{a=~\"on\"}", 1000), IsEmpty());
  EXPECT_THAT(Values("g{a=~\"on.\"}", 1000), ElementsAre(Pair("g{a=one}", 1)));
  EXPECT_THAT(Values("g{a=~\"two.*\"}", 1000), ElementsAre(Pair("g{a=two\nlines}", 2)));
  EXPECT_THAT(Values("g{a=\"\"}", 1000), ElementsAre(Pair("g{}", 3)));
  EXPECT_THAT(Values("g{a!=\"\"}", 1000),
              ElementsAre(Pair("g{a=one}", 1), Pair("g{a=two\nlines}", 2)));
  EXPECT_THAT(Values("g{a!~\"one|two.*\"}", 1000), ElementsAre(Pair("g{}", 3)));
  EXPECT_THAT(Values("g{a=~\"x|\"}", 1000), ElementsAre(Pair("g{}", 3)));
}

TEST_F(EvaluationTest, NamesByRegexReadAllFamilies) {
  MakeGauge("a_one", {}, 1);
  MakeGauge("a_two", {{"x", "1"}}, 2);
  MakeGauge("b", {{"x", "1"}}, 3);
  EXPECT_THAT(Values("{__name__=~\"a_.*\"}", 1000),
              ElementsAre(Pair("a_one{}", 1), Pair("a_two{x=1}", 2)));
  EXPECT_THAT(Values("{x=\"1\"}", 1000), ElementsAre(Pair("a_two{x=1}", 2), Pair("b{x=1}", 3)));
  EXPECT_THAT(Values("{x=\"1\",__name__!=\"b\"}", 1000), ElementsAre(Pair("a_two{x=1}", 2)));
  EXPECT_THAT(Values("count by (__name__) ({x=\"1\"})", 1000),
              ElementsAre(Pair("a_two{}", 1), Pair("b{}", 1)));
  EXPECT_THAT(Values("count without (q) ({x=\"1\"})", 1000), ElementsAre(Pair("{x=1}", 2)));
  EXPECT_THAT(ErrorOf("-{x=\"1\"}"),
              HasSubstr("vector cannot contain metrics with the same labelset"));
  EXPECT_THAT(ErrorOf("abs({x=\"1\"})"), HasSubstr("EXECUTION 1:1: vector cannot contain"));
  EXPECT_THAT(ErrorOf("2 * {x=\"1\"}"), HasSubstr("EXECUTION 1:3: vector cannot contain"));
}

TEST_F(EvaluationTest, AggregationGroups) {
  MakeGauge("g", {{"queue", "a"}, {"pod", "1"}}, 1);
  MakeGauge("g", {{"queue", "a"}, {"pod", "2"}}, 3);
  MakeGauge("g", {{"queue", "b"}, {"pod", "1"}}, 10);
  MakeGauge("g", {{"pod", "1"}}, 100);
  EXPECT_EQ(Value("sum(g)", 1000), 114);
  EXPECT_EQ(Value("avg(g)", 1000), 28.5);
  EXPECT_EQ(Value("min(g)", 1000), 1);
  EXPECT_EQ(Value("max(g)", 1000), 100);
  EXPECT_EQ(Value("count(g)", 1000), 4);
  EXPECT_EQ(Value("group(g)", 1000), 1);
  EXPECT_THAT(Values("sum by (queue) (g)", 1000),
              ElementsAre(Pair("{queue=a}", 4), Pair("{queue=b}", 10), Pair("{}", 100)));
  EXPECT_THAT(Values("sum without (pod) (g)", 1000),
              ElementsAre(Pair("{queue=a}", 4), Pair("{queue=b}", 10), Pair("{}", 100)));
  EXPECT_THAT(Values("sum by (nothing) (g)", 1000), ElementsAre(Pair("{}", 114)));
  EXPECT_THAT(Values("max by (pod, queue) (g{queue=\"a\"})", 1000),
              ElementsAre(Pair("{pod=1,queue=a}", 1), Pair("{pod=2,queue=a}", 3)));
  EXPECT_THAT(Values("sum(sum by (queue, pod) (g) * 2) by (pod)", 1000),
              ElementsAre(Pair("{pod=1}", 222), Pair("{pod=2}", 6)));
}

TEST_F(EvaluationTest, NanPoisonsSumsNotExtremes) {
  MakeGauge("g", {{"a", "1"}}, std::nan(""));
  MakeGauge("g", {{"a", "2"}}, 5);
  MakeGauge("g", {{"a", "3"}}, 7);
  EXPECT_TRUE(std::isnan(Value("sum(g)", 1000)));
  EXPECT_TRUE(std::isnan(Value("avg(g)", 1000)));
  EXPECT_EQ(Value("min(g)", 1000), 5);
  EXPECT_EQ(Value("max(g)", 1000), 7);
  EXPECT_EQ(Value("count(g)", 1000), 3);
  EXPECT_TRUE(std::isnan(Value("max(g{a=\"1\"})", 1000)));
}

TEST_F(EvaluationTest, SumsKeepWhatDoublesDrop) {
  MakeGauge("g", {{"a", "1"}}, 1e100);
  MakeGauge("g", {{"a", "2"}}, 1);
  MakeGauge("g", {{"a", "3"}}, -1e100);
  EXPECT_EQ(Value("sum(g)", 1000), 1);
  MakeGauge("h", {{"a", "1"}}, HUGE_VAL);
  MakeGauge("h", {{"a", "2"}}, 1);
  EXPECT_EQ(Value("sum(h)", 1000), HUGE_VAL);
}

TEST_F(EvaluationTest, SumOfRatesEqualsRateBySeries) {
  double sum = 0;
  for (int i = 0; i < 5000; ++i) {
    const SeriesId id =
        MakeCounter("x_total", {{"i", absl::StrCat(i)}, {"mod", absl::StrCat(i % 7)}});
    Count(id, static_cast<uint64_t>(i), 995'000);
    sum += i;
  }
  EXPECT_EQ(Value("sum(increase(x_total[10s]))", 1'000'000), sum);
  double by_group = 0;
  for (const auto& [labels, value] : Values("sum by (mod) (increase(x_total[10s]))", 1'000'000))
    by_group += value;
  EXPECT_EQ(by_group, sum);
  EXPECT_EQ(Value("count(rate(x_total[10s]))", 1'000'000), 5000);
}

TEST_F(EvaluationTest, ArithmeticWithNumbers) {
  MakeGauge("g", {{"a", "1"}}, 7);
  EXPECT_THAT(Values("g", 1000), ElementsAre(Pair("g{a=1}", 7)));
  EXPECT_THAT(Values("g * 2 + 1", 1000), ElementsAre(Pair("{a=1}", 15)));
  EXPECT_THAT(Values("2 ^ g", 1000), ElementsAre(Pair("{a=1}", 128)));
  EXPECT_THAT(Values("g % 4", 1000), ElementsAre(Pair("{a=1}", 3)));
  EXPECT_THAT(Values("-g % 4", 1000), ElementsAre(Pair("{a=1}", -3)));
  EXPECT_THAT(Values("g / 0", 1000), ElementsAre(Pair("{a=1}", HUGE_VAL)));
  EXPECT_EQ(Value("1 / 0", 1000), HUGE_VAL);
  EXPECT_TRUE(std::isnan(Value("0 / 0", 1000)));
  EXPECT_EQ(Value("-2 ^ 2 * 3 + 10", 1000), -2);
  EXPECT_EQ(Value("time()", 1'500), 1.5);
}

TEST_F(EvaluationTest, ComparisonsFilterOrGiveBits) {
  MakeGauge("g", {{"a", "1"}}, 1);
  MakeGauge("g", {{"a", "2"}}, 2);
  EXPECT_THAT(Values("g > 1", 1000), ElementsAre(Pair("g{a=2}", 2)));
  EXPECT_THAT(Values("1 < g", 1000), ElementsAre(Pair("g{a=2}", 2))) << "the vector's value stays";
  EXPECT_THAT(Values("g > bool 1", 1000), ElementsAre(Pair("{a=1}", 0), Pair("{a=2}", 1)));
  EXPECT_THAT(Values("g != 1", 1000), ElementsAre(Pair("g{a=2}", 2)));
  EXPECT_THAT(Values("g == NaN", 1000), IsEmpty());
  EXPECT_EQ(Value("2 >= bool 2", 1000), 1);
  EXPECT_THAT(Values("g <= 0", 1000), IsEmpty());
}

TEST_F(EvaluationTest, FunctionsDropTheName) {
  MakeGauge("g", {{"a", "1"}}, -2.5);
  EXPECT_THAT(Values("abs(g)", 1000), ElementsAre(Pair("{a=1}", 2.5)));
  EXPECT_THAT(Values("ceil(g)", 1000), ElementsAre(Pair("{a=1}", -2)));
  EXPECT_THAT(Values("floor(g)", 1000), ElementsAre(Pair("{a=1}", -3)));
  EXPECT_THAT(Values("round(g)", 1000), ElementsAre(Pair("{a=1}", -2))) << "ties go up";
  EXPECT_THAT(Values("round(g, 2)", 1000), ElementsAre(Pair("{a=1}", -2)));
  EXPECT_THAT(Values("clamp(g, -1, 4)", 1000), ElementsAre(Pair("{a=1}", -1)));
  EXPECT_THAT(Values("clamp(g, 4, -1)", 1000), IsEmpty());
  EXPECT_THAT(Values("clamp_min(g, 0)", 1000), ElementsAre(Pair("{a=1}", 0)));
  EXPECT_THAT(Values("clamp_max(g, -3)", 1000), ElementsAre(Pair("{a=1}", -3)));
  EXPECT_THAT(Values("-g", 1000), ElementsAre(Pair("{a=1}", 2.5)));
  EXPECT_EQ(Value("scalar(g) + 1", 1000), -1.5);
  EXPECT_TRUE(std::isnan(Value("scalar(nothing)", 1000)));
  EXPECT_THAT(Values("vector(scalar(g))", 1000), ElementsAre(Pair("{}", -2.5)));
}

TEST_F(EvaluationTest, VectorsMatchOneToOne) {
  MakeGauge("done", {{"queue", "a"}, {"pod", "1"}}, 8);
  MakeGauge("done", {{"queue", "b"}, {"pod", "1"}}, 9);
  MakeGauge("all", {{"queue", "a"}, {"pod", "1"}}, 16);
  MakeGauge("all", {{"queue", "c"}, {"pod", "1"}}, 16);
  MakeGauge("slots", {{"queue", "a"}}, 4);
  EXPECT_THAT(Values("done / all", 1000), ElementsAre(Pair("{pod=1,queue=a}", 0.5)));
  EXPECT_THAT(Values("done / on (queue) slots", 1000), ElementsAre(Pair("{queue=a}", 2)));
  EXPECT_THAT(Values("done / ignoring (pod) slots", 1000), ElementsAre(Pair("{queue=a}", 2)));
  EXPECT_THAT(Values("done < all", 1000), ElementsAre(Pair("done{pod=1,queue=a}", 8)));
  EXPECT_THAT(Values("done > bool all", 1000), ElementsAre(Pair("{pod=1,queue=a}", 0)));
  EXPECT_THAT(ErrorOf("done + on (pod) slots"), StartsWith("ok"))
      << "slots has no pod: nothing matches";
  EXPECT_THAT(
      ErrorOf("slots + on (x) done"),
      HasSubstr("EXECUTION 1:7: found duplicate series for the match group {} on the right side"));
  EXPECT_THAT(ErrorOf("done + on (x) slots"), HasSubstr("match group {} on the left side"));
}

TEST_F(EvaluationTest, SetOperators) {
  MakeGauge("a", {{"q", "1"}}, 1);
  MakeGauge("a", {{"q", "2"}}, 2);
  MakeGauge("b", {{"q", "2"}}, 20);
  MakeGauge("b", {{"q", "3"}}, 30);
  EXPECT_THAT(Values("a or b", 1000),
              ElementsAre(Pair("a{q=1}", 1), Pair("a{q=2}", 2), Pair("b{q=3}", 30)));
  EXPECT_THAT(Values("a and b", 1000), ElementsAre(Pair("a{q=2}", 2)));
  EXPECT_THAT(Values("a unless b", 1000), ElementsAre(Pair("a{q=1}", 1)));
  EXPECT_THAT(Values("a or on () b", 1000), ElementsAre(Pair("a{q=1}", 1), Pair("a{q=2}", 2)));
  EXPECT_THAT(Values("a unless on () nothing", 1000),
              ElementsAre(Pair("a{q=1}", 1), Pair("a{q=2}", 2)));
}

TEST_F(EvaluationTest, RatesNeedCounters) {
  MakeGauge("g", {{"a", "1"}}, 1);
  Count(MakeCounter("x_total", {{"a", "1"}}), 30, 999'000);
  EXPECT_THAT(ErrorOf("sum(rate(g[1m]))"),
              HasSubstr("EXECUTION 1:5: rate and increase need a counter: \"g\" is a gauge"));
  EXPECT_THAT(ErrorOf("g offset 5s"), HasSubstr("offset needs a counter"));
  EXPECT_THAT(Values("increase({a=\"1\"}[10s])", 1'000'000), ElementsAre(Pair("{a=1}", 30)));
}

TEST_F(EvaluationTest, RateOfAnOddNameIsRemarked) {
  Count(MakeCounter("hits"), 1, 999'000);
  MakeCounter("x_total");
  const auto odd = Ask("rate(hits[10s])", 1'000'000);
  ASSERT_TRUE(odd.ok());
  ASSERT_EQ(odd->infos.size(), 1u);
  EXPECT_THAT(odd->infos[0], HasSubstr("\"hits\" (1:1)"));
  EXPECT_THAT(Ask("rate(x_total[10s])", 1'000'000)->infos, IsEmpty());
}

TEST_F(EvaluationTest, UnknownSetMembersMakeMembershipUnknown) {
  Make("x_total", MetricType::kCounter, {{"q", "1"}}, 0, {2});
  store_.SetReporter(2, SeriesStore::ReporterState::kLive, 0);
  MakeGauge("g", {{"q", "1"}}, 1);
  MakeGauge("g", {{"q", "2"}}, 2);
  EXPECT_THAT(ErrorOf("g and rate(x_total[10s]) > 0"), StartsWith("UNKNOWN"));
  EXPECT_THAT(ErrorOf("g unless rate(x_total[10s]) > 0"), StartsWith("UNKNOWN"));
  EXPECT_THAT(Values("g{q=\"2\"} unless rate(x_total[10s]) > 0", 1'000'000),
              ElementsAre(Pair("g{q=2}", 2)));
}

}  // namespace
}  // namespace wheelpit
