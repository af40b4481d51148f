#include "server/ingest/report_ingest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "tests/unit/server/ingest/ingest_world.h"

namespace wheelpit {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class ReportIngestTest : public testing::Test {
 protected:
  void Restart(SeriesLimits limits = {}, ReportIngestOptions options = {}) {
    p_ = std::make_unique<Process>(&disk_, now_, limits, options);
  }
  std::unique_ptr<TestStream> Open(ReportHello hello) { return std::make_unique<TestStream>(p_.get(), std::move(hello), now_); }
  std::unique_ptr<TestStream> Open(std::string id = "r", uint64_t incarnation = 1, uint64_t acked = 0) {
    return Open(Hello(std::move(id), incarnation, acked));
  }
  static std::string FirstReject(const std::shared_ptr<AckBox>& box) {
    if (!box->ok()) return "no ack: " + box->message();
    if (box->ack().rejects.empty()) return "";
    const SampleReject& r = box->ack().rejects[0];
    return absl::StrCat(r.sample_index, " ", r.reason, ": ", r.message);
  }

  int64_t now_ = 1'000'000;
  JournalDisk disk_;
  std::unique_ptr<Process> p_ = std::make_unique<Process>(&disk_, now_);
};

// --- hello ---

TEST_F(ReportIngestTest, AReporterIdIsOneTo128BytesOfUtf8) {
  for (const std::string& bad : {std::string(), std::string(129, 'r'), std::string("\xff")}) {
    const auto s = Open(bad);
    EXPECT_EQ(s->status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(s->status), "BAD_REPORTER_ID");
    EXPECT_EQ(s->status.message(), "reporter_id must be 1..128 bytes of UTF-8");
  }
  EXPECT_TRUE(Open(std::string(128, 'r'))->status.ok());
}

TEST_F(ReportIngestTest, AnIncarnationIsPositive) {
  const auto s = Open("r", 0);
  EXPECT_EQ(ErrorReason(s->status), "BAD_INCARNATION");
  EXPECT_EQ(s->status.message(), "incarnation must be > 0");
}

TEST_F(ReportIngestTest, HelloLabelsAreChecked) {
  ReportHello hello = Hello("r");
  hello.labels = {{"__x", "1"}};
  EXPECT_EQ(ErrorReason(Open(hello)->status), "BAD_LABEL_NAME");
}

TEST_F(ReportIngestTest, TheHelloAckTellsWhereToGoOn) {
  auto s = Open();
  EXPECT_EQ(s->outcome.history_id, 77u);
  EXPECT_EQ(s->outcome.applied_seq, 0u);
  EXPECT_EQ(s->outcome.credit, 8u);
  EXPECT_TRUE(s->outcome.durable);
  s->Apply(Batch(1), now_);
  EXPECT_EQ(Open()->outcome.applied_seq, 1u);
}

TEST_F(ReportIngestTest, AnOlderIncarnationIsFenced) {
  Open("r", 5);
  const auto s = Open("r", 4);
  EXPECT_EQ(s->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ErrorReason(s->status), "STALE_INCARNATION");
  EXPECT_EQ(s->status.message(), "incarnation 4 is older than 5");
}

TEST_F(ReportIngestTest, FencingOutlivesARestart) {
  Open("r", 5);
  p_->Commit();
  Restart();
  EXPECT_EQ(ErrorReason(Open("r", 4)->status), "STALE_INCARNATION");
}

TEST_F(ReportIngestTest, ANewerStreamOfTheIncarnationWins) {
  const auto old = Open();
  const auto newer = Open();
  EXPECT_EQ(old->superseded.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ErrorReason(old->superseded), "SESSION_SUPERSEDED");
  EXPECT_EQ(old->superseded.message(), "a newer stream of this incarnation exists");
  EXPECT_EQ(old->Apply(Batch(1), now_)->reason(), "SESSION_SUPERSEDED");
  EXPECT_TRUE(newer->Apply(Batch(1), now_)->ok());
}

TEST_F(ReportIngestTest, ANewIncarnationEndsTheOldOnesStream) {
  const auto old = Open("r", 1);
  const auto newer = Open("r", 2);
  EXPECT_EQ(ErrorReason(old->superseded), "STALE_INCARNATION");
  EXPECT_EQ(old->Apply(Batch(1), now_)->reason(), "STALE_INCARNATION");
  EXPECT_EQ(newer->outcome.applied_seq, 0u);
}

TEST_F(ReportIngestTest, AnUnknownIncarnationBeginsWhereItSaysItWasAcknowledged) {
  const auto s = Open("r", 1, 500);
  EXPECT_EQ(s->outcome.applied_seq, 500u);
  EXPECT_TRUE(s->Apply(Batch(501), now_)->ok());
}

TEST_F(ReportIngestTest, AcknowledgedBatchesThatWereLostAreCountedAndSkipped) {
  Counter* lost = OwnMetrics().AddCounter("wheelpit_report_batches_lost_total", "");
  const uint64_t before = lost->value();
  Open()->Apply(Batch(1), now_);
  const auto s = Open("r", 1, 4);
  EXPECT_EQ(s->outcome.applied_seq, 4u);
  EXPECT_EQ(lost->value(), before + 3);
  EXPECT_TRUE(s->Apply(Batch(5), now_)->ok());
  Restart();
  EXPECT_EQ(Open("r", 1, 4)->outcome.applied_seq, 5u);
}

TEST_F(ReportIngestTest, NobodyIsTakenWhileDraining) {
  auto s = Open();
  p_->ingest->StartDraining();
  EXPECT_EQ(ErrorReason(Open("other")->status), "DRAINING");
  EXPECT_EQ(Open("other")->status.message(), "shutting down");
  const auto refused = s->Apply(Batch(1), now_);
  EXPECT_EQ(refused->reason(), "DRAINING");
  EXPECT_EQ(refused->result->status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ReportIngestTest, NobodyIsTakenBeforeRecoveryIsDone) {
  ReplayableJournal journal(&disk_);
  DurableQueue durable;
  SeriesStore store{SeriesLimits()};
  const auto fold = CounterFold::Create(&store);
  const auto ingest = ReportIngest::Create({}, &journal, &durable, &store, fold.get());
  HelloOutcome outcome;
  const auto opened = ingest->Open(Hello("r"), now_, &outcome, nullptr);
  EXPECT_EQ(ErrorReason(opened.status()), "NOT_READY");
  EXPECT_EQ(opened.status().message(), "recovering");
}

// --- order and repeats ---

TEST_F(ReportIngestTest, NothingCountsAndNothingIsAcknowledgedBeforeItIsDurable) {
  auto s = Open();
  p_->Commit();
  const auto ack = s->Send(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  EXPECT_TRUE(ack->pending());
  EXPECT_EQ(p_->Total("x_total"), -1);
  p_->Commit();
  ASSERT_TRUE(ack->ok());
  EXPECT_TRUE(ack->ack().durable);
  EXPECT_EQ(ack->ack().through_seq, 1u);
  EXPECT_EQ(ack->ack().history_id, 77u);
  EXPECT_EQ(ack->ack().credit, 8u);
  EXPECT_EQ(p_->Total("x_total"), 5);
}

TEST_F(ReportIngestTest, AGapNamesTheExpectedSeq) {
  auto s = Open();
  s->Apply(Batch(1), now_);
  const auto gap = s->Apply(Batch(3), now_);
  EXPECT_EQ(gap->result->status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(gap->reason(), "SEQ_GAP");
  EXPECT_EQ(gap->message(), "expected seq 2, got 3");
  EXPECT_EQ(s->Apply(Batch(0), now_)->message(), "expected seq 2, got 0");
}

TEST_F(ReportIngestTest, SeqIsComparedWithWhatIsAppendedNotWithWhatIsDurable) {
  auto s = Open();
  const auto first = s->Send(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  const auto second = s->Send(Batch(2).Count(0, 1), now_);
  const auto repeat = s->Send(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  EXPECT_TRUE(repeat->pending()) << "an ack means durable, for a repeat too";
  p_->Commit();
  EXPECT_TRUE(first->ok() && second->ok() && repeat->ok());
  EXPECT_EQ(repeat->ack().through_seq, 2u);
  EXPECT_EQ(p_->Total("x_total"), 6);
}

TEST_F(ReportIngestTest, ARepeatWithOtherContentIsDataLoss) {
  auto s = Open();
  s->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  const auto other = s->Apply(Batch(1).Define(0, "x_total").Count(0, 6), now_);
  EXPECT_EQ(other->result->status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(other->reason(), "BATCH_MISMATCH");
  EXPECT_EQ(other->message(), "seq 1 was applied with other content");
  EXPECT_EQ(s->Apply(Batch(1).Define(0, "y_total").Count(0, 5), now_)->reason(), "BATCH_MISMATCH");
  EXPECT_EQ(p_->Total("x_total"), 5);
}

TEST_F(ReportIngestTest, TheContentIsCheckedAcrossARestart) {
  Open()->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  Restart();
  EXPECT_EQ(Open()->Apply(Batch(1).Define(0, "x_total").Count(0, 6), now_)->reason(), "BATCH_MISMATCH");
  EXPECT_TRUE(Open()->Apply(Batch(1).Define(3, "x_total").Count(3, 5), now_)->ok());
  p_->Checkpoint();
  Restart();
  EXPECT_EQ(Open()->Apply(Batch(1).Define(0, "x_total").Count(0, 6), now_)->reason(), "BATCH_MISMATCH");
}

TEST_F(ReportIngestTest, ContentDoesNotDependOnRefsOrAge) {
  auto s = Open();
  s->Apply(Batch(1).Define(0, "x_total").Define(1, "y_total").Define(2, "g").Count(0, 5).Count(1, 6).Gauge(2, 1.5), now_);
  auto again = Open();
  const auto ack = again->Apply(
      Batch(1).Define(7, "y_total").Define(8, "x_total").Define(9, "g").Count(8, 5).Count(7, 6).Gauge(9, 1.5).Age(30'000), now_);
  EXPECT_TRUE(ack->ok()) << ack->message();
}

TEST_F(ReportIngestTest, ARepeatOfABatchWithRejectsIsARepeat) {
  TestBatch batch = Batch(1).Define(0, "x_total").Define(1, "bad", {{"__l", "1"}}).Count(0, 5).Count(1, 1).Count(44, 2).Gauge(0, 3);
  EXPECT_THAT(Open()->Apply(batch, now_)->ack().rejects, SizeIs(3));
  EXPECT_TRUE(Open()->Apply(batch, now_)->ok());
}

TEST_F(ReportIngestTest, ARepeatDefinesRefsForLaterBatches) {
  Open()->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  auto again = Open();
  again->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  const auto next = again->Apply(Batch(2).Count(0, 1), now_);
  EXPECT_EQ(FirstReject(next), "");
  EXPECT_EQ(p_->Total("x_total"), 6);
}

TEST_F(ReportIngestTest, ContentIsForgottenAfter64Batches) {
  auto s = Open();
  for (uint64_t seq = 1; seq <= 65; ++seq) s->Apply(Batch(seq).Define(0, "x_total").Count(0, seq), now_);
  EXPECT_TRUE(s->Apply(Batch(1).Count(0, 999), now_)->ok());
  EXPECT_EQ(s->Apply(Batch(2).Count(0, 999), now_)->reason(), "BATCH_MISMATCH");
}

TEST_F(ReportIngestTest, TooLargeBatchesAreRefused) {
  auto s = Open();
  TestBatch many = Batch(1);
  for (uint32_t i = 0; i < 10'001; ++i) many.Count(0, 1);
  EXPECT_EQ(s->Apply(many, now_)->message(), "batch has 10001 samples, limit 10000");
  ReportBatch bytes = Batch(1).View();
  bytes.encoded_bytes = (1 << 20) + 1;
  AckBox box;
  s->stream->Apply(bytes, now_, [&](absl::StatusOr<BatchAck> ack) { box.result = std::move(ack); });
  EXPECT_EQ(box.reason(), "BATCH_TOO_LARGE");
  EXPECT_EQ(box.message(), "batch has 1048577 bytes, limit 1048576");
}

TEST_F(ReportIngestTest, AFullQueueIsOverloaded) {
  ReportIngestOptions options;
  options.queued_bytes_max = 250;
  Restart({}, options);
  auto s = Open();
  EXPECT_TRUE(s->Send(Batch(1), now_)->pending());
  EXPECT_TRUE(s->Send(Batch(2), now_)->pending());
  const auto refused = s->Send(Batch(3), now_);
  EXPECT_EQ(refused->result->status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused->reason(), "OVERLOADED");
  EXPECT_EQ(refused->message(), "ingest queue full");
  EXPECT_GT(ErrorRetryAfter(refused->result->status()), absl::ZeroDuration());
  p_->Commit();
  EXPECT_TRUE(s->Send(Batch(3), now_)->pending()) << "there is room again";
}

TEST_F(ReportIngestTest, CreditShrinksAsTheQueueFills) {
  ReportIngestOptions options;
  options.queued_bytes_max = 300;
  Restart({}, options);
  auto s = Open();
  const auto first = s->Send(Batch(1), now_);
  s->Send(Batch(2), now_);
  s->Send(Batch(3), now_);
  // The first becomes durable alone: the hello and it.
  p_->journal.CommitThrough(2);
  p_->durable.Advance(2);
  EXPECT_EQ(first->ack().credit, 1u);
}

TEST_F(ReportIngestTest, AJournalThatRefusesLeavesNothingBehind) {
  auto s = Open();
  p_->Commit();
  p_->journal.append_error = MakeError(absl::StatusCode::kResourceExhausted, "DISK_LOW", "disk low");
  EXPECT_EQ(s->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_)->reason(), "DISK_LOW");
  EXPECT_EQ(p_->store.usage().series, 0u);
  p_->journal.append_error = absl::OkStatus();
  auto again = Open();
  EXPECT_EQ(again->outcome.applied_seq, 0u);
  EXPECT_EQ(FirstReject(again->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_)), "");
  EXPECT_EQ(p_->Total("x_total"), 5);
  Restart();
  EXPECT_EQ(p_->Total("x_total"), 5) << "the record that was written defines the series";
}

TEST_F(ReportIngestTest, TooManyNewSeriesASecondAreOverloaded) {
  ReportIngestOptions options;
  options.new_series_per_s_max = 2;
  Restart({}, options);
  auto s = Open();
  EXPECT_TRUE(s->Apply(Batch(1).Define(0, "a_total").Define(1, "b_total"), now_)->ok());
  EXPECT_EQ(s->Apply(Batch(2).Define(2, "c_total"), now_)->reason(), "OVERLOADED");
  EXPECT_TRUE(s->Apply(Batch(2).Define(2, "c_total"), now_ + 1000)->ok());
}

// --- samples ---

TEST_F(ReportIngestTest, UnknownRefsAreRejectedAndTheRestCounts) {
  auto s = Open();
  const auto ack = s->Apply(Batch(1).Define(0, "x_total").Count(9, 1).Count(0, 5), now_);
  EXPECT_EQ(FirstReject(ack), "0 UNKNOWN_REF: series ref 9 is not defined on this stream");
  EXPECT_THAT(ack->ack().rejects, SizeIs(1));
  EXPECT_EQ(ack->ack().rejects[0].seq, 1u);
  EXPECT_EQ(p_->Total("x_total"), 5);
  EXPECT_EQ(FirstReject(s->Apply(Batch(2).Define(4'000'000'000, "x_total").Count(4'000'000'000, 1), now_)).substr(0, 13),
            "0 UNKNOWN_REF");
}

TEST_F(ReportIngestTest, ADictionaryDiesWithItsStream) {
  Open()->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  EXPECT_EQ(FirstReject(Open()->Apply(Batch(2).Count(0, 5), now_)).substr(0, 13), "0 UNKNOWN_REF");
}

TEST_F(ReportIngestTest, BadNamesAndLabelsAreRejectedBySample) {
  const auto reject = [&](std::string family, std::vector<Labels::Pair> labels) {
    ++now_;
    return FirstReject(Open(absl::StrCat("r", now_))->Apply(Batch(1).Define(0, std::move(family), std::move(labels)).Count(0, 1), now_));
  };
  EXPECT_EQ(reject("", {}), "0 BAD_METRIC_NAME: invalid metric name \"\"");
  EXPECT_EQ(reject("wheelpit_tasks_completed_total", {}), "0 BAD_METRIC_NAME: invalid metric name \"wheelpit_tasks_completed_total\"");
  EXPECT_EQ(reject("wheelpit_reporter_batches_sent_total", {}), "");
  EXPECT_EQ(reject("a_total", {{"", "x"}}), "0 BAD_LABEL_NAME: invalid label name \"\"");
  EXPECT_EQ(reject("a_total", {{"__a", "x"}}), "0 BAD_LABEL_NAME: label name \"__a\" is reserved");
  EXPECT_EQ(reject("a_total", {{"a", "\xff"}}), "0 BAD_LABEL_VALUE: label \"a\": value is not valid UTF-8");
  EXPECT_EQ(reject("a_total", {{"a", "1"}, {"a", "2"}}), "0 DUPLICATE_LABEL: label \"a\" appears twice");
  EXPECT_EQ(reject("a_total", std::vector<Labels::Pair>(33, {"a", "1"})), "0 TOO_MANY_LABELS: 33 labels, limit 32");
}

TEST_F(ReportIngestTest, TheTypeIsAsDeclaredElseByTheName) {
  auto s = Open();
  EXPECT_EQ(FirstReject(s->Apply(Batch(1).Define(0, "a_total").Define(1, "b").Count(0, 1).Gauge(1, 2), now_)), "");
  EXPECT_EQ(FirstReject(s->Apply(Batch(2).Count(1, 1), now_)), "0 TYPE_CONFLICT: metric \"b\" is gauge, reported as counter");
  EXPECT_EQ(FirstReject(s->Apply(Batch(3).Gauge(0, 1), now_)), "0 TYPE_CONFLICT: metric \"a_total\" is counter, reported as gauge");
  EXPECT_EQ(FirstReject(s->Apply(Batch(4).Type("c", MetricType::kCounter).Define(2, "c").Count(2, 1), now_)), "");
  EXPECT_EQ(FirstReject(s->Apply(Batch(5).Type("b", MetricType::kCounter).Define(3, "b").Count(3, 1), now_)),
            "0 TYPE_CONFLICT: metric \"b\" is gauge, reported as counter");
}

TEST_F(ReportIngestTest, CollidingNamesAreRejected) {
  auto s = Open();
  s->Apply(Batch(1).Define(0, "x_total").Count(0, 1), now_);
  EXPECT_EQ(FirstReject(s->Apply(Batch(2).Define(1, "x").Gauge(1, 1), now_)), "0 NAME_CONFLICT: metric \"x\" collides with \"x_total\"");
}

TEST_F(ReportIngestTest, TypesThatAreNotTakenAreRejectedOneByOne) {
  auto s = Open();
  TestBatch batch = Batch(1).Define(0, "x_total").Type("h", MetricType::kHistogram).Define(1, "h").Count(0, 1).Count(1, 1);
  batch.unsupported = 2;
  const auto ack = s->Apply(batch, now_);
  ASSERT_THAT(ack->ack().rejects, SizeIs(3));
  for (const SampleReject& r : ack->ack().rejects) EXPECT_EQ(r.reason, "UNSUPPORTED_TYPE");
  EXPECT_EQ(ack->ack().rejects[0].sample_index, 1u);
  EXPECT_EQ(ack->ack().rejects[1].sample_index, 2u);
  EXPECT_EQ(ack->ack().rejects[2].sample_index, 3u);
}

TEST_F(ReportIngestTest, FractionsAreFiniteAndNotNegative) {
  auto s = Open();
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const auto ack = s->Apply(
      Batch(1).Define(0, "x_total").Count(0, 2).Fraction(0, 0.5).Fraction(0, -1).Fraction(0, nan).Fraction(0, inf), now_);
  ASSERT_THAT(ack->ack().rejects, SizeIs(3));
  EXPECT_EQ(FirstReject(ack), "2 BAD_VALUE: counter delta must be finite and >= 0, got -1");
  EXPECT_EQ(p_->Total("x_total"), 2.5);
}

TEST_F(ReportIngestTest, GaugesTakeAnyValueAndTheStaleMarkerRemoves) {
  auto s = Open();
  s->Apply(Batch(1).Define(0, "g").Gauge(0, -std::numeric_limits<double>::infinity()), now_);
  EXPECT_EQ(p_->GaugeValue("g"), -std::numeric_limits<double>::infinity());
  s->Apply(Batch(2).Gauge(0, std::bit_cast<double>(uint64_t{0xfff8000000000007})), now_);
  EXPECT_EQ(std::bit_cast<uint64_t>(*p_->GaugeValue("g")), 0x7ff8000000000001u);
  s->Apply(Batch(3).Gauge(0, std::bit_cast<double>(uint64_t{0x7ff0000000000002})), now_);
  EXPECT_EQ(p_->GaugeValue("g"), std::nullopt);
  s->Apply(Batch(4).Gauge(0, 3), now_);
  EXPECT_EQ(p_->GaugeValue("g"), 3);
  TestBatch remove = Batch(5);
  remove.gauge_removes = {0};
  s->Apply(remove, now_);
  EXPECT_EQ(p_->GaugeValue("g"), std::nullopt);
}

TEST_F(ReportIngestTest, SubDeltasPlaceGrowthSecondBySecond) {
  auto s = Open();
  TestBatch batch = Batch(1).Define(0, "x_total").Define(1, "y_total").Count(0, 6).Count(1, 9);
  batch.interval_ms = 3000;
  batch.subs = {{0, {1, 2, 3}}, {1, {4, 4}}};
  const auto ack = s->Apply(batch, 1'003'500);
  EXPECT_EQ(FirstReject(ack), "1 SUB_SUM_MISMATCH: sub deltas add to 8, delta is 9");
  EXPECT_EQ(p_->Total("x_total"), 6);
  EXPECT_EQ(p_->Increase("x_total", 1'002'000, 1000), 1);
  EXPECT_EQ(p_->Increase("x_total", 1'003'000, 1000), 2);
  EXPECT_EQ(p_->Increase("x_total", 1'004'000, 1000), 3);
  Restart();
  EXPECT_EQ(p_->Total("x_total"), 6);
  EXPECT_EQ(p_->Increase("x_total", 1'003'000, 1000), 2);
}

TEST_F(ReportIngestTest, NothingInABatchIsLeftOutWithoutAWord) {
  auto s = Open();
  s->Apply(Batch(1).Define(0, "x_total").Define(1, "g").Count(0, 1).Gauge(1, 1), now_);
  TestBatch orphan = Batch(2).Count(0, 1);
  orphan.subs = {{7, {1}}};
  EXPECT_EQ(s->Apply(orphan, now_)->reason(), "BAD_BATCH") << "subs of no sample";
  TestBatch twice = Batch(2).Count(0, 2);
  twice.subs = {{0, {2}}, {0, {1, 1}}};
  EXPECT_EQ(s->Apply(twice, now_)->reason(), "BAD_BATCH");
  TestBatch wrapped = Batch(2).Count(0, 1);
  wrapped.subs = {{0, {~uint64_t{0}, 2}}};
  EXPECT_THAT(FirstReject(s->Apply(wrapped, now_)), testing::StartsWith("0 SUB_SUM_MISMATCH"));
  TestBatch bounds = Batch(3).Type("h_total", MetricType::kCounter).Define(2, "h_total").Count(2, 1);
  bounds.families[0].bucket_bounds = {1, 2};
  EXPECT_EQ(FirstReject(s->Apply(bounds, now_)), "0 BAD_BUCKETS: metric \"h_total\": a counter has no bucket bounds");
  EXPECT_THAT(FirstReject(s->Apply(Batch(4).Type("m", MetricType::kGauge, static_cast<GaugeMerge>(99)).Define(3, "m").Gauge(3, 1), now_)),
              testing::StartsWith("0 BAD_FIELD"));
  EXPECT_THAT(FirstReject(s->Apply(Batch(5).Type("t", static_cast<MetricType>(99)).Define(4, "t").Gauge(4, 1), now_)),
              testing::StartsWith("0 UNSUPPORTED_TYPE"));
  TestBatch backwards = Batch(6).Count(0, 1);
  backwards.interval_ms = -1;
  EXPECT_EQ(s->Apply(backwards, now_)->reason(), "BAD_BATCH");
  EXPECT_EQ(p_->Total("x_total"), 1);
}

TEST_F(ReportIngestTest, SpansWithoutMeasureKeepTheirCountsAndTheReportersLife) {
  auto s = Open();
  TestBatch batch = Batch(1).Define(0, "x_total").Count(0, 50);
  batch.interval_ms = std::numeric_limits<int64_t>::max();
  batch.age_ms = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(FirstReject(s->Apply(batch, now_)), "");
  TestBatch future = Batch(2).Count(0, 7);
  future.age_ms = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(FirstReject(s->Apply(future, now_)), "");
  EXPECT_EQ(p_->Total("x_total"), 57);
  EXPECT_EQ(p_->FreshnessOf("x_total", now_ + 1000), Freshness::kLive);
  Restart();
  EXPECT_EQ(p_->Total("x_total"), 57);
}

TEST_F(ReportIngestTest, ALongIntervalIsSpread) {
  auto s = Open();
  TestBatch batch = Batch(1).Define(0, "x_total").Count(0, 50);
  batch.interval_ms = 5000;
  s->Apply(batch, 1'005'000);
  for (int64_t second = 1'001'000; second <= 1'005'000; second += 1000) EXPECT_EQ(p_->Increase("x_total", second, 1000), 10);
}

TEST_F(ReportIngestTest, DeclaredCountersAppearAtOnceWithZero) {
  auto s = Open();
  s->Apply(Batch(1).Define(0, "x_total", {{"code", "500"}}).Define(1, "g"), now_);
  EXPECT_EQ(p_->Total("x_total", Labels({{"code", "500"}})), 0);
  EXPECT_EQ(p_->GaugeValue("g"), std::nullopt) << "a gauge that nobody sets has no value";
  Restart();
  EXPECT_EQ(p_->Total("x_total", Labels({{"code", "500"}})), 0);
}

TEST_F(ReportIngestTest, HelloLabelsAreAddedWhereTheSeriesLacksThem) {
  ReportHello hello = Hello("r");
  hello.labels = {{"namespace", "shop"}, {"pod", "w-1"}};
  auto s = Open(hello);
  s->Apply(Batch(1).Define(0, "x_total", {{"pod", "mine"}}).Count(0, 1), now_);
  EXPECT_EQ(p_->Total("x_total", Labels({{"namespace", "shop"}, {"pod", "mine"}})), 1);
}

TEST_F(ReportIngestTest, CountersAddUpOverReportersAndNeverFall) {
  Open("a")->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  auto b = Open("b");
  b->Apply(Batch(1).Define(0, "x_total").Count(0, 7), now_);
  b->Goodbye(true, now_);
  EXPECT_EQ(p_->Total("x_total"), 12);
}

TEST_F(ReportIngestTest, GaugesAreMergedOverLivingReporters) {
  auto a = Open("a"), b = Open("b");
  a->Apply(Batch(1).Define(0, "g").Gauge(0, 5), now_);
  b->Apply(Batch(1).Define(0, "g").Gauge(0, 7), now_);
  EXPECT_EQ(p_->GaugeValue("g"), 12);
  a->Apply(Batch(2).Gauge(0, 6), now_);
  EXPECT_EQ(p_->GaugeValue("g"), 13) << "a report replaces the reporter's last one";
  b->Goodbye(false, now_);
  EXPECT_EQ(p_->GaugeValue("g"), 6);
}

TEST_F(ReportIngestTest, ANewIncarnationWithdrawsTheOldOnesGauges) {
  Open("a", 1)->Apply(Batch(1).Define(0, "g").Define(1, "h").Gauge(0, 5).Gauge(1, 5), now_);
  auto again = Open("a", 2);
  again->Apply(Batch(1).Define(0, "g").Gauge(0, 1), now_);
  EXPECT_EQ(p_->GaugeValue("g"), 1);
  EXPECT_EQ(p_->GaugeValue("h"), std::nullopt);
}

// --- limits ---

TEST_F(ReportIngestTest, AtASeriesLimitExistingSeriesGoOn) {
  SeriesLimits limits;
  limits.series_max = 1;
  Restart(limits);
  auto s = Open();
  const auto ack = s->Apply(Batch(1).Define(0, "a_total").Define(1, "b_total").Count(0, 1).Count(1, 1), now_);
  EXPECT_EQ(FirstReject(ack), "1 SERIES_LIMIT: series limit series=1 reached");
  s->Apply(Batch(2).Count(0, 1), now_);
  EXPECT_EQ(p_->Total("a_total"), 2);
}

TEST_F(ReportIngestTest, AReporterHasALimitOfItsOwn) {
  SeriesLimits limits;
  limits.series_per_reporter_max = 2;
  Restart(limits);
  auto s = Open();
  TestBatch batch = Batch(1).Define(0, "a_total").Define(1, "b_total").Define(2, "c_total").Count(0, 1).Count(1, 1).Count(2, 1);
  EXPECT_EQ(FirstReject(s->Apply(batch, now_)), "2 SERIES_LIMIT: series limit series_per_reporter=2 reached");
  TestBatch again = batch;
  again.seq = 2;
  EXPECT_EQ(FirstReject(Open()->Apply(again, now_)), "2 SERIES_LIMIT: series limit series_per_reporter=2 reached")
      << "what it feeds already is no new series";
  EXPECT_EQ(FirstReject(Open("other")->Apply(Batch(1).Define(0, "c_total").Count(0, 1), now_)), "");
}

TEST_F(ReportIngestTest, WithOverflowWhatIsBeyondTheLimitIsFoldedIntoOneSeries) {
  SeriesLimits limits;
  limits.series_per_family_max = 1;
  limits.overflow_series = true;
  Restart(limits);
  auto s = Open();
  TestBatch batch = Batch(1);
  for (uint32_t i = 0; i < 5; ++i) batch.Define(i, "a_total", {{"i", absl::StrCat(i)}}).Count(i, 10 + i);
  EXPECT_EQ(FirstReject(s->Apply(batch, now_)), "");
  EXPECT_EQ(p_->Total("a_total", Labels({{"i", "0"}})), 10);
  EXPECT_EQ(p_->Total("a_total", Labels({{"overflow", "true"}})), 11 + 12 + 13 + 14);
  Restart(limits);
  EXPECT_EQ(p_->Total("a_total", Labels({{"overflow", "true"}})), 50);
}

// --- cumulative mode ---

class CumulativeTest : public ReportIngestTest {
 protected:
  std::unique_ptr<TestStream> OpenCumulative(uint64_t incarnation, uint64_t acked) {
    ReportHello hello = Hello("r", incarnation, acked);
    hello.cumulative = true;
    return Open(hello);
  }
};

TEST_F(CumulativeTest, ValuesOfAKnownIncarnationCountFromZero) {
  auto s = OpenCumulative(1, 0);
  s->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  s->Apply(Batch(2).Count(0, 5), now_);
  s->Apply(Batch(3).Count(0, 9), now_);
  EXPECT_EQ(p_->Total("x_total"), 9);
  auto next = OpenCumulative(2, 0);
  next->Apply(Batch(1).Define(0, "x_total").Count(0, 4), now_);
  EXPECT_EQ(p_->Total("x_total"), 13);
}

TEST_F(CumulativeTest, TheFirstValueOfAnUnknownPastIsABaseline) {
  auto s = OpenCumulative(1, 40);
  s->Apply(Batch(41).Define(0, "x_total").Count(0, 1000), now_);
  EXPECT_EQ(p_->Total("x_total"), 0);
  s->Apply(Batch(42).Count(0, 1003), now_);
  EXPECT_EQ(p_->Total("x_total"), 3);
}

TEST_F(CumulativeTest, AFallIsRejectedAndNeverTakenForAReset) {
  auto s = OpenCumulative(7, 0);
  s->Apply(Batch(1).Define(0, "x_total").Count(0, 5), now_);
  EXPECT_EQ(FirstReject(s->Apply(Batch(2).Count(0, 3), now_)),
            "0 COUNTER_REGRESSION: cumulative value fell from 5 to 3 within incarnation 7");
  s->Apply(Batch(3).Count(0, 6), now_);
  EXPECT_EQ(p_->Total("x_total"), 6);
}

TEST_F(CumulativeTest, FractionsAndDuplicatesInOneBatch) {
  auto s = OpenCumulative(1, 0);
  s->Apply(Batch(1).Define(0, "x_total").Count(0, 5).Count(0, 7).Fraction(0, 7.5), now_);
  EXPECT_EQ(p_->Total("x_total"), 7.5);
}

TEST_F(CumulativeTest, LastValuesOutliveARestart) {
  const uint64_t big = (uint64_t{1} << 60) + 1;
  for (const bool checkpoint : {false, true}) {
    const std::string name = checkpoint ? "a_total" : "b_total";
    auto s = OpenCumulative(now_, 0);
    s->Apply(Batch(1).Define(0, name).Count(0, big), now_);
    if (checkpoint) p_->Checkpoint();
    const auto incarnation = static_cast<uint64_t>(now_);
    now_ += 1000;
    Restart();
    auto again = OpenCumulative(incarnation, 1);
    EXPECT_EQ(again->outcome.applied_seq, 1u);
    again->Apply(Batch(2).Define(0, name).Count(0, big + 2), now_);
    ASSERT_NE(p_->Find(name), nullptr);
    EXPECT_EQ(p_->Find(name)->counter.integral(), big + 2) << "no bit is lost";
  }
}

// --- life ---

TEST_F(ReportIngestTest, ADrainedReportersSeriesReadZeroAndALostOnesAreUnknown) {
  auto a = Open("a"), b = Open("b");
  a->Apply(Batch(1).Define(0, "a_total").Count(0, 1), now_);
  b->Apply(Batch(1).Define(0, "b_total").Count(0, 1), now_);
  const auto bye = a->Goodbye(true, now_ + 1);
  ASSERT_TRUE(bye->ok());
  EXPECT_EQ(bye->ack().through_seq, 1u);
  b->Goodbye(false, now_ + 1);
  EXPECT_EQ(p_->FreshnessOf("a_total", now_ + 100'000), Freshness::kLive);
  EXPECT_EQ(p_->FreshnessOf("b_total", now_ + 100'000), Freshness::kUnknown);
  Restart();
  EXPECT_EQ(p_->FreshnessOf("a_total", now_ + 100'000), Freshness::kLive);
  EXPECT_EQ(p_->FreshnessOf("b_total", now_ + 100'000), Freshness::kUnknown);
}

TEST_F(ReportIngestTest, SomeSilentReportersMakeAValuePartial) {
  auto a = Open("a"), b = Open("b");
  a->Apply(Batch(1).Define(0, "x_total").Count(0, 1), now_);
  b->Apply(Batch(1).Define(0, "x_total").Count(0, 1), now_);
  a->stream->Heartbeat(now_ + 11'000);
  EXPECT_EQ(p_->FreshnessOf("x_total", now_ + 11'000), Freshness::kPartial);
  b->stream->Heartbeat(now_ + 11'001);
  EXPECT_EQ(p_->FreshnessOf("x_total", now_ + 11'001), Freshness::kLive);
}

TEST_F(ReportIngestTest, AReporterIsLiveForThreeOfItsIntervals) {
  auto s = Open();
  TestBatch batch = Batch(1).Define(0, "x_total").Count(0, 1);
  batch.interval_ms = 20'000;
  s->Apply(batch, now_);
  EXPECT_EQ(p_->FreshnessOf("x_total", now_ + 60'000), Freshness::kLive);
  EXPECT_EQ(p_->FreshnessOf("x_total", now_ + 60'001), Freshness::kUnknown);
}

TEST_F(ReportIngestTest, KnownReportersAreLiveUntilTheirLimitAfterARestart) {
  Open()->Apply(Batch(1).Define(0, "x_total").Count(0, 1), now_);
  now_ += 60'000;
  Restart();
  EXPECT_EQ(p_->FreshnessOf("x_total", now_ + 10'000), Freshness::kLive);
  EXPECT_EQ(p_->FreshnessOf("x_total", now_ + 10'001), Freshness::kUnknown);
}

TEST_F(ReportIngestTest, AStreamMayOutliveItsIngest) {
  auto s = Open();
  p_->ingest.reset();
  const auto refused = s->Send(Batch(1), now_);
  EXPECT_EQ(refused->reason(), "DRAINING");
}

}  // namespace
}  // namespace wheelpit
