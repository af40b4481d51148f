#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/unit/server/ingest/ingest_world.h"

namespace wheelpit {
namespace {

constexpr int64_t kHour = 3'600'000;

class ExpiryTest : public testing::Test {
 protected:
  void AdvanceTo(int64_t now) {
    now_ = now;
    p_->ingest->Advance(now_);
    p_->Commit();
  }
  int64_t now_ = 1'000'000;
  JournalDisk disk_;
  std::unique_ptr<Process> p_ = std::make_unique<Process>(&disk_, now_);
};

TEST_F(ExpiryTest, ASeriesExpiresAnHourAfterItsLastChange) {
  TestStream s(p_.get(), Hello("r"), now_);
  s.Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  s.Apply(Batch(2).Count(0, 0), now_ + 1800'000);
  AdvanceTo(now_ + kHour);
  EXPECT_EQ(p_->Total("x_total"), 5);
  AdvanceTo(now_ + 1000);
  EXPECT_EQ(p_->Find("x_total"), nullptr) << "a delta of 0 is no change";
  Process restarted(&disk_, now_);
  EXPECT_EQ(restarted.Find("x_total"), nullptr);
}

TEST_F(ExpiryTest, AfterExpiryTheOpenStreamBeginsASeriesAnew) {
  TestStream s(p_.get(), Hello("r"), now_);
  s.Apply(Batch(1).Define(0, "x_total", {{"a", "1"}}).Count(0, 5), now_);
  AdvanceTo(now_ + kHour + 1000);
  ASSERT_EQ(p_->Find("x_total", Labels({{"a", "1"}})), nullptr);
  const auto ack = s.Apply(Batch(2).Count(0, 3), now_ + 10);
  EXPECT_THAT(ack->ack().rejects, testing::IsEmpty());
  EXPECT_EQ(p_->Total("x_total", Labels({{"a", "1"}})), 3);
  EXPECT_EQ(p_->Find("x_total", Labels({{"a", "1"}}))->created_ms, now_ + 10);
  Process restarted(&disk_, now_);
  EXPECT_EQ(restarted.Total("x_total", Labels({{"a", "1"}})), 3);
}

TEST_F(ExpiryTest, ABatchBetweenForgetAndItsDurabilityBeginsAnew) {
  TestStream s(p_.get(), Hello("r"), now_);
  s.Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  now_ += kHour + 1000;
  p_->ingest->Advance(now_);  // FORGET is appended
  EXPECT_EQ(p_->Total("x_total"), -1) << "the key is free";
  const auto ack = s.Send(Batch(2).Count(0, 3), now_);
  p_->Commit();
  ASSERT_TRUE(ack->ok());
  EXPECT_EQ(p_->Total("x_total"), 3);
  Process restarted(&disk_, now_);
  EXPECT_EQ(restarted.Total("x_total"), 3);
}

TEST_F(ExpiryTest, WhatABatchUnderWayCountsOnDoesNotExpire) {
  TestStream s(p_.get(), Hello("r"), now_);
  s.Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  now_ += kHour + 1000;
  s.Send(Batch(2).Count(0, 3), now_);
  p_->ingest->Advance(now_);
  p_->Commit();
  EXPECT_EQ(p_->Total("x_total"), 8);
}

TEST_F(ExpiryTest, WhileSomebodyScrapesTheLastChangeIsScrapedTwiceFirst) {
  TestStream s(p_.get(), Hello("r"), now_);
  s.Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  const int64_t born = now_;
  p_->ingest->ScrapeCompleted(born - 1);
  p_->ingest->ScrapeCompleted(born + kHour - 500);
  AdvanceTo(born + kHour + 1000);
  EXPECT_EQ(p_->Total("x_total"), 5) << "one scrape has shown it";
  p_->ingest->ScrapeCompleted(now_ + 10);
  AdvanceTo(now_ + 1000);
  EXPECT_EQ(p_->Find("x_total"), nullptr);
}

TEST_F(ExpiryTest, ATtlOfZeroKeepsForEver) {
  ReportIngestOptions options;
  options.series_ttl_ms = 0;
  p_ = std::make_unique<Process>(&disk_, now_, SeriesLimits(), options);
  TestStream(p_.get(), Hello("r"), now_).Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  AdvanceTo(now_ + 100 * kHour);
  EXPECT_EQ(p_->Total("x_total"), 5);
}

TEST_F(ExpiryTest, QueueSeriesLiveWithTheirQueue) {
  QueueEvent e;
  e.kind = QueueEventKind::kQueueCreated;
  e.queue = "q";
  e.at_ms = now_;
  p_->fold->OnQueueEvent(1, e);
  AdvanceTo(now_ + 100 * kHour);
  EXPECT_EQ(p_->Total("wheelpit_tasks_submitted_total", Labels({{"queue", "q"}})), 0);
}

TEST_F(ExpiryTest, SeriesCountedBySubmitsAloneExpireToo) {
  const std::vector<CountedSeries> counts = {{"x_total", Labels()}};
  QueueEvent e;
  e.kind = QueueEventKind::kSubmitted;
  e.queue = "q";
  e.at_ms = now_;
  e.counts = counts;
  p_->fold->OnQueueEvent(1, e);
  AdvanceTo(now_ + kHour + 1000);
  EXPECT_EQ(p_->Find("x_total"), nullptr);
  e.at_ms = now_;
  p_->fold->OnQueueEvent(3, e);
  EXPECT_EQ(p_->Total("x_total"), 1);
}

TEST_F(ExpiryTest, ManySeriesExpireWithinAMinuteOfTicks) {
  TestStream s(p_.get(), Hello("r"), now_);
  TestBatch batch = Batch(1);
  for (uint32_t i = 0; i < 9000; ++i) batch.Define(i, "x_total", {{"i", absl::StrCat(i)}});
  s.Apply(batch, now_);
  EXPECT_EQ(p_->store.usage().series, 9000u);
  now_ += kHour;
  for (int tick = 0; tick < 60 && p_->store.usage().series > 0; ++tick) AdvanceTo(now_ + 1000);
  EXPECT_EQ(p_->store.usage().series, 0u);
}

TEST_F(ExpiryTest, GaugesOfASilentReporterGoAfterAMinute) {
  TestStream s(p_.get(), Hello("r"), now_);
  s.Apply(Batch(1).Define(0, "g").Gauge(0, 4), now_);
  AdvanceTo(now_ + 60'000);
  EXPECT_EQ(p_->GaugeValue("g"), 4);
  AdvanceTo(now_ + 1000);
  EXPECT_EQ(p_->GaugeValue("g"), std::nullopt);
  s.Apply(Batch(2).Gauge(0, 5), now_);
  EXPECT_EQ(p_->GaugeValue("g"), 5) << "it may come back";
}

TEST_F(ExpiryTest, AGaugeOfALiveReporterStaysThoughItNeverChanges) {
  TestStream s(p_.get(), Hello("r"), now_);
  s.Apply(Batch(1).Define(0, "g").Gauge(0, 4), now_);
  for (int i = 0; i < 200; ++i) {
    s.stream->Heartbeat(now_);
    AdvanceTo(now_ + 30'000);
  }
  EXPECT_EQ(p_->GaugeValue("g"), 4);
}

TEST_F(ExpiryTest, ASilentReporterIsGoneAfterFiveMinutesAndWhoStaysDecides) {
  TestStream a(p_.get(), Hello("a"), now_), b(p_.get(), Hello("b"), now_);
  a.Apply(Batch(1).Define(0, "x_total").Count(0, 1), now_);
  b.Apply(Batch(1).Define(0, "x_total").Count(0, 1), now_);
  for (int i = 0; i < 31; ++i) {
    b.stream->Heartbeat(now_ + 10'000);
    AdvanceTo(now_ + 10'000);
    if (i == 28) {
      EXPECT_EQ(p_->FreshnessOf("x_total", now_), Freshness::kPartial);
    }
  }
  EXPECT_EQ(p_->FreshnessOf("x_total", now_), Freshness::kLive) << "a does not feed it any more";
}

TEST_F(ExpiryTest, ReportersAreForgottenADayAfterTheyLeft) {
  {
    TestStream s(p_.get(), Hello("r", 9), now_);
    s.Apply(Batch(1), now_);
    s.Goodbye(true, now_);
  }
  AdvanceTo(now_ + 24 * kHour);
  EXPECT_EQ(ErrorReason(TestStream(p_.get(), Hello("r", 8), now_).status), "STALE_INCARNATION");
  p_->Commit();
  // The refused hello is no sign of life.
  AdvanceTo(now_ + 1000);
  Process restarted(&disk_, now_);
  for (Process* p : {p_.get(), &restarted}) {
    TestStream s(p, Hello("r", 8), now_);
    EXPECT_TRUE(s.status.ok()) << s.status;
    EXPECT_EQ(s.outcome.applied_seq, 0u);
  }
}

TEST_F(ExpiryTest, AnOpenStreamKeepsItsReporter) {
  TestStream s(p_.get(), Hello("r", 9), now_);
  AdvanceTo(now_ + 48 * kHour);
  AdvanceTo(now_ + 1000);
  EXPECT_TRUE(s.Apply(Batch(1).Define(0, "x_total").Count(0, 1), now_)->ok());
}

TEST_F(ExpiryTest, TheNextTickIsASecondAway) {
  p_->ingest->Advance(now_);
  EXPECT_EQ(p_->ingest->NextDeadline(), now_ + 1000);
}

}  // namespace
}  // namespace wheelpit
