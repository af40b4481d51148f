#include "adapter/http/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "adapter/rules/rule_config.h"
#include "base/errors.h"
#include "tests/support/fake_metric_source.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1000);

SourceLabels Named(const std::string& name) { return {{"__name__", name}, {"queue", "a"}}; }
absl::Status Down() {
  return MakeError(absl::StatusCode::kUnavailable, kReasonUnreachable,
                   "aggregator: connection refused");
}

std::vector<Rule> Rules(const std::string& yaml) {
  const auto set = ParseRuleConfig("externalRules:\n" + yaml);
  EXPECT_TRUE(set.ok()) << set.status();
  return set->external_rules;
}

class RegistryTest : public ::testing::Test {
 protected:
  std::unique_ptr<Registry> Make(const std::string& yaml, bool prometheus = false) {
    auto made = Registry::Create({&aggregator_, prometheus ? &prometheus_ : nullptr}, Rules(yaml),
                                 RegistryOptions{});
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  FakeMetricSource aggregator_;
  FakeMetricSource prometheus_{"prometheus"};
};

constexpr char kTwoRules[] =
    "- {seriesQuery: '{__name__=~\"jobs.*\"}', metricsQuery: a, name: {matches: '^(.*)_total$'}}\n"
    "- {seriesQuery: 'queue_depth', metricsQuery: b}\n";

TEST_F(RegistryTest, ListsTheMetricsOfItsSeries) {
  aggregator_.SetSeries("{__name__=~\"jobs.*\"}", {Named("jobs_total"), Named("jobs_b_total"),
                                                   Named("jobs_b_total"), Named("jobs_created")});
  aggregator_.SetSeries("queue_depth", {Named("queue_depth")});
  auto registry = Make(kTwoRules);
  EXPECT_FALSE(registry->listed());
  registry->Tick(kNow);
  EXPECT_TRUE(registry->listed());
  EXPECT_THAT(registry->Metrics(), ElementsAre("jobs", "jobs_b", "queue_depth"));
  const auto found = registry->Find("jobs_b", kNow);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->series_name, "jobs_b_total");
  EXPECT_EQ(found->source, &aggregator_);
}

TEST_F(RegistryTest, RelistsOnlyWhenItIsDue) {
  auto registry = Make("- {seriesQuery: 'a', metricsQuery: b}\n");
  registry->Tick(kNow);
  registry->Tick(kNow + absl::Seconds(29));
  EXPECT_EQ(aggregator_.series_queries().size(), 1);
  EXPECT_EQ(registry->NextTick(), kNow + absl::Seconds(30));
  registry->Tick(kNow + absl::Seconds(30));
  EXPECT_EQ(aggregator_.series_queries().size(), 2);
}

TEST_F(RegistryTest, OneFailingRuleLeavesTheOthersAloneAndKeepsWhatItHad) {
  aggregator_.SetSeries("{__name__=~\"jobs.*\"}", {Named("jobs_total")});
  aggregator_.SetSeries("queue_depth", {Named("queue_depth")});
  auto registry = Make(kTwoRules);
  registry->Tick(kNow);
  aggregator_.SetSeriesError("queue_depth", Down());
  aggregator_.SetSeries("{__name__=~\"jobs.*\"}", {Named("jobs_c_total")});
  registry->Tick(kNow + absl::Seconds(30));
  EXPECT_THAT(registry->Metrics(), ElementsAre("jobs_c", "queue_depth"));
  EXPECT_TRUE(registry->RuleStates()[0].status.ok());
  EXPECT_EQ(registry->RuleStates()[1].status.code(), absl::StatusCode::kUnavailable);
  // And it is tried again soon.
  EXPECT_EQ(registry->NextTick(), kNow + absl::Seconds(32));
}

TEST_F(RegistryTest, ASharedSelectorIsAskedOnce) {
  auto registry =
      Make("- {seriesQuery: 'a', metricsQuery: x}\n- {seriesQuery: 'a', metricsQuery: y}\n");
  registry->Tick(kNow);
  EXPECT_THAT(aggregator_.series_queries(), ElementsAre("a"));
}

TEST_F(RegistryTest, LaterRulesWin) {
  aggregator_.SetSeries("a", {Named("a")});
  auto registry =
      Make("- {seriesQuery: 'a', metricsQuery: x}\n- {seriesQuery: 'a', metricsQuery: y}\n");
  registry->Tick(kNow);
  const auto found = registry->Find("a", kNow);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->rule->id, "externalRules[1] (line 3)");
}

TEST_F(RegistryTest, AnUnknownNameIsLookedUpAtOnce) {
  auto registry = Make(kTwoRules);
  registry->Tick(kNow);
  EXPECT_THAT(registry->Metrics(), IsEmpty());
  aggregator_.SetSeries("queue_depth", {Named("queue_depth")});
  const size_t before = aggregator_.series_queries().size();
  ASSERT_TRUE(registry->Find("queue_depth", kNow).ok());
  EXPECT_EQ(aggregator_.series_queries().size(), before + 2);  // both rules might give it
  ASSERT_TRUE(registry->Find("queue_depth", kNow).ok());
  EXPECT_EQ(aggregator_.series_queries().size(), before + 2);  // known now
}

TEST_F(RegistryTest, AnAbsentNameIsNotAskedForAgainAtOnce) {
  auto registry = Make("- {seriesQuery: 'queue_depth', metricsQuery: b}\n");
  EXPECT_TRUE(absl::IsNotFound(registry->Find("queue_depth", kNow).status()));
  EXPECT_TRUE(absl::IsNotFound(registry->Find("queue_depth", kNow).status()));
  EXPECT_EQ(aggregator_.series_queries().size(), 1);
  aggregator_.SetSeries("queue_depth", {Named("queue_depth")});
  EXPECT_TRUE(registry->Find("queue_depth", kNow + absl::Milliseconds(500)).ok());
}

TEST_F(RegistryTest, ANameThatNoRuleCanGiveAsksNobody) {
  auto registry = Make("- {seriesQuery: 'queue_depth', metricsQuery: b}\n");
  EXPECT_TRUE(absl::IsNotFound(registry->Find("other", kNow).status()));
  EXPECT_THAT(aggregator_.series_queries(), IsEmpty());
}

TEST_F(RegistryTest, UnreachableIsNotAbsent) {
  aggregator_.SetSeriesError("queue_depth", Down());
  auto registry = Make("- {seriesQuery: 'queue_depth', metricsQuery: b}\n");
  const absl::Status status = registry->Find("queue_depth", kNow).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(status), kReasonUnreachable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("externalRules[0] (line 2): aggregator: connection refused"));
}

TEST_F(RegistryTest, ALookupDoesNotAskADeadSourceAgainAndAgain) {
  aggregator_.SetSeriesError("{a=~\"1\"}", Down());
  aggregator_.SetSeriesError("{a=~\"2\"}", Down());
  const std::string rules =
      "- {seriesQuery: '{a=~\"1\"}', metricsQuery: b}\n"
      "- {seriesQuery: '{a=~\"2\"}', metricsQuery: b}\n";
  auto registry = Make(rules);
  EXPECT_TRUE(absl::IsUnavailable(registry->Find("anything", kNow).status()));
  EXPECT_EQ(aggregator_.series_queries().size(), 1);
  registry->Tick(kNow);  // nobody waits for this
  EXPECT_EQ(aggregator_.series_queries().size(), 3);
  // A bad question says nothing about the source.
  aggregator_.SetSeriesError("{a=~\"1\"}",
                             MakeError(absl::StatusCode::kInvalidArgument, kReasonBadQuery, "1:2"));
  EXPECT_TRUE(absl::IsUnavailable(registry->Find("other", kNow).status()));
  EXPECT_EQ(aggregator_.series_queries().size(), 5);
}

TEST_F(RegistryTest, FindsNamesThatWereLowerCased) {
  aggregator_.SetSeries("Queue_Depth", {Named("Queue_Depth")});
  auto registry = Make("- {seriesQuery: 'Queue_Depth', metricsQuery: b}\n");
  const auto found = registry->Find("queue_depth", kNow);  // on demand, too
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->metric, "Queue_Depth");
}

TEST_F(RegistryTest, DoesNotGuessBetweenTwoSpellings) {
  aggregator_.SetSeries("{a=\"b\"}", {Named("Depth"), Named("DEPTH")});
  auto registry = Make("- {seriesQuery: '{a=\"b\"}', metricsQuery: b}\n");
  registry->Tick(kNow);
  EXPECT_TRUE(absl::IsNotFound(registry->Find("depth", kNow).status()));
  EXPECT_TRUE(registry->Find("DEPTH", kNow).ok());
}

TEST_F(RegistryTest, AutoTakesTheAggregatorIfItHasTheSeries) {
  aggregator_.SetSeries("a", {Named("a")});
  prometheus_.SetSeries("a", {Named("a")});
  prometheus_.SetSeries("b", {Named("b")});
  aggregator_.SetSeries("c", {Named("c")});
  prometheus_.SetSeries("c", {Named("c")});
  auto registry = Make(
      "- {seriesQuery: 'a', metricsQuery: x}\n- {seriesQuery: 'b', metricsQuery: x}\n"
      "- {seriesQuery: 'c', metricsQuery: x, source: prometheus}\n",
      /*prometheus=*/true);
  registry->Tick(kNow);
  EXPECT_EQ(registry->Find("a", kNow)->source, &aggregator_);
  EXPECT_EQ(registry->Find("b", kNow)->source, &prometheus_);
  EXPECT_EQ(registry->Find("c", kNow)->source, &prometheus_);
}

TEST_F(RegistryTest, APrometheusThatIsAwayHidesNothingOfTheAggregators) {
  aggregator_.SetSeries("a", {Named("a")});
  aggregator_.SetSeries("b", {Named("b")});
  for (const char* selector : {"a", "b", "c"}) prometheus_.SetSeriesError(selector, Down());
  auto registry = Make(
      "- {seriesQuery: 'a', metricsQuery: x}\n- {seriesQuery: 'b', metricsQuery: x, source: "
      "aggregator}\n- {seriesQuery: 'c', metricsQuery: x}\n",
      /*prometheus=*/true);
  registry->Tick(kNow);
  EXPECT_EQ(registry->Find("a", kNow)->source, &aggregator_);
  EXPECT_EQ(registry->Find("b", kNow)->source, &aggregator_);
  // This one could be anywhere.
  EXPECT_TRUE(absl::IsUnavailable(registry->Find("c", kNow).status()));
  EXPECT_FALSE(registry->RuleStates()[0].status.ok());
  EXPECT_TRUE(registry->RuleStates()[1].status.ok());
  // On demand too, and it is not asked for each rule.
  auto fresh = Make(
      "- {seriesQuery: '{x=\"1\"}', metricsQuery: x}\n- {seriesQuery: '{x=\"2\"}', metricsQuery: x}\n",
      /*prometheus=*/true);
  prometheus_.SetSeriesError("{x=\"1\"}", Down());
  aggregator_.SetSeries("{x=\"1\"}", {Named("one")});
  aggregator_.SetSeries("{x=\"2\"}", {Named("two")});
  const size_t before = prometheus_.series_queries().size();
  EXPECT_EQ(fresh->Find("two", kNow)->source, &aggregator_);
  EXPECT_EQ(prometheus_.series_queries().size(), before + 1);
}

TEST_F(RegistryTest, ASelectorThatDoesNotParseIsNoReasonToDoubt) {
  aggregator_.SetSeriesError("{broken",
                             MakeError(absl::StatusCode::kInvalidArgument, kReasonBadQuery, "1:7"));
  aggregator_.SetSeries("a", {Named("a")});
  auto registry =
      Make("- {seriesQuery: '{broken', metricsQuery: x}\n- {seriesQuery: 'a', metricsQuery: x}\n");
  registry->Tick(kNow);
  EXPECT_TRUE(registry->Find("a", kNow).ok());
  EXPECT_TRUE(absl::IsNotFound(registry->Find("nope", kNow).status()));
}

TEST_F(RegistryTest, ASourceThatIsNotThereStopsTheStart) {
  const auto made =
      Registry::Create({&aggregator_, nullptr},
                       Rules("- {seriesQuery: 'a', metricsQuery: x, source: prometheus}\n"), {});
  EXPECT_EQ(made.status().message(),
            "externalRules[0] (line 2): source prometheus is not configured here; use auto or "
            "aggregator");
}

TEST_F(RegistryTest, ACutListForgetsNothing) {
  aggregator_.SetSeries("{a=\"b\"}", {Named("x"), Named("y")});
  auto registry = Make("- {seriesQuery: '{a=\"b\"}', metricsQuery: b}\n");
  registry->Tick(kNow);
  aggregator_.SetSeries("{a=\"b\"}", {Named("x"), Named("z")}, /*truncated=*/true);
  registry->Tick(kNow + absl::Minutes(1));
  EXPECT_THAT(registry->Metrics(), ElementsAre("x", "y", "z"));
  aggregator_.SetSeries("{a=\"b\"}", {Named("x")});
  registry->Tick(kNow + absl::Minutes(2));
  EXPECT_THAT(registry->Metrics(), ElementsAre("x"));
}

TEST_F(RegistryTest, AFirstListingThatFailedIsNone) {
  aggregator_.SetSeriesError("queue_depth", Down());
  auto registry = Make(kTwoRules);
  registry->Tick(kNow);
  EXPECT_FALSE(registry->listed());
  aggregator_.SetSeriesError(
      "queue_depth", MakeError(absl::StatusCode::kInvalidArgument, kReasonBadQuery, "1:7"));
  registry->Tick(kNow + absl::Seconds(2));
  EXPECT_TRUE(registry->listed()) << "a selector that is none will never give series";
  // Once is enough: one that fails later, or is new, does not take the adapter away.
  aggregator_.SetSeriesError("queue_depth", Down());
  ASSERT_TRUE(registry->SetRules(Rules("- {seriesQuery: other, metricsQuery: b}\n")).ok());
  EXPECT_TRUE(registry->listed());
}

// Each series query takes as long as it may.
class SlowSource final : public MetricSource {
 public:
  class HandClock final : public Clock {
   public:
    TimeMs NowMs() const override { return 0; }
    int64_t MonotonicNanos() const override { return absl::ToInt64Nanoseconds(passed); }
    absl::Time WallNow() const override { return absl::UnixEpoch(); }
    absl::Duration passed;
  };
  absl::string_view name() const override { return "slow"; }
  absl::StatusOr<SourceResult> Query(absl::string_view, absl::Time, absl::Duration) override {
    return SourceResult{};
  }
  absl::StatusOr<SourceSeries> Series(const std::vector<std::string>&,
                                      absl::Duration timeout) override {
    clock.passed += timeout;
    return SourceSeries{};
  }
  HandClock clock;
};

TEST_F(RegistryTest, ALookupIsBoundedAlsoWhereEveryAnswerIsSlow) {
  SlowSource slow;
  std::string yaml;
  for (int i = 0; i < 50; ++i) {
    absl::StrAppend(&yaml, "- {seriesQuery: '{__name__=~\"a.*\",i=\"", i,
                    "\"}', metricsQuery: b}\n");
  }
  RegistryOptions options;
  options.clock = &slow.clock;
  auto registry = *Registry::Create({nullptr, &slow}, Rules(yaml), options);
  const absl::Status status = registry->Find("a1", kNow).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << "not asked is not absent";
  EXPECT_THAT(std::string(status.message()), HasSubstr("the rules before it took too long"));
  EXPECT_LE(slow.clock.passed, options.lookup_total);
}

TEST_F(RegistryTest, StrictlyItDoesAsPrometheusAdapter) {
  aggregator_.SetSeries("{__name__=~\"jobs.*\"}", {Named("jobs_total")});
  aggregator_.SetSeries("queue_depth", {Named("Queue_Depth")});
  RegistryOptions options;
  options.strict_compat = true;
  auto registry = *Registry::Create({&aggregator_, nullptr}, Rules(kTwoRules), options);
  const auto absent = [&](absl::string_view name) {
    return absl::IsNotFound(registry->Find(name, kNow).status());
  };
  EXPECT_TRUE(absent("jobs")) << "not before the first relist";
  EXPECT_THAT(aggregator_.series_queries(), IsEmpty());
  registry->Tick(kNow);
  EXPECT_FALSE(absent("jobs"));
  EXPECT_FALSE(absent("Queue_Depth"));
  EXPECT_TRUE(absent("queue_depth"));
  // One that fails leaves the whole list as it was, for a whole interval.
  aggregator_.SetSeriesError("queue_depth", Down());
  aggregator_.SetSeries("{__name__=~\"jobs.*\"}", {Named("jobs_b_total")});
  registry->Tick(kNow + absl::Seconds(30));
  EXPECT_THAT(registry->Metrics(), ElementsAre("Queue_Depth", "jobs"));
  EXPECT_EQ(registry->NextTick(), kNow + absl::Seconds(60));
}

TEST_F(RegistryTest, RulesChangeUnderThoseWhoAsk) {
  for (const char* name : {"a", "b"}) aggregator_.SetSeries(name, {Named(name)});
  const std::string both[] = {"- {seriesQuery: a, metricsQuery: x}\n",
                              "- {seriesQuery: a, metricsQuery: y}\n- {seriesQuery: b, metricsQuery: y}\n"};
  auto registry = Make(both[0]);
  registry->Tick(kNow);
  std::atomic<int> missing{0}, found{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> askers;
  for (int i = 0; i < 2; ++i) {
    askers.emplace_back([&] {
      while (!done) {
        const auto a = registry->Find("a", kNow);
        // In both files: never missing, and usable for as long as it is held.
        const bool good = a.ok() && a->rule->series_query == "a";
        (good ? found : missing) += 1;
        (void)registry->Find("b", kNow);
      }
    });
  }
  for (int i = 0; i < 200 || found == 0; ++i) {
    ASSERT_TRUE(registry->SetRules(Rules(both[i % 2])).ok());
    registry->Tick(kNow);
  }
  done = true;
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(missing, 0);
}

TEST_F(RegistryTest, AnEmptyExpansionIsNoMetric) {
  aggregator_.SetSeries("a_total", {Named("a_total")});
  auto registry = Make(
      "- {seriesQuery: 'a_total', metricsQuery: b, name: {matches: '^(.*)_total$', as: "
      "'$1_per_second'}}\n");
  registry->Tick(kNow);
  EXPECT_THAT(registry->Metrics(), IsEmpty());
}

}  // namespace
}  // namespace wheelpit::adapter
