#include "gmock/gmock.h"
#include "tests/unit/server/queue/queue_fixture.h"

namespace wheelpit {
namespace {

using SubmitTest = QueueTest;

TEST_F(SubmitTest, AnswerWaitsForDurability) {
  bool answered = false;
  queue_->Submit(Spec(), now_, [&](absl::StatusOr<SubmitOutcome> r) { answered = r.ok(); });
  queue_->Advance(now_, 100);
  EXPECT_FALSE(answered);
  Commit();
  EXPECT_TRUE(answered);
}

TEST_F(SubmitTest, TaskIsNotLeasedBeforeItIsDurable) {
  RecordingChannel channel;
  Open(&channel, 5);
  Settle();
  queue_->Submit(Spec(), now_, [](absl::StatusOr<SubmitOutcome>) {});
  queue_->Advance(now_, 100);
  queue_->Advance(now_, 100);
  EXPECT_TRUE(channel.assigned.empty());
  Commit();
  queue_->Advance(now_, 100);
  EXPECT_EQ(channel.assigned.size(), 1u);
}

TEST_F(SubmitTest, TaskIsInvisibleBeforeItIsDurable) {
  MustSubmit(Spec());
  queue_->Submit(Spec(), now_, [](absl::StatusOr<SubmitOutcome>) {});
  const uint64_t pending_id = journal_->records().back().id;
  EXPECT_REASON(queue_->GetTask(TaskId{pending_id}, {}, now_).status(), kNotFound, "TASK");
  EXPECT_EQ(CountOf(TaskState::kReady), 1u);
  EXPECT_EQ(Stats().submitted, 1u);
  Commit();
  EXPECT_EQ(StateOf(TaskId{pending_id}), TaskState::kReady);
  EXPECT_EQ(CountOf(TaskState::kReady), 2u);
}

TEST_F(SubmitTest, UndurableTaskIsGoneAfterACrash) {
  MustSubmit(Spec());
  queue_->Submit(Spec(), now_, [](absl::StatusOr<SubmitOutcome>) {});
  Crash();
  EXPECT_EQ(CountOf(TaskState::kReady), 1u);
}

TEST_F(SubmitTest, RepeatWithTheSameKeyGivesTheSameTaskAndWritesNothing) {
  const TaskId id = MustSubmit(Keyed("k"));
  const Lsn before = journal_->last_lsn();
  const auto again = Submit(Keyed("k"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->id, id);
  EXPECT_TRUE(again->deduplicated);
  EXPECT_EQ(journal_->last_lsn(), before);
}

TEST_F(SubmitTest, SameKeyForAnotherRequestIsAConflictThatNamesTheTask) {
  const TaskId id = MustSubmit(Keyed("k", "one"));
  const auto other = Submit(Keyed("k", "two"));
  EXPECT_REASON(other.status(), kAlreadyExists, "IDEMPOTENCY_CONFLICT");
  EXPECT_NE(other.status().message().find(FormatTaskId(id)), absl::string_view::npos);
}

TEST_F(SubmitTest, SameKeyInAnotherQueueIsAnotherTask) {
  const TaskId id = MustSubmit(Keyed("k"));
  TaskSpec other = Keyed("k");
  other.queue = "r";
  EXPECT_FALSE(MustSubmit(other) == id);
}

TEST_F(SubmitTest, TraceContextIsNoPartOfTheComparison) {
  TaskSpec spec = Keyed("k");
  spec.trace_context = "00-a";
  const TaskId id = MustSubmit(spec);
  spec.trace_context = "00-b";
  EXPECT_EQ(MustSubmit(spec), id);
}

TEST_F(SubmitTest, LoserOfTwoConcurrentSubmitsWaitsForTheWinner) {
  std::vector<SubmitOutcome> outcomes;
  const auto done = [&](absl::StatusOr<SubmitOutcome> r) { outcomes.push_back(r.value()); };
  queue_->Submit(Keyed("k"), now_, done);
  queue_->Submit(Keyed("k"), now_, done);
  EXPECT_TRUE(outcomes.empty());
  Commit();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(outcomes[0].id, outcomes[1].id);
  EXPECT_FALSE(outcomes[0].deduplicated);
  EXPECT_TRUE(outcomes[1].deduplicated);
  EXPECT_EQ(journal_->CountOf(RecordType::kSubmit), 1u);
}

TEST_F(SubmitTest, KeySurvivesACrash) {
  const TaskId id = MustSubmit(Keyed("k"));
  Crash();
  EXPECT_EQ(MustSubmit(Keyed("k")), id);
}

TEST_F(SubmitTest, KeyIsKeptForItsWindowAfterTheEndAndFreeAfterwards) {
  const TaskId id = MustSubmit(Keyed("k"));
  Complete(MustLease());
  Pass(options_.queue_defaults.dedupe_window_ms - 2000);
  const auto within = Submit(Keyed("k"));
  ASSERT_TRUE(within.ok());
  EXPECT_EQ(within->id, id);
  EXPECT_EQ(within->state, TaskState::kSucceeded);
  Pass(5000);
  EXPECT_FALSE(MustSubmit(Keyed("k")) == id);
}

TEST_F(SubmitTest, DedupeFullRefusesKeyedSubmitsOnly) {
  options_.dedupe_entries_max = 2;
  Restart(options_);
  MustSubmit(Keyed("a"));
  MustSubmit(Keyed("b"));
  EXPECT_REASON(Submit(Keyed("c")).status(), kResourceExhausted, "DEDUPE_FULL");
  EXPECT_TRUE(Submit(Spec()).ok());
  EXPECT_TRUE(Submit(Keyed("a")).ok());
}

TEST_F(SubmitTest, AtTheKeyBoundTheLongestEndedKeyMakesRoom) {
  options_.dedupe_entries_max = 1;
  Restart(options_);
  MustSubmit(Keyed("a"));
  Complete(MustLease());
  EXPECT_REASON(Submit(Keyed("b")).status(), kResourceExhausted, "DEDUPE_FULL");
  Pass(options_.dedupe_min_window_ms + 2000);
  EXPECT_TRUE(Submit(Keyed("b")).ok());
}

// Each key is as old as its task's end, whatever the window of its queue.
TEST_F(SubmitTest, AtTheKeyBoundAgeCountsAndNotTheWindow) {
  for (const int64_t window_ms : {60'000LL, 7LL * 86'400'000}) {
    for (const int64_t retention_ms : {0LL, 3'600'000LL}) {
      options_.dedupe_entries_max = 1;
      options_.queue_defaults.dedupe_window_ms = 3'600'000;
      Restart(options_);
      QueueConfig config = options_.queue_defaults;
      config.dedupe_window_ms = window_ms;
      config.retention_ms = retention_ms;
      ASSERT_TRUE(Put(config, std::nullopt).ok());
      MustSubmit(Keyed("a"));
      Complete(MustLease());
      Pass(options_.dedupe_min_window_ms / 20);
      EXPECT_REASON(Submit(Keyed("b")).status(), kResourceExhausted, "DEDUPE_FULL");
      Pass(options_.dedupe_min_window_ms);
      EXPECT_TRUE(Submit(Keyed("b")).ok()) << window_ms << " " << retention_ms;
    }
  }
}

TEST_F(SubmitTest, TheEffectiveWindowShrinksWhereKeysMadeRoom) {
  options_.dedupe_entries_max = 1;
  Restart(options_);
  EXPECT_EQ(queue_->ComputeStats(now_).dedupe_effective_window_ms, options_.queue_defaults.dedupe_window_ms);
  MustSubmit(Keyed("a"));
  Complete(MustLease());
  Pass(900'000);
  ASSERT_TRUE(Submit(Keyed("b")).ok());
  EXPECT_EQ(queue_->ComputeStats(now_).dedupe_effective_window_ms, 900'000);
  Pass(100'000);
  EXPECT_EQ(queue_->ComputeStats(now_).dedupe_effective_window_ms, 1'000'000);
  Pass(options_.queue_defaults.dedupe_window_ms);
  EXPECT_EQ(queue_->ComputeStats(now_).dedupe_effective_window_ms, options_.queue_defaults.dedupe_window_ms);
}

TEST_F(SubmitTest, AKeysWindowOutlivesItsTaskAndARestart) {
  options_.queue_defaults.retention_ms = 1000;
  Restart(options_);
  const TaskId id = MustSubmit(Keyed("k"));
  Complete(MustLease());
  Pass(60'000);
  EXPECT_REASON(queue_->GetTask(id, {}, now_).status(), kNotFound, "TASK");
  Crash();
  const auto again = Submit(Keyed("k"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->id, id);
  EXPECT_TRUE(again->deduplicated);
  EXPECT_EQ(again->state, TaskState::kSucceeded);
  EXPECT_REASON(Submit(Keyed("k", "other")).status(), kAlreadyExists, "IDEMPOTENCY_CONFLICT");
  Pass(options_.queue_defaults.dedupe_window_ms);
  EXPECT_TRUE(Submit(Keyed("k", "other")).ok());
}

TEST_F(SubmitTest, DelayedTaskWaitsForItsTime) {
  TaskSpec spec = Spec();
  spec.delay_ms = 5000;
  const TaskId id = MustSubmit(spec);
  EXPECT_EQ(StateOf(id), TaskState::kDelayed);
  Pass(4999);
  EXPECT_TRUE(Lease().empty());
  EXPECT_LE(queue_->NextDeadline(), now_ + 1);
  Pass(1);
  EXPECT_EQ(StateOf(id), TaskState::kReady);
  EXPECT_EQ(Lease().size(), 1u);
}

TEST_F(SubmitTest, BatchAnswersPerItemInRequestOrder) {
  TaskSpec bad = Spec();
  bad.queue = "-";
  std::vector<absl::StatusOr<SubmitOutcome>> results;
  queue_->SubmitBatch({Spec(), bad, Spec()}, false, now_, [&](auto r) { results = std::move(r.value()); });
  Commit();
  ASSERT_EQ(results.size(), 3u);
  EXPECT_TRUE(results[0].ok());
  EXPECT_REASON(results[1].status(), kInvalidArgument, "BAD_FIELD");
  EXPECT_TRUE(results[2].ok());
}

TEST_F(SubmitTest, AtomicBatchIsAllOrNone) {
  MustSubmit(Spec());
  TaskSpec bad = Spec();
  bad.priority = 99;
  absl::Status status;
  queue_->SubmitBatch({Spec(), bad}, true, now_, [&](auto r) { status = r.status(); });
  Commit();
  EXPECT_REASON(status, kInvalidArgument, "OUT_OF_LIMITS");
  EXPECT_EQ(CountOf(TaskState::kReady), 1u);
  queue_->SubmitBatch({Spec(), Keyed("k"), Keyed("k")}, true, now_, [&](auto r) {
    ASSERT_TRUE(r.ok());
    EXPECT_EQ((*r)[1]->id, (*r)[2]->id);
  });
  Commit();
  EXPECT_EQ(CountOf(TaskState::kReady), 3u);
}

TEST_F(SubmitTest, EmptyAndOversizedBatchesAreRefused) {
  absl::Status status;
  queue_->SubmitBatch({}, false, now_, [&](auto r) { status = r.status(); });
  EXPECT_REASON(status, kInvalidArgument, "EMPTY");
  queue_->SubmitBatch(std::vector<TaskSpec>(1001, Spec()), false, now_, [&](auto r) { status = r.status(); });
  EXPECT_REASON(status, kInvalidArgument, "BATCH_TOO_LARGE");
}

TEST_F(SubmitTest, FieldsOutsideTheirLimitsAreRefusedAndLeaveNoTrace) {
  MustSubmit(Spec());
  const Lsn before = journal_->last_lsn();
  const auto refused = [&](auto change, absl::string_view reason) {
    TaskSpec spec = Spec();
    change(spec);
    const auto r = Submit(spec);
    EXPECT_EQ(r.status().code(), absl::StatusCode::kInvalidArgument) << reason;
    EXPECT_EQ(ErrorReason(r.status()), reason) << r.status();
  };
  refused([](TaskSpec& s) { s.queue = ""; }, "BAD_FIELD");
  refused([](TaskSpec& s) { s.queue = std::string(64, 'a'); }, "BAD_FIELD");
  refused([](TaskSpec& s) { s.queue = "a b"; }, "BAD_FIELD");
  refused([](TaskSpec& s) { s.idempotency_key = std::string(129, 'a'); }, "BAD_FIELD");
  refused([](TaskSpec& s) { for (int i = 0; i < 33; ++i) s.attributes[std::to_string(i)] = "v"; }, "BAD_FIELD");
  refused([](TaskSpec& s) { s.delay_ms = -1; }, "BAD_FIELD");
  refused([&](TaskSpec& s) { s.delay_ms = 1; s.not_before_ms = now_ + 1; }, "BAD_FIELD");
  refused([](TaskSpec& s) { s.delay_ms = 31LL * 86'400'000; }, "OUT_OF_LIMITS");
  refused([](TaskSpec& s) { s.lease_ttl_ms = 43'200'001; }, "OUT_OF_LIMITS");
  refused([](TaskSpec& s) { s.max_attempts = 1001; }, "OUT_OF_LIMITS");
  refused([&](TaskSpec& s) { s.expire_at_ms = now_; }, "OUT_OF_LIMITS");
  refused([](TaskSpec& s) { s.payload = std::string((1 << 20) + 1, 'x'); }, "PAYLOAD_TOO_LARGE");
  EXPECT_EQ(journal_->last_lsn(), before);
}

// In the journal it would be a record that no later start can read.
TEST_F(SubmitTest, TextThatIsNoUtf8IsRefused) {
  MustSubmit(Spec());
  const Lsn before = journal_->last_lsn();
  const auto refused = [&](auto change, absl::string_view field) {
    TaskSpec spec = Spec();
    change(spec);
    const auto r = Submit(spec);
    EXPECT_REASON(r.status(), kInvalidArgument, "BAD_FIELD");
    EXPECT_THAT(std::string(r.status().message()), testing::StartsWith(std::string(field) + ": "));
  };
  refused([](TaskSpec& s) { s.content_type = "text/\xff"; }, "content_type");
  refused([](TaskSpec& s) { s.idempotency_key = "\xc3"; }, "idempotency_key");
  refused([](TaskSpec& s) { s.trace_context = "\x80"; }, "trace_context");
  refused([](TaskSpec& s) { s.attributes["\xff"] = "v"; }, "attributes");
  refused([](TaskSpec& s) { s.attributes["k"] = "\xed\xa0\x80"; }, "attributes");
  refused([](TaskSpec& s) { s.counts.push_back({"n_total\xff", {}}); }, "counts");
  refused([](TaskSpec& s) { s.counts.push_back({"n_total", Labels({{"a", "\xff"}})}); }, "counts");
  EXPECT_EQ(journal_->last_lsn(), before);
  TaskSpec odd = Spec(std::string("\xff\x00", 2));
  odd.attributes["k"] = std::string("a\0b", 3);
  const TaskId id = MustSubmit(odd);
  Crash();
  EXPECT_EQ(View(id).payload, odd.payload);
  EXPECT_EQ(View(id).attributes, odd.attributes);
}

TEST_F(SubmitTest, WhatIsNotSupportedYetIsRefused) {
  TaskSpec spec = Spec();
  spec.fairness_key = "tenant";
  const auto r = Submit(spec);
  EXPECT_REASON(r.status(), kInvalidArgument, "BAD_FIELD");
  EXPECT_THAT(std::string(r.status().message()), testing::HasSubstr("not supported yet"));
}

TEST_F(SubmitTest, UnknownQueueIsMadeOrRefusedByOption) {
  MustSubmit(Spec());
  EXPECT_EQ(observer_->Total(QueueEventKind::kQueueCreated), 1u);
  options_.auto_create = false;
  Restart(options_);
  EXPECT_REASON(Submit(Spec()).status(), kNotFound, "QUEUE");
}

TEST_F(SubmitTest, BoundsOfQueueShardAndQueuesRefuse) {
  options_.queue_defaults.tasks_max = 1;
  options_.tasks_max = 2;
  options_.queues_max = 3;
  Restart(options_);
  TaskSpec other = Spec();
  MustSubmit(Spec());
  EXPECT_REASON(Submit(Spec()).status(), kResourceExhausted, "QUEUE_FULL");
  other.queue = "r";
  MustSubmit(other);
  other.queue = "s";
  EXPECT_REASON(Submit(other).status(), kResourceExhausted, "SHARD_FULL");
  other.queue = "t";
  EXPECT_REASON(Submit(other).status(), kResourceExhausted, "TOO_MANY_QUEUES");
  Complete(MustLease());
  EXPECT_TRUE(Submit(Spec()).ok());
}

TEST_F(SubmitTest, ClosedQueueRefusesSubmitsAndGoesOnWithTheRest) {
  MustSubmit(Keyed("k"));
  ASSERT_TRUE(Put(std::nullopt, QueueFlags{false, true, false}).ok());
  EXPECT_REASON(Submit(Spec()).status(), kFailedPrecondition, "QUEUE_CLOSED");
  EXPECT_TRUE(Submit(Keyed("k"))->deduplicated);
  EXPECT_TRUE(Complete(MustLease()).status.ok());
  Crash();
  EXPECT_REASON(Submit(Spec()).status(), kFailedPrecondition, "QUEUE_CLOSED");
}

TEST_F(SubmitTest, FullDiskRefusesSubmitsButNotCompletions) {
  MustSubmit(Spec());
  const Assignment lease = MustLease();
  journal_->FailAppends(MakeError(absl::StatusCode::kResourceExhausted, "DISK_LOW", "low"));
  EXPECT_REASON(Submit(Spec()).status(), kResourceExhausted, "DISK_LOW");
  TaskSpec elsewhere = Spec();
  elsewhere.queue = "new";
  const Lsn before = journal_->last_lsn();
  EXPECT_REASON(Submit(elsewhere).status(), kResourceExhausted, "DISK_LOW");
  EXPECT_EQ(journal_->last_lsn(), before) << "no queue for a task that was refused";
  EXPECT_TRUE(Complete(lease).status.ok());
  EXPECT_TRUE(Put(options_.queue_defaults, std::nullopt).ok());
  journal_->FailAppends(absl::OkStatus());
  EXPECT_TRUE(Submit(Spec()).ok());
}

TEST_F(SubmitTest, AfterAJournalFailureEverythingIsRefused) {
  const TaskId id = MustSubmit(Spec());
  absl::Status pending;
  queue_->Submit(Spec(), now_, [&](absl::StatusOr<SubmitOutcome> r) { pending = r.status(); });
  durable_->Fail(MakeError(absl::StatusCode::kUnavailable, "JOURNAL", "sync failed"));
  EXPECT_REASON(pending, kUnavailable, "JOURNAL");
  EXPECT_REASON(Submit(Spec()).status(), kUnavailable, "JOURNAL");
  EXPECT_REASON(queue_->GetTask(id, {}, now_).status(), kUnavailable, "JOURNAL");
  absl::Status leased;
  queue_->LeaseTasks("w", {{"q", 1}}, 1, 0, now_, [&](auto r) { leased = r.status(); });
  EXPECT_REASON(leased, kUnavailable, "JOURNAL");
  EXPECT_REASON(Complete({}).status, kUnavailable, "JOURNAL");
}

TEST_F(SubmitTest, DrainingServerRefusesSubmitsAndAssignmentsAndTakesCompletions) {
  MustSubmit(Spec());
  const Assignment lease = MustLease();
  MustSubmit(Spec());
  queue_->StartDraining();
  EXPECT_REASON(Submit(Spec()).status(), kUnavailable, "DRAINING");
  absl::Status leased;
  queue_->LeaseTasks("w", {{"q", 1}}, 1, 0, now_, [&](auto r) { leased = r.status(); });
  EXPECT_REASON(leased, kUnavailable, "DRAINING");
  EXPECT_TRUE(Complete(lease).status.ok());
}

TEST_F(SubmitTest, CountsTravelWithTheSubmitAndNotWithItsRepeat) {
  TaskSpec spec = Keyed("k");
  spec.counts = {{"heavywork_requests_total", Labels({{"path", "/heavywork"}})}};
  MustSubmit(spec);
  MustSubmit(spec);
  size_t counts = 0;
  for (const auto& event : observer_->events) counts += event.counts;
  EXPECT_EQ(counts, 1u);
}

}  // namespace
}  // namespace wheelpit
