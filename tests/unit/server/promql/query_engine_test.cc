#include "server/promql/query_engine.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/unit/server/promql/promql_fixture.h"

namespace wheelpit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

class QueryEngineTest : public PromqlTest {
 protected:
  std::vector<std::string> SeriesOf(const std::vector<std::string>& selectors, size_t max,
                                    bool* truncated) {
    const auto series = engine_->Series(selectors, max, truncated);
    std::vector<std::string> out;
    if (!series.ok()) return {std::string(series.status().message())};
    for (const Labels& labels : *series) out.push_back(Text(labels));
    return out;
  }
};

TEST_F(QueryEngineTest, VirtualSeriesAreReadWhenAsked) {
  queues_.series = {{"wheelpit_queue_tasks", {{"queue", "a"}, {"state", "ready"}}, 5},
                    {"wheelpit_queue_tasks", {{"queue", "b"}, {"state", "ready"}}, 7},
                    {"wheelpit_queue_demand_tasks", {{"queue", "a"}}, 6}};
  EXPECT_EQ(Value("sum by (queue) (wheelpit_queue_tasks{queue=\"b\"})", 1000), 7);
  EXPECT_EQ(Value("sum(wheelpit_queue_tasks)", 1000), 12);
  queues_.series[0].value = 50;
  EXPECT_EQ(Value("sum(wheelpit_queue_tasks)", 1000), 57);
  EXPECT_THAT(Values("{queue=\"a\"}", 1000),
              ElementsAre(Pair("wheelpit_queue_demand_tasks{queue=a}", 6),
                          Pair("wheelpit_queue_tasks{queue=a,state=ready}", 50)));
  EXPECT_THAT(ErrorOf("rate(wheelpit_queue_tasks[1m])"),
              HasSubstr("EXECUTION 1:1: rate and increase need a counter"));
  const int reads = queues_.reads;
  EXPECT_THAT(Values("heavywork_total", 1000), IsEmpty());
  EXPECT_EQ(queues_.reads, reads) << "other names cost the queues nothing";
}

TEST_F(QueryEngineTest, ATimeInThePastIsAnOffset) {
  const SeriesId id = MakeCounter("x_total");
  for (int64_t s = 0; s < 200; ++s) Count(id, 1 + s / 100, s * 1000);
  MakeGauge("g", {}, 5);
  const int64_t now = 200'400;
  const auto at = [&](const std::string& query, int64_t at_ms) {
    return engine_->QueryAt(query, at_ms, now, UnknownPolicy::kFail);
  };
  const auto past = at("increase(x_total[60s])", 100'000);
  ASSERT_TRUE(past.ok()) << past.status();
  EXPECT_EQ(past->vector[0].value, Value("increase(x_total[60s] offset 100400ms)", now));
  EXPECT_EQ(past->evaluated_at_ms, 100'000);
  EXPECT_EQ(at("time()", 100'000)->scalar, 100);
  // What is later, or just before, is now: callers' clocks differ.
  for (const int64_t present : {now + 60'000, now, now - 4999}) {
    EXPECT_EQ(at("increase(x_total[10s])", present)->vector[0].value, 20);
    EXPECT_EQ(at("g", present)->vector[0].value, 5);
    EXPECT_EQ(at("g", present)->evaluated_at_ms, now);
  }
  EXPECT_THAT(std::string(at("g", now - 5000).status().message()), HasSubstr("only the present is kept"));
  EXPECT_THAT(std::string(at("rate(x_total[10m])", now - 3'600'000).status().message()),
              HasSubstr("more than 1h"));
  EXPECT_THAT(std::string(at("x_total", now - 86'400'000).status().message()), HasSubstr("more than 1h"));
}

TEST_F(QueryEngineTest, NoQueuesIsFine) {
  const auto engine = QueryEngine::Create(&store_, nullptr);
  const auto result = engine->Query("wheelpit_queue_tasks", 1000, UnknownPolicy::kFail);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->vector.empty());
}

TEST_F(QueryEngineTest, ElementsComeSortedByLabels) {
  for (int i = 9; i >= 0; --i) MakeGauge("g", {{"a", absl::StrCat(i)}}, i);
  const auto result = Ask("g", 5000);
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->vector.size(), 10u);
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(result->vector[i].value, static_cast<double>(i));
  EXPECT_EQ(result->evaluated_at_ms, 5000);
  EXPECT_EQ(result->vector[0].labels.Get("__name__"), "g");
}

TEST_F(QueryEngineTest, ErrorsHaveTheirCodes) {
  EXPECT_EQ(Ask("sum(", 1000).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask("topk(1, x)", 1000).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(ErrorOf("sum(x"), StartsWith("BAD_QUERY 1:6: parse error"));
  EXPECT_THAT(ErrorOf("deriv(x[1m])"), StartsWith("EXECUTION 1:1: unsupported function \"deriv\""));
}

TEST_F(QueryEngineTest, GoneSeriesAreGone) {
  const SeriesId id = MakeCounter("x_total", {{"a", "1"}});
  MakeCounter("x_total", {{"a", "2"}});
  {
    const SeriesStore::WriteLock lock(&store_);
    store_.Detach(id);
    store_.Remove({id}, 1000);
  }
  EXPECT_THAT(Values("x_total", 2000), ElementsAre(Pair("x_total{a=2}", 0)));
  EXPECT_EQ(Value("count(x_total)", 2000), 1);
}

TEST_F(QueryEngineTest, SeriesByNameThenLabels) {
  MakeCounter("b_total", {{"a", "2"}});
  MakeCounter("b_total", {{"a", "1"}});
  MakeGauge("a", {{"z", "1"}}, 1);
  queues_.series = {{"wheelpit_queue_tasks", {{"queue", "q"}}, 5}};
  bool truncated = true;
  EXPECT_THAT(
      SeriesOf({"b_total", "a", "wheelpit_queue_tasks"}, 10, &truncated),
      ElementsAre("a{z=1}", "b_total{a=1}", "b_total{a=2}", "wheelpit_queue_tasks{queue=q}"));
  EXPECT_FALSE(truncated);
  EXPECT_THAT(
      SeriesOf({"{__name__=~\".+\"}", "b_total{a=\"1\"}"}, 10, &truncated),
      ElementsAre("a{z=1}", "b_total{a=1}", "b_total{a=2}", "wheelpit_queue_tasks{queue=q}"))
      << "what two selectors match comes once";
  EXPECT_THAT(SeriesOf({"b_total{a=~\"2|3\"}"}, 10, &truncated), ElementsAre("b_total{a=2}"));
  EXPECT_THAT(SeriesOf({"b_total", "a"}, 2, &truncated), ElementsAre("a{z=1}", "b_total{a=1}"));
  EXPECT_TRUE(truncated);
  EXPECT_THAT(SeriesOf({"b_total", "a"}, 3, &truncated),
              ElementsAre("a{z=1}", "b_total{a=1}", "b_total{a=2}"));
  EXPECT_FALSE(truncated);
}

TEST_F(QueryEngineTest, SeriesRefusesWhatIsNoSelector) {
  bool truncated = false;
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{}, {"sum(x)"}, {"x", "x["}, {"{}"}}) {
    const auto series = engine_->Series(bad, 10, &truncated);
    EXPECT_EQ(series.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(series.status()), "BAD_QUERY");
  }
}

TEST_F(QueryEngineTest, SelectionsLongerThanOneStretchOfTheLockSeeEachSeriesOnce) {
  for (int i = 0; i < 3000; ++i) MakeCounter("x_total", {{"i", absl::StrCat(i)}});
  EXPECT_EQ(Value("count(x_total)", 1000), 3000);
  EXPECT_EQ(Values("x_total", 1000).size(), 3000u);
}

TEST_F(QueryEngineTest, TotalsNeverFallBesideTheEngineThread) {
  std::vector<SeriesId> ids;
  for (int i = 0; i < 3000; ++i) ids.push_back(MakeCounter("x_total", {{"i", absl::StrCat(i)}}));
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    // The engine's thread: counts, makes and removes series while queries run.
    for (int round = 0; !stop.load(); ++round) {
      for (size_t i = 0; i < ids.size(); i += 7) Count(ids[i], 1, 5000 + round);
      const SeriesId extra = MakeCounter("x_total", {{"extra", absl::StrCat(round)}});
      const SeriesStore::WriteLock lock(&store_);
      store_.Detach(extra);
      store_.Remove({extra}, 5000);
    }
  });
  double last = 0;
  for (int i = 0; i < 100; ++i) {
    const double sum = Value("sum(x_total)", 3'000'000);
    EXPECT_GE(sum, last);
    EXPECT_GE(Value("count(x_total)", 3'000'000), 3000);
    last = sum;
  }
  stop.store(true);
  writer.join();
}

}  // namespace
}  // namespace wheelpit
