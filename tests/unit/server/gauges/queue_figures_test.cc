// The figures of a queue as autoscalers get them: a real engine, its gauges, PromQL, and the adapter's built-in rules.
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapter/naming/metric_name.h"
#include "adapter/naming/selector.h"
#include "adapter/rules/builtin.h"
#include "adapter/rules/query.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/engine.h"
#include "server/gauges/queue_gauges.h"
#include "server/journal_log/segmented_log.h"
#include "server/promql/query_engine.h"
#include "tests/support/temp_folder.h"

namespace wheelpit {
namespace {

class HandClock final : public Clock {
 public:
  TimeMs NowMs() const override { return now_ms; }
  int64_t MonotonicNanos() const override { return now_ms * 1'000'000; }
  absl::Time WallNow() const override { return absl::FromUnixMillis(now_ms); }
  TimeMs now_ms = 1'700'000'000'000;
};

class HandExecutor final : public Executor {
 public:
  void Post(absl::AnyInvocable<void()> fn) override { waiting_.push_back(std::move(fn)); }
  bool RunAll() {
    const bool any = !waiting_.empty();
    while (!waiting_.empty()) {
      auto fn = std::move(waiting_.front());
      waiting_.pop_front();
      fn();
    }
    return any;
  }

 private:
  std::deque<absl::AnyInvocable<void()>> waiting_;
};

// What is journaled of the estimate is a few seconds older than what was last shown, and the backlog aged meanwhile.
constexpr double kOlder = 0.1;

class QueueFiguresTest : public ::testing::Test {
 protected:
  QueueFiguresTest() { Start(); }

  void Start() {
    SegmentedLogOptions log;
    log.dir = folder_.path();
    log.segment_bytes = 1 << 20;
    log.disk_low_bytes = 0;
    log.disk_low_percent = 0;
    log.random_seed = 3;
    auto opened = SegmentedLog::Open(log, PosixFileSystem());
    ASSERT_TRUE(opened.ok()) << opened.status();
    journal_ = *std::move(opened);
    EngineOptions options;
    options.carry_time = [this](TimeMs ms) { clock_.now_ms = std::max(clock_.now_ms, ms); };
    engine_ = Engine::Create(options, &clock_, journal_.get(), &background_, 11);
    gauges_ = std::make_unique<QueueGauges>([this] { return engine_->queue().stats(); }, &engine_->store());
    query_ = QueryEngine::Create(&engine_->store(), gauges_.get());
  }
  void Recover() {
    ASSERT_TRUE(engine_->Recover(nullptr).ok());
    Settle();
    ASSERT_TRUE(engine_->ready());
  }
  void Restart() {
    Settle();
    query_.reset();
    gauges_.reset();
    engine_.reset();
    journal_.reset();
    Start();
  }
  void Settle() {
    for (bool moved = true; moved;) {
      moved = engine_->RunOnce();
      while (journal_->Commit()) moved = true;
      moved |= background_.RunAll();
    }
  }
  // A second at a time, as the engine wakes.
  void Pass(int64_t seconds) {
    for (int64_t i = 0; i < seconds; ++i) {
      clock_.now_ms += 1000;
      Settle();
    }
  }
  void Submit(int tasks, const std::string& queue = "q") {
    for (int i = 0; i < tasks; ++i) {
      TaskSpec spec;
      spec.queue = queue;
      spec.payload = "work";
      engine_->queue().Submit(std::move(spec), clock_.now_ms, [](absl::StatusOr<SubmitOutcome> r) { ASSERT_TRUE(r.ok()) << r.status(); });
    }
    Settle();
  }
  void Work(uint32_t tasks) {
    std::vector<Assignment> got;
    engine_->queue().LeaseTasks("w", {{"q", 1}}, tasks, 0, clock_.now_ms, [&](absl::StatusOr<std::vector<Assignment>> r) {
      ASSERT_TRUE(r.ok()) << r.status();
      got = *std::move(r);
    });
    Settle();
    std::vector<Completion> done;
    for (const Assignment& a : got) {
      Completion& completion = done.emplace_back();
      completion.task = a.task.id;
      completion.token = a.token;
    }
    ASSERT_EQ(done.size(), tasks);
    engine_->queue().Complete(std::move(done), 0, clock_.now_ms, [tasks](std::vector<LeaseOutcome> outcomes) { EXPECT_EQ(outcomes.size(), tasks); });
    Settle();
  }

  // One element, or nothing.
  std::optional<double> Ask(const std::string& query) {
    const auto result = query_->Query(query, clock_.now_ms, UnknownPolicy::kFail);
    EXPECT_TRUE(result.ok()) << query << ": " << result.status();
    if (!result.ok() || result->vector.empty()) return std::nullopt;
    EXPECT_EQ(result->vector.size(), 1u) << query;
    return result->vector[0].value;
  }
  std::optional<double> Figure(const std::string& name, const std::string& queue = "q") {
    return Ask("wheelpit_queue_" + name + "{queue=\"" + queue + "\"}");
  }
  // As an autoscaler with `selector: queue=NAME` reads it.
  std::optional<double> External(const std::string& metric, const std::string& queue) {
    const auto selector = adapter::ParseSelector("queue=" + queue);
    EXPECT_TRUE(selector.ok());
    for (const adapter::Rule& rule : adapter::BuiltinExternalRules({})) {
      if (rule.id != "built-in " + metric) continue;
      const std::string series = adapter::SeriesNameOfSelector(rule.series_query).value_or("");
      const auto query = adapter::ExternalQuery(rule, series, "default", *selector);
      EXPECT_TRUE(query.ok()) << query.status();
      return Ask(*query);
    }
    ADD_FAILURE() << "no rule " << metric;
    return std::nullopt;
  }
  static std::vector<std::string> QueueMetrics() {
    std::vector<std::string> names;
    for (const adapter::Rule& rule : adapter::BuiltinExternalRules({})) names.push_back(rule.id.substr(sizeof("built-in ") - 1));
    return names;
  }

  TempFolder folder_;
  HandClock clock_;
  HandExecutor background_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<QueueGauges> gauges_;
  std::unique_ptr<QueryEngine> query_;
};

TEST_F(QueueFiguresTest, AnEmptyQueueReadsZeroAndANewOneIsAbsent) {
  Recover();
  ASSERT_THAT(QueueMetrics(), ::testing::Contains("wheelpit_queue_needed_workers"));
  for (const std::string& metric : QueueMetrics()) EXPECT_EQ(External(metric, "q"), std::nullopt) << metric;
  engine_->queue().PutQueue("q", std::nullopt, std::nullopt, clock_.now_ms, [](absl::Status s) { ASSERT_TRUE(s.ok()) << s; });
  Settle();
  Pass(1);
  for (const std::string& metric : QueueMetrics()) {
    EXPECT_EQ(External(metric, "q"), 0) << metric;
    EXPECT_EQ(External(metric, "another"), std::nullopt) << metric;
  }
}

TEST_F(QueueFiguresTest, BeforeRecoveryNothingIsSaid) {
  EXPECT_TRUE(gauges_->Families(clock_.now_ms).empty());
}

TEST_F(QueueFiguresTest, ABacklogIsSeenAtOnceAndGoesWhenTheWorkIsDone) {
  Recover();
  Submit(600);
  Pass(1);
  EXPECT_EQ(External("wheelpit_queue_tasks", "q"), 600);
  EXPECT_EQ(External("wheelpit_queue_demand_tasks", "q"), 600);
  // Nothing is measured yet, so ten tasks a minute and slot are assumed: 600 of them within a minute need about 60 workers.
  EXPECT_NEAR(*External("wheelpit_queue_needed_workers", "q"), 61.5, 1.5);
  EXPECT_EQ(Ask("wheelpit_queue_needed_workers_term{queue=\"q\",term=\"backlog\"}"), 1);
  EXPECT_EQ(Ask("sum(wheelpit_queue_needed_workers_term{queue=\"q\"})"), 1);
  for (int i = 0; i < 3; ++i) Work(200);
  Pass(1);
  EXPECT_EQ(External("wheelpit_queue_tasks", "q"), 0);
  // The last arrival is more than a minute old: nothing needs a worker, although nothing has happened since.
  Pass(61);
  EXPECT_EQ(External("wheelpit_queue_needed_workers", "q"), 0);
}

TEST_F(QueueFiguresTest, RatesCountTheLastWholeSeconds) {
  Recover();
  for (int second = 0; second < 70; ++second) {
    Submit(4);
    Work(2);
    Pass(1);
  }
  EXPECT_EQ(Ask("wheelpit_queue_submit_rate_per_second{queue=\"q\",window=\"10s\"}"), 4);
  EXPECT_EQ(Ask("wheelpit_queue_completion_rate_per_second{queue=\"q\",window=\"60s\"}"), 2);
  EXPECT_EQ(Ask("wheelpit_queue_lease_rate_per_second{queue=\"q\",window=\"60s\"}"), 2);
  EXPECT_EQ(Ask("wheelpit_queue_submit_rate_per_second{queue=\"q\",window=\"60s\"}"),
            Ask("rate(wheelpit_tasks_submitted_total{queue=\"q\"}[60s])"));
  EXPECT_EQ(Figure("estimated_drain_seconds"), 140.0 / 2);
  EXPECT_NEAR(*Figure("arrival_rate_per_second"), 4, 0.5);
  EXPECT_EQ(*Figure("offered_slots"), *Figure("arrival_rate_per_second") * *Figure("service_seconds"));
  // The same from the counters after a restart: nothing was lost with the process.
  Restart();
  Recover();
  EXPECT_EQ(Ask("wheelpit_queue_submit_rate_per_second{queue=\"q\",window=\"60s\"}"), 4);
}

TEST_F(QueueFiguresTest, ARestartHoldsWhatWasNeededForAMinute) {
  Recover();
  Submit(300);
  Pass(12);  // past the write-behind of the estimate
  const double before = *Figure("needed_workers");
  EXPECT_GT(before, 25);
  for (int i = 0; i < 3; ++i) Work(100);
  Restart();
  Recover();
  EXPECT_NEAR(*Figure("needed_workers"), before, kOlder * before);
  EXPECT_EQ(Ask("wheelpit_queue_needed_workers_term{queue=\"q\",term=\"hold\"}"), 1);
  Pass(59);
  EXPECT_NEAR(*Figure("needed_workers"), before, kOlder * before);
  Pass(2);
  EXPECT_EQ(Figure("needed_workers"), 0);
}

TEST_F(QueueFiguresTest, TheEstimateOutlivesACheckpoint) {
  Recover();
  Submit(300);
  Pass(12);
  const double before = *Figure("needed_workers");
  for (int i = 0; i < 3; ++i) Work(100);
  absl::Status checkpoint = absl::UnknownError("not done");
  engine_->Checkpoint([&](absl::Status s) { checkpoint = s; });
  Settle();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint;
  Restart();
  Recover();
  EXPECT_LT(engine_->recovery().replayed_records, 10u);
  EXPECT_NEAR(*Figure("needed_workers"), before, kOlder * before);
}

}  // namespace
}  // namespace wheelpit
