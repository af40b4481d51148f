#include "server/ingest/counter_fold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/unit/server/ingest/ingest_world.h"

namespace wheelpit {
namespace {

QueueEvent Event(QueueEventKind kind, absl::string_view queue, absl::string_view reason = "") {
  QueueEvent e;
  e.kind = kind;
  e.queue = queue;
  e.reason = reason;
  e.at_ms = 1'000'000;
  return e;
}

Labels Q(const std::string& queue) { return Labels({{"queue", queue}}); }
Labels QR(const std::string& queue, const std::string& reason) { return Labels({{"queue", queue}, {"reason", reason}}); }

class CounterFoldTest : public testing::Test {
 protected:
  JournalDisk disk_;
  Process p_{&disk_, 1'000'000};
};

TEST_F(CounterFoldTest, AQueuesSeriesExistWithZeroFromItsCreationAndVanishWithIt) {
  p_.fold->OnQueueEvent(1, Event(QueueEventKind::kQueueCreated, "q"));
  for (const char* name :
       {"wheelpit_tasks_submitted_total", "wheelpit_tasks_leased_total", "wheelpit_tasks_redelivered_total",
        "wheelpit_tasks_released_total", "wheelpit_tasks_completed_total", "wheelpit_tasks_retried_total",
        "wheelpit_tasks_redriven_total", "wheelpit_tasks_cancelled_total", "wheelpit_tasks_expired_total",
        "wheelpit_dead_letters_dropped_total"}) {
    EXPECT_EQ(p_.Total(name, Q("q")), 0) << name;
    EXPECT_FALSE(p_.store.family_at(*p_.store.FindFamily(name)).family.help.empty()) << name;
  }
  for (const char* reason : {"error", "lease_expired", "attempt_timeout", "worker_lost"}) {
    EXPECT_EQ(p_.Total("wheelpit_attempts_failed_total", QR("q", reason)), 0) << reason;
  }
  for (const char* reason : {"not_retryable", "max_attempts", "lease_losses", "corrupt"}) {
    EXPECT_EQ(p_.Total("wheelpit_tasks_dead_lettered_total", QR("q", reason)), 0) << reason;
  }
  EXPECT_EQ(p_.FreshnessOf("wheelpit_tasks_submitted_total", 9'000'000, Q("q")), Freshness::kLive);
  p_.fold->OnQueueEvent(2, Event(QueueEventKind::kQueueDeleted, "q"));
  EXPECT_EQ(p_.store.usage().series, 0u);
}

TEST_F(CounterFoldTest, EachEventCountsItsOwnSeries) {
  const std::pair<QueueEventKind, const char*> events[] = {
      {QueueEventKind::kSubmitted, "wheelpit_tasks_submitted_total"},
      {QueueEventKind::kLeased, "wheelpit_tasks_leased_total"},
      {QueueEventKind::kRedelivered, "wheelpit_tasks_redelivered_total"},
      {QueueEventKind::kReleased, "wheelpit_tasks_released_total"},
      {QueueEventKind::kCompleted, "wheelpit_tasks_completed_total"},
      {QueueEventKind::kRetried, "wheelpit_tasks_retried_total"},
      {QueueEventKind::kRedriven, "wheelpit_tasks_redriven_total"},
      {QueueEventKind::kCancelled, "wheelpit_tasks_cancelled_total"},
      {QueueEventKind::kExpired, "wheelpit_tasks_expired_total"},
      {QueueEventKind::kDeadLetterDropped, "wheelpit_dead_letters_dropped_total"},
  };
  Lsn lsn = 0;
  uint64_t n = 0;
  for (const auto& [kind, name] : events) {
    QueueEvent e = Event(kind, "q");
    e.n = ++n;
    p_.fold->OnQueueEvent(++lsn, e);
  }
  n = 0;
  for (const auto& [kind, name] : events) EXPECT_EQ(p_.Total(name, Q("q")), static_cast<double>(++n)) << name;
  p_.fold->OnQueueEvent(++lsn, Event(QueueEventKind::kAttemptFailed, "q", "worker_lost"));
  p_.fold->OnQueueEvent(++lsn, Event(QueueEventKind::kDeadLettered, "q", "max_attempts"));
  EXPECT_EQ(p_.Total("wheelpit_attempts_failed_total", QR("q", "worker_lost")), 1);
  EXPECT_EQ(p_.Total("wheelpit_attempts_failed_total", QR("q", "error")), 0);
  EXPECT_EQ(p_.Total("wheelpit_tasks_dead_lettered_total", QR("q", "max_attempts")), 1);
}

TEST_F(CounterFoldTest, QueueEventsFillRingsAtTheirTime) {
  QueueEvent e = Event(QueueEventKind::kSubmitted, "q");
  e.n = 4;
  p_.fold->OnQueueEvent(1, e);
  EXPECT_EQ(p_.Increase("wheelpit_tasks_submitted_total", 1'001'000, 1000, Q("q")), 4);
}

TEST_F(CounterFoldTest, ASubmitCountsWhatItNames) {
  const std::vector<CountedSeries> counts = {{"heavywork_requests_total", Labels({{"pod", "a"}})}, {"other", Labels()}};
  QueueEvent e = Event(QueueEventKind::kSubmitted, "q");
  e.counts = counts;
  p_.fold->OnQueueEvent(1, e);
  p_.fold->OnQueueEvent(2, e);
  EXPECT_EQ(p_.Total("heavywork_requests_total", Labels({{"pod", "a"}})), 2);
  EXPECT_EQ(p_.Total("other"), 2) << "counted as a counter whatever its name";
  EXPECT_EQ(p_.FreshnessOf("heavywork_requests_total", 90'000'000, Labels({{"pod", "a"}})), Freshness::kLive);
}

TEST_F(CounterFoldTest, ASubmitCannotCountForTheServer) {
  const std::vector<CountedSeries> counts = {{"wheelpit_tasks_completed_total", Q("q")}, {"x_total", Labels({{"__l", "1"}})}, {"", {}}};
  QueueEvent e = Event(QueueEventKind::kSubmitted, "q");
  e.counts = counts;
  p_.fold->OnQueueEvent(1, e);
  EXPECT_EQ(p_.Total("wheelpit_tasks_completed_total", Q("q")), 0);
  EXPECT_EQ(p_.Total("wheelpit_tasks_submitted_total", Q("q")), 1);
  EXPECT_EQ(p_.Find("x_total"), nullptr);
}

TEST_F(CounterFoldTest, ReportsAndSubmitsMayShareASeries) {
  const std::vector<CountedSeries> counts = {{"x_total", Labels()}};
  QueueEvent e = Event(QueueEventKind::kSubmitted, "q");
  e.counts = counts;
  p_.fold->OnQueueEvent(1, e);
  TestStream s(&p_, Hello("r"), 1'000'000);
  s.Apply(Batch(1).Define(0, "x_total").Count(0, 10), 1'000'000);
  p_.fold->OnQueueEvent(3, e);
  EXPECT_EQ(p_.Total("x_total"), 12);
}

TEST_F(CounterFoldTest, ASubmitMayCountOnASeriesWhoseDefinitionIsNotDurableYet) {
  TestStream s(&p_, Hello("r"), 1'000'000);
  p_.Commit();
  s.Send(Batch(1).Define(0, "x_total").Count(0, 10), 1'000'000);
  const std::vector<CountedSeries> counts = {{"x_total", Labels()}};
  QueueEvent e = Event(QueueEventKind::kSubmitted, "q");
  e.counts = counts;
  p_.fold->OnQueueEvent(1, e);
  EXPECT_EQ(p_.Total("x_total"), 1);
  p_.Commit();
  EXPECT_EQ(p_.Total("x_total"), 11);
}

TEST_F(CounterFoldTest, AnotherHistoryBeginsEveryCountAnewAndKeepsTheQueues) {
  p_.fold->OnQueueEvent(1, Event(QueueEventKind::kSubmitted, "q"));
  TestStream(&p_, Hello("r"), 1'000'000).Apply(Batch(1).Define(0, "x_total").Count(0, 10), 1'000'000);
  p_.Checkpoint();
  Process restored(&disk_, 2'000'000, {}, {}, /*history_id=*/78);
  EXPECT_EQ(restored.fold->history_id(), 78u);
  EXPECT_EQ(restored.Find("x_total"), nullptr);
  EXPECT_EQ(restored.Total("wheelpit_tasks_submitted_total", Q("q")), 0);
  TestStream s(&restored, Hello("r", 1, 1), 2'000'000);
  EXPECT_EQ(s.outcome.history_id, 78u);
  EXPECT_EQ(s.outcome.applied_seq, 1u) << "the reporter keeps its numbering";
  s.Apply(Batch(2).Define(0, "x_total").Count(0, 3), 2'000'000);
  EXPECT_EQ(restored.Total("x_total"), 3);
}

// --- checkpoints ---

TEST_F(CounterFoldTest, ACheckpointHoldsEverything) {
  {
    TestStream s(&p_, Hello("r", 3), 1'000'000);
    s.Apply(Batch(1).Define(0, "x_total", {{"a", "1"}}).Define(1, "y_total").Define(2, "g").Count(0, 10).Fraction(1, 0.5).Gauge(2, 7),
            1'000'500);
    p_.fold->OnQueueEvent(3, Event(QueueEventKind::kSubmitted, "q"));
  }
  p_.Checkpoint();
  disk_.records.clear();
  disk_.records.resize(disk_.durable);  // nothing but the checkpoint
  disk_.checkpoint_begin = disk_.durable;
  Process r(&disk_, 1'002'000);
  EXPECT_EQ(r.Total("x_total", Labels({{"a", "1"}})), 10);
  EXPECT_EQ(r.Total("y_total"), 0.5);
  EXPECT_EQ(r.GaugeValue("g"), 7);
  EXPECT_EQ(r.Increase("x_total", 1'001'000, 1000, Labels({{"a", "1"}})), 10);
  EXPECT_EQ(r.Increase("y_total", 1'001'000, 1000), 0.5);
  EXPECT_EQ(r.Total("wheelpit_tasks_submitted_total", Q("q")), 1);
  EXPECT_EQ(r.Find("x_total", Labels({{"a", "1"}}))->created_ms, 1'000'500);
  EXPECT_EQ(r.FreshnessOf("x_total", 1'002'000, Labels({{"a", "1"}})), Freshness::kLive);
  TestStream s(&r, Hello("r", 3, 1), 1'002'000);
  EXPECT_EQ(s.outcome.applied_seq, 1u);
  s.Apply(Batch(2).Define(0, "x_total", {{"a", "1"}}).Count(0, 1), 1'002'000);
  EXPECT_EQ(r.Total("x_total", Labels({{"a", "1"}})), 11);
  s.Goodbye(true, 1'003'000);
  EXPECT_EQ(r.GaugeValue("g"), std::nullopt) << "a gauge from the checkpoint is withdrawn too";
  r.fold->OnQueueEvent(6, Event(QueueEventKind::kQueueDeleted, "q"));
  EXPECT_EQ(r.Find("wheelpit_tasks_submitted_total", Q("q")), nullptr);
}

TEST_F(CounterFoldTest, DamagedChunksAreRefused) {
  TestStream(&p_, Hello("r", 3), 1'000'000).Apply(Batch(1).Define(0, "x_total", {{"a", "1"}}).Count(0, 10), 1'000'500);
  p_.Checkpoint();
  for (const auto& chunk : disk_.checkpoint) {
    for (size_t cut = 0; cut < chunk.bytes.size(); ++cut) {
      SeriesStore store{SeriesLimits()};
      const auto fold = CounterFold::Create(&store);
      const absl::Status status = fold->LoadChunk(1, absl::string_view(chunk.bytes).substr(0, cut));
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << cut;
    }
  }
}

TEST_F(CounterFoldTest, ARecordThatCountsAnUndefinedSeriesIsRefused) {
  TestStream s(&p_, Hello("r"), 1'000'000);
  s.Apply(Batch(1).Define(0, "x_total").Count(0, 1), 1'000'000);
  s.Apply(Batch(2).Count(0, 1), 1'000'000);
  SeriesStore store{SeriesLimits()};
  const auto fold = CounterFold::Create(&store);
  RecordView view;
  view.type = disk_.records[2].type;
  view.meta = disk_.records[2].meta;
  view.payload = disk_.records[2].payload;
  EXPECT_EQ(fold->Replay(3, {}, view).code(), absl::StatusCode::kDataLoss);
}

TEST_F(CounterFoldTest, AManySeriesCheckpointComesInSmallChunks) {
  TestStream s(&p_, Hello("r"), 1'000'000);
  TestBatch batch = Batch(1);
  for (uint32_t i = 0; i < 5000; ++i) batch.Define(i, "x_total", {{"i", absl::StrCat(i)}}).Count(i, i);
  s.Apply(batch, 1'000'000);
  p_.Checkpoint();
  EXPECT_GE(disk_.checkpoint.size(), 11u);
  for (const auto& chunk : disk_.checkpoint) EXPECT_LT(chunk.bytes.size(), 400'000u);
  Process r(&disk_, 1'002'000);
  for (uint32_t i = 0; i < 5000; ++i) ASSERT_EQ(r.Total("x_total", Labels({{"i", absl::StrCat(i)}})), i);
}

}  // namespace
}  // namespace wheelpit
