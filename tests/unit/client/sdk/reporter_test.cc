#include "client/sdk/reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/sync.h"
#include "tests/support/fake_aggregator.h"

namespace wheelpit {
namespace {

class ReporterTest : public testing::Test {
 protected:
  ReporterOptions Options() {
    ReporterOptions options;
    options.client.address = server_.address();
    options.client.retry = {absl::Milliseconds(5), absl::Milliseconds(50)};
    options.interval = absl::Milliseconds(100);
    options.goodbye_timeout = absl::Seconds(30);
    options.pod_labels = false;
    return options;
  }
  static Reporter::SeriesSpec Spec(const std::string& name, std::vector<LabelPair> labels = {}) {
    Reporter::SeriesSpec spec;
    spec.name = name;
    spec.labels = std::move(labels);
    return spec;
  }

  FakeAggregator server_;
};

TEST_F(ReporterTest, CountsArriveAndAFlushWaitsForThem) {
  auto reporter = Reporter::Create(Options()).value();
  auto counter = reporter->AddCounter(Spec("jobs_total", {{"kind", "a"}})).value();
  for (int round = 1; round <= 5; ++round) {
    counter.Increment();
    counter.Increment(9);
    ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());
    EXPECT_EQ(server_.totals()["jobs_total{kind=\"a\"}"], 10 * round);
  }
  EXPECT_EQ(server_.violations(), "");
}

TEST_F(ReporterTest, SeriesAppearWithZeroWhenAdded) {
  auto reporter = Reporter::Create(Options()).value();
  ASSERT_TRUE(reporter->AddCounter(Spec("jobs_total")).ok());
  ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());
  ASSERT_TRUE(server_.totals().contains("jobs_total"));
  EXPECT_EQ(server_.totals()["jobs_total"], 0);
}

TEST_F(ReporterTest, DestructionDeliversTheRestAndSaysGoodbye) {
  {
    auto reporter = Reporter::Create(Options()).value();
    reporter->AddCounter(Spec("jobs_total"))->Increment(7);
  }
  EXPECT_EQ(server_.totals()["jobs_total"], 7);
  EXPECT_TRUE(server_.drained_goodbye());
}

TEST_F(ReporterTest, FractionsAndGaugesArrive) {
  auto reporter = Reporter::Create(Options()).value();
  auto seconds = reporter->AddCounter(Spec("busy_seconds_total")).value();
  auto depth = reporter->AddGauge(Spec("depth")).value();
  seconds.Add(0.5);
  seconds.Add(0.25);
  seconds.Add(-1);
  depth.Set(4);
  depth.Add(-1.5);
  ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());
  EXPECT_EQ(server_.totals()["busy_seconds_total"], 0.75);
  EXPECT_EQ(server_.totals()["depth"], 2.5);
  depth.Remove();
  ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());
  EXPECT_FALSE(server_.totals().contains("depth"));
}

TEST_F(ReporterTest, TotalsAreExactThroughCutsBeforeAndAfterApplying) {
  server_.SetFaults({.seed = 11, .cut_before_apply = 0.2, .cut_after_apply = 0.2});
  constexpr int kThreads = 4;
  constexpr int kRounds = 30;
  constexpr int kPerRound = 1000;
  {
    auto reporter = Reporter::Create(Options()).value();
    auto shared = reporter->AddCounter(Spec("jobs_total")).value();
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        auto own = reporter->AddCounter(Spec("own_total", {{"thread", std::to_string(t)}})).value();
        for (int round = 0; round < kRounds; ++round) {
          for (int i = 0; i < kPerRound; ++i) {
            shared.Increment();
            own.Increment(2);
          }
          // Cuts the work into many batches.
          EXPECT_TRUE(reporter->Flush(absl::Seconds(60)).ok());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_GT(reporter->stats().batches_resent, 0);
    EXPECT_GT(reporter->stats().reconnects, 0);
    server_.SetFaults({});
  }
  auto totals = server_.totals();
  EXPECT_EQ(totals["jobs_total"], kThreads * kRounds * kPerRound);
  for (int t = 0; t < kThreads; ++t) {
    EXPECT_EQ(totals["own_total{thread=\"" + std::to_string(t) + "\"}"], 2 * kRounds * kPerRound);
  }
  EXPECT_EQ(server_.violations(), "");
}

TEST_F(ReporterTest, CountsMadeWhileTheAggregatorIsAwayAreMergedAndDelivered) {
  auto reporter = Reporter::Create(Options()).value();
  auto counter = reporter->AddCounter(Spec("jobs_total")).value();
  counter.Increment(3);
  ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());
  const uint64_t sent = reporter->stats().batches_sent;
  server_.Stop();
  for (int i = 0; i < 1000; ++i) {
    counter.Increment();
    if (i % 100 == 0) {
      EXPECT_FALSE(reporter->Flush(absl::Milliseconds(1)).ok());
    }
  }
  server_.Start();
  ASSERT_TRUE(reporter->Flush(absl::Seconds(60)).ok());
  EXPECT_EQ(server_.totals()["jobs_total"], 1003);
  // One batch may have been under way when the connection broke; the rest is one merged batch.
  EXPECT_LE(reporter->stats().batches_sent, sent + 3);
  EXPECT_EQ(server_.violations(), "");
}

TEST_F(ReporterTest, ALostHistoryStartsFromZeroAndTakesOnlyNewCounts) {
  auto reporter = Reporter::Create(Options()).value();
  auto counter = reporter->AddCounter(Spec("jobs_total")).value();
  auto depth = reporter->AddGauge(Spec("depth")).value();
  counter.Increment(100);
  depth.Set(5);
  ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());
  server_.Stop();
  server_.LoseState();
  server_.Start();
  counter.Increment(4);
  ASSERT_TRUE(reporter->Flush(absl::Seconds(60)).ok());
  EXPECT_EQ(server_.totals()["jobs_total"], 4);
  EXPECT_EQ(server_.totals()["depth"], 5);
  EXPECT_EQ(reporter->stats().history_changes, 1);
  EXPECT_EQ(server_.violations(), "");
}

TEST_F(ReporterTest, UnackedBatchesAreBoundedByCreditWhileAcksAreLate) {
  server_.SetReportCredit(2);
  server_.HoldReportAcks(true);
  auto reporter = Reporter::Create(Options()).value();
  auto counter = reporter->AddCounter(Spec("jobs_total")).value();
  counter.Increment();
  EXPECT_FALSE(reporter->Flush(absl::Milliseconds(300)).ok());
  counter.Increment();
  EXPECT_FALSE(reporter->Flush(absl::Milliseconds(300)).ok());
  counter.Increment();
  EXPECT_FALSE(reporter->Flush(absl::Milliseconds(300)).ok());
  EXPECT_LE(reporter->stats().batches_unacked, 2);
  server_.HoldReportAcks(false);
  ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());
  EXPECT_EQ(server_.totals()["jobs_total"], 3);
}

TEST_F(ReporterTest, CreditZeroPauses) {
  server_.SetReportCredit(0);
  auto reporter = Reporter::Create(Options()).value();
  auto counter = reporter->AddCounter(Spec("jobs_total")).value();
  counter.Increment();
  ASSERT_TRUE(server_.WaitFor([&] { return reporter->stats().connected; }));
  EXPECT_FALSE(reporter->Flush(absl::Milliseconds(300)).ok());
  EXPECT_EQ(reporter->stats().batches_sent, 0);
  server_.SetReportCredit(4);
  ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());
  EXPECT_EQ(server_.totals()["jobs_total"], 1);
  EXPECT_GT(reporter->stats().paused, absl::ZeroDuration());
}

TEST_F(ReporterTest, RejectsAreToldWithTheirSeries) {
  server_.RefuseFamily("bad_total");
  Mutex mu;
  std::vector<std::string> told;
  auto options = Options();
  options.on_reject = [&](const ReporterOptions::Reject& reject) {
    MutexLock lock(&mu);
    told.push_back(reject.series + " " + reject.reason);
  };
  auto reporter = Reporter::Create(options).value();
  reporter->AddCounter(Spec("good_total"))->Increment();
  reporter->AddCounter(Spec("bad_total", {{"a", "b"}}))->Increment();
  ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());
  EXPECT_EQ(reporter->stats().samples_rejected, 1);
  MutexLock lock(&mu);
  EXPECT_THAT(told, testing::ElementsAre("bad_total{a=\"b\"} TYPE_CONFLICT"));
}

TEST_F(ReporterTest, ANewerIncarnationFencesTheOlder) {
  auto options = Options();
  options.reporter_id = "one";
  auto older = Reporter::Create(options).value();
  auto counter = older->AddCounter(Spec("jobs_total")).value();
  counter.Increment();
  ASSERT_TRUE(older->Flush(absl::Seconds(30)).ok());
  auto newer = Reporter::Create(options).value();
  newer->AddCounter(Spec("jobs_total"))->Increment();
  ASSERT_TRUE(newer->Flush(absl::Seconds(30)).ok());
  server_.Stop();
  server_.Start();
  counter.Increment();
  const absl::Status status = older->Flush(absl::Seconds(60));
  EXPECT_EQ(StatusReason(status), "STALE_INCARNATION") << status;
  EXPECT_EQ(server_.totals()["jobs_total"], 2);
}

TEST_F(ReporterTest, ManySeriesTravelInSeveralBatches) {
  constexpr int kSeries = 12'345;
  auto reporter = Reporter::Create(Options()).value();
  for (int i = 0; i < kSeries; ++i) {
    reporter->AddCounter(Spec("many_total", {{"i", std::to_string(i)}}))->Increment(1);
  }
  ASSERT_TRUE(reporter->Flush(absl::Seconds(60)).ok());
  double sum = 0;
  for (const auto& [name, value] : server_.totals()) sum += value;
  EXPECT_EQ(sum, kSeries);
  EXPECT_GE(reporter->stats().batches_sent, 2);
  EXPECT_EQ(server_.violations(), "");
}

TEST_F(ReporterTest, PodLabelsComeFromTheEnvironment) {
  setenv("POD_NAMESPACE", "prod", 1);
  setenv("POD_NAME", "web-1", 1);
  auto options = Options();
  options.pod_labels = true;
  {
    auto reporter = Reporter::Create(options).value();
    reporter->AddCounter(Spec("jobs_total"))->Increment();
  }
  unsetenv("POD_NAMESPACE");
  unsetenv("POD_NAME");
  EXPECT_EQ(server_.totals()["jobs_total{namespace=\"prod\",pod=\"web-1\"}"], 1);
}

TEST_F(ReporterTest, BadOptionsAreRefused) {
  auto options = Options();
  options.interval = absl::Milliseconds(99);
  EXPECT_FALSE(Reporter::Create(options).ok());
  options = Options();
  options.reporter_id = std::string(129, 'x');
  EXPECT_FALSE(Reporter::Create(options).ok());
}

}  // namespace
}  // namespace wheelpit
