#include <algorithm>

#include "tests/unit/server/queue/queue_fixture.h"

namespace wheelpit {
namespace {

using LeaseTest = QueueTest;

TEST_F(LeaseTest, LeaseCarriesTheTaskAndANewToken) {
  TaskSpec spec = Spec("hello");
  spec.content_type = "text/plain";
  spec.attributes = {{"a", "1"}};
  const TaskId id = MustSubmit(spec);
  const Assignment a = MustLease();
  EXPECT_EQ(a.task.id, id);
  EXPECT_EQ(a.task.payload, "hello");
  EXPECT_EQ(a.task.content_type, "text/plain");
  EXPECT_EQ(a.task.attributes, spec.attributes);
  EXPECT_EQ(a.attempt, 1u);
  EXPECT_EQ(a.token.value >> 40, epoch_);
  EXPECT_EQ(a.deadline_ms, now_ + 30'000);
  EXPECT_EQ(View(id).worker, "w");
}

TEST_F(LeaseTest, CompletionWaitsForDurabilityAndIsInvisibleBefore) {
  const TaskId id = MustSubmit(Spec());
  const Assignment a = MustLease();
  bool answered = false;
  queue_->Complete({{id, a.token, "r", "text/plain"}}, 0, now_, [&](auto) { answered = true; });
  EXPECT_FALSE(answered);
  EXPECT_EQ(StateOf(id), TaskState::kLeased);
  EXPECT_EQ(CountOf(TaskState::kLeased), 1u);
  Commit();
  EXPECT_TRUE(answered);
  const TaskView view = View(id);
  EXPECT_EQ(view.state, TaskState::kSucceeded);
  EXPECT_EQ(view.result, "r");
  EXPECT_EQ(view.result_content_type, "text/plain");
  EXPECT_EQ(CountOf(TaskState::kSucceeded), 1u);
}

TEST_F(LeaseTest, RepeatedCompletionReturnsTheRecordedOutcome) {
  MustSubmit(Spec());
  const Assignment a = MustLease();
  Complete(a, "first");
  const Lsn before = journal_->last_lsn();
  const LeaseOutcome again = Complete(a, "second");
  EXPECT_TRUE(again.status.ok());
  EXPECT_EQ(again.state, TaskState::kSucceeded);
  EXPECT_EQ(journal_->last_lsn(), before);
  EXPECT_EQ(View(a.task.id).result, "first");
  EXPECT_REASON(Fail(a).status, kFailedPrecondition, "LEASE_LOST");
  Pass(options_.queue_defaults.retention_ms + 1);
  EXPECT_REASON(Complete(a).status, kNotFound, "TASK");
}

TEST_F(LeaseTest, RepeatedFailReturnsTheRecordedOutcome) {
  MustSubmit(Spec());
  const Assignment a = MustLease();
  EXPECT_EQ(Fail(a).state, TaskState::kRetryWait);
  const LeaseOutcome again = Fail(a);
  EXPECT_TRUE(again.status.ok());
  EXPECT_EQ(again.state, TaskState::kRetryWait);
  EXPECT_EQ(View(a.task.id).failures, 1u);
  EXPECT_REASON(Complete(a).status, kFailedPrecondition, "LEASE_LOST");
}

TEST_F(LeaseTest, OnlyTheCurrentTokenCounts) {
  MustSubmit(Spec());
  const Assignment a = MustLease();
  Assignment wrong = a;
  wrong.token.value += 1;
  EXPECT_REASON(Complete(wrong).status, kFailedPrecondition, "LEASE_LOST");
  EXPECT_REASON(Fail(wrong).status, kFailedPrecondition, "LEASE_LOST");
  EXPECT_REASON(Extend(wrong).status, kFailedPrecondition, "LEASE_LOST");
  EXPECT_REASON(Release(wrong).status, kFailedPrecondition, "LEASE_LOST");
  wrong.token.value = 0;
  EXPECT_REASON(Complete(wrong).status, kInvalidArgument, "BAD_FIELD");
  EXPECT_EQ(StateOf(a.task.id), TaskState::kLeased);
}

TEST_F(LeaseTest, LostLeaseGoesToAnotherWorkerAndFencesTheFirst) {
  const TaskId id = MustSubmit(Spec());
  const Assignment first = MustLease();
  Pass(29'999);
  EXPECT_EQ(StateOf(id), TaskState::kLeased);
  Pass(1);
  EXPECT_EQ(View(id).losses, 1u);
  EXPECT_EQ(View(id).loss_cause, "lease_expired");
  EXPECT_EQ(Stats().lost_attempts, 1u);
  EXPECT_EQ(Stats().failed_attempts, 1u);
  const Assignment second = MustLease();
  EXPECT_EQ(second.attempt, 2u);
  EXPECT_GT(second.token.value, first.token.value);
  EXPECT_REASON(Complete(first).status, kFailedPrecondition, "LEASE_LOST");
  EXPECT_TRUE(Complete(second).status.ok());
}

TEST_F(LeaseTest, LateCompletionCountsWhileNobodyElseHasTheTask) {
  const TaskId id = MustSubmit(Spec());
  const Assignment a = MustLease();
  Pass(30'000);
  EXPECT_NE(StateOf(id), TaskState::kLeased);
  EXPECT_REASON(Fail(a).status, kFailedPrecondition, "LEASE_LOST");
  EXPECT_REASON(Extend(a).status, kFailedPrecondition, "LEASE_LOST");
  EXPECT_REASON(Release(a).status, kFailedPrecondition, "LEASE_LOST");
  EXPECT_TRUE(Complete(a, "late").status.ok());
  EXPECT_EQ(View(id).result, "late");
  EXPECT_TRUE(Lease().empty());
}

TEST_F(LeaseTest, NoLateCompletionAfterAFail) {
  MustSubmit(Spec());
  const Assignment a = MustLease();
  Fail(a);
  Pass(1001);
  EXPECT_REASON(Complete(a).status, kFailedPrecondition, "LEASE_LOST");
}

TEST_F(LeaseTest, ExtendMovesTheDeadlineUpToTheAttemptTimeout) {
  TaskSpec spec = Spec();
  spec.attempt_timeout_ms = 50'000;
  const TaskId id = MustSubmit(spec);
  const Assignment a = MustLease();
  now_ += 10'000;
  LeaseOutcome extended = Extend(a);
  EXPECT_EQ(extended.deadline_ms, now_ + 30'000);
  EXPECT_FALSE(extended.final);
  now_ += 25'000;
  Settle();
  EXPECT_EQ(StateOf(id), TaskState::kLeased);
  extended = Extend(a);
  EXPECT_TRUE(extended.status.ok());
  EXPECT_TRUE(extended.final);
  EXPECT_EQ(extended.deadline_ms, kStart + 50'000);
  Pass(15'000);
  EXPECT_EQ(View(id).loss_cause, "attempt_timeout");
}

TEST_F(LeaseTest, ExtendMayShortenALease) {
  const TaskId id = MustSubmit(Spec());
  const Assignment a = MustLease();
  Extend(a, 2000);
  Pass(2000);
  EXPECT_NE(StateOf(id), TaskState::kLeased);
}

TEST_F(LeaseTest, RetryTimesLieInTheUpperHalfOfTheCurve) {
  TaskSpec spec = Spec();
  spec.max_attempts = 1000;
  const TaskId id = MustSubmit(spec);
  double d = 1000;
  for (int k = 1; k <= 14; ++k) {
    Fail(MustLease());
    const int64_t delay = View(id).due_ms - now_;
    EXPECT_GE(delay, static_cast<int64_t>(d / 2)) << k;
    EXPECT_LE(delay, static_cast<int64_t>(d) + 1) << k;
    Pass(delay);
    d = std::min(d * 2, 600'000.0);
  }
}

TEST_F(LeaseTest, RetryAfterIsTakenAsItIs) {
  const TaskId id = MustSubmit(Spec());
  Fail(MustLease(), true, 77'000);
  EXPECT_EQ(View(id).due_ms, now_ + 77'000);
  EXPECT_EQ(View(id).last_error, "it broke");
}

TEST_F(LeaseTest, TaskIsDeadWhenItsFailuresAreUsedUpOrFinal) {
  TaskSpec spec = Spec();
  spec.max_attempts = 2;
  const TaskId id = MustSubmit(spec);
  Fail(MustLease(), true, 1);
  Pass(1);
  EXPECT_EQ(Fail(MustLease()).state, TaskState::kDead);
  EXPECT_EQ(View(id).dead_reason, "max_attempts");
  EXPECT_EQ(View(id).payload, "p");
  const TaskId other = MustSubmit(Spec());
  Fail(MustLease(), false);
  EXPECT_EQ(View(other).dead_reason, "not_retryable");
  EXPECT_EQ(CountOf(TaskState::kDead), 2u);
}

TEST_F(LeaseTest, TaskIsDeadWhenItsLossesAreUsedUp) {
  TaskSpec spec = Spec();
  spec.max_losses = 2;
  const TaskId id = MustSubmit(spec);
  MustLease();
  Pass(30'000);
  MustLease();
  now_ += 30'000;
  queue_->Advance(now_, 100);
  EXPECT_EQ(StateOf(id), TaskState::kLeased) << "durable before visible";
  Commit();
  EXPECT_EQ(View(id).dead_reason, "lease_losses");
  EXPECT_EQ(View(id).loss_cause, "lease_expired");
}

TEST_F(LeaseTest, ReleaseChargesNothingAndGivesTheTaskBackAtOnce) {
  const TaskId id = MustSubmit(Spec());
  EXPECT_EQ(Release(MustLease()).state, TaskState::kReady);
  const TaskView view = View(id);
  EXPECT_EQ(view.failures + view.losses, 0u);
  EXPECT_EQ(view.releases, 1u);
  EXPECT_EQ(MustLease().attempt, 2u);
}

TEST_F(LeaseTest, AfterAHundredReleasesOneMoreIsALoss) {
  const TaskId id = MustSubmit(Spec());
  for (int i = 0; i < 100; ++i) Release(MustLease());
  EXPECT_EQ(View(id).losses, 0u);
  Release(MustLease());
  EXPECT_EQ(View(id).losses, 1u);
}

TEST_F(LeaseTest, ResultOverTheLimitIsRefusedAndChangesNothing) {
  const TaskId id = MustSubmit(Spec());
  const Assignment a = MustLease();
  EXPECT_REASON(Complete(a, std::string((64 << 10) + 1, 'x')).status, kInvalidArgument, "PAYLOAD_TOO_LARGE");
  EXPECT_EQ(StateOf(id), TaskState::kLeased);
  EXPECT_TRUE(Complete(a, std::string(64 << 10, 'x')).status.ok());
}

TEST_F(LeaseTest, LargerPriorityGoesFirstAndEqualOnesInOrder) {
  std::vector<TaskId> ids;
  for (const int priority : {0, 5, 0, -8, 7}) {
    TaskSpec spec = Spec();
    spec.priority = priority;
    ids.push_back(MustSubmit(spec));
  }
  const std::vector<Assignment> leased = Lease(5);
  ASSERT_EQ(leased.size(), 5u);
  const std::vector<size_t> order = {4, 1, 0, 2, 3};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(leased[i].task.id, ids[order[i]]) << i;
}

TEST_F(LeaseTest, OldestTaskIsTakenWithinSixteenAssignments) {
  TaskSpec low = Spec();
  low.priority = -8;
  const TaskId starving = MustSubmit(low);
  now_ += 1;
  for (int i = 0; i < 40; ++i) {
    TaskSpec spec = Spec();
    spec.priority = 7;
    MustSubmit(spec);
  }
  const std::vector<Assignment> leased = Lease(16);
  EXPECT_TRUE(std::any_of(leased.begin(), leased.end(), [&](const Assignment& a) { return a.task.id == starving; }));
}

TEST_F(LeaseTest, PausedQueueAssignsNothingUntilItGoesOn) {
  MustSubmit(Spec());
  ASSERT_TRUE(Put(std::nullopt, QueueFlags{true, false, false}).ok());
  EXPECT_TRUE(Lease().empty());
  Crash();
  EXPECT_TRUE(Lease().empty());
  ASSERT_TRUE(Put(std::nullopt, QueueFlags{}).ok());
  EXPECT_EQ(Lease().size(), 1u);
}

TEST_F(LeaseTest, WaitingCallGetsTheNextTaskAndOnlyOneCallIsWoken) {
  MustSubmit(Spec());
  Complete(MustLease());
  std::vector<size_t> got;
  for (int i = 0; i < 3; ++i) {
    queue_->LeaseTasks("w" + std::to_string(i), {{"q", 1}}, 10, 20'000, now_, [&](auto r) { got.push_back(r.value().size()); });
  }
  Settle();
  EXPECT_TRUE(got.empty());
  MustSubmit(Spec());
  Settle();
  EXPECT_EQ(got, std::vector<size_t>({1}));
  Pass(20'000);
  EXPECT_EQ(got, std::vector<size_t>({1, 0, 0}));
}

TEST_F(LeaseTest, ExpiredTaskIsNeverHandedOut) {
  TaskSpec spec = Spec();
  spec.expire_at_ms = now_ + 1000;
  const TaskId id = MustSubmit(spec);
  now_ += 1000;
  EXPECT_TRUE(Lease().empty());
  EXPECT_EQ(StateOf(id), TaskState::kExpired);
  EXPECT_EQ(CountOf(TaskState::kExpired), 1u);
}

TEST_F(LeaseTest, ExpiredTaskIsNotTriedAgainButItsCompletionCounts) {
  TaskSpec spec = Spec();
  spec.expire_at_ms = now_ + 1000;
  const TaskId failed = MustSubmit(spec);
  const Assignment a = MustLease();
  const TaskId completed = MustSubmit(spec);
  const Assignment b = MustLease();
  now_ += 2000;
  EXPECT_EQ(Fail(a).state, TaskState::kExpired);
  EXPECT_EQ(StateOf(failed), TaskState::kExpired);
  EXPECT_TRUE(Complete(b).status.ok());
  EXPECT_EQ(StateOf(completed), TaskState::kSucceeded);
}

TEST_F(LeaseTest, CancelledTaskIsNeverAssigned) {
  const TaskId id = MustSubmit(Spec());
  EXPECT_EQ(Cancel(id)->state, TaskState::kCancelled);
  EXPECT_TRUE(Cancel(id).ok());
  EXPECT_TRUE(Lease().empty());
}

TEST_F(LeaseTest, CancelOfALeasedTaskNotifiesAndTheCompletionWins) {
  MustSubmit(Spec());
  RecordingChannel channel;
  const SessionWelcome welcome = Open(&channel, 1);
  Settle();
  ASSERT_EQ(channel.assigned.size(), 1u);
  const TaskId id = channel.assigned[0].task.id;
  EXPECT_TRUE(Cancel(id)->cancel_requested);
  ASSERT_EQ(channel.notices.size(), 1u);
  EXPECT_TRUE(Complete(channel.assigned[0], "", welcome.session).status.ok());
  EXPECT_REASON(Cancel(id).status(), kFailedPrecondition, "ALREADY_TERMINAL");
}

TEST_F(LeaseTest, CancelRequestedTaskEndsCancelledWhenTheAttemptDoes) {
  const TaskId failed = MustSubmit(Spec());
  const Assignment a = MustLease();
  EXPECT_TRUE(Cancel(failed).ok());
  EXPECT_EQ(Fail(a).state, TaskState::kCancelled);
  const TaskId lost = MustSubmit(Spec());
  MustLease();
  EXPECT_TRUE(Cancel(lost).ok());
  Pass(30'000);
  EXPECT_EQ(StateOf(lost), TaskState::kCancelled);
  EXPECT_EQ(CountOf(TaskState::kCancelled), 2u);
}

TEST_F(LeaseTest, ForcedCancelFencesTheWorker) {
  const TaskId id = MustSubmit(Spec());
  const Assignment a = MustLease();
  EXPECT_EQ(Cancel(id, true)->state, TaskState::kCancelled);
  EXPECT_REASON(Complete(a).status, kFailedPrecondition, "LEASE_LOST");
}

TEST_F(LeaseTest, DamagedPayloadMakesTheTaskDeadAndTheNextOneIsGiven) {
  options_.payload_cache_bytes = 0;
  Restart(options_);
  const TaskId bad = MustSubmit(Spec("bad"));
  journal_->DamagePayload(RecordPosition{journal_->last_lsn()});
  const TaskId good = MustSubmit(Spec("good"));
  const std::vector<Assignment> leased = Lease(2);
  ASSERT_EQ(leased.size(), 1u);
  EXPECT_EQ(leased[0].task.id, good);
  EXPECT_EQ(leased[0].task.payload, "good");
  const auto view = queue_->GetTask(bad, {}, now_);
  EXPECT_EQ(view->state, TaskState::kDead);
  EXPECT_EQ(view->dead_reason, "corrupt");
}

TEST_F(LeaseTest, LowDiskStillGivesOutWhatWasTaken) {
  MustSubmit(Spec());
  journal_->FailAppends(MakeError(absl::StatusCode::kResourceExhausted, "DISK_LOW", "low"));
  EXPECT_EQ(Lease().size(), 1u);
}

TEST_F(LeaseTest, BelowTheReserveNothingIsLeasedAndEndsGoOn) {
  MustSubmit(Spec("one"));
  MustSubmit(Spec("two"));
  const Assignment lease = MustLease();
  const absl::Status low = MakeError(absl::StatusCode::kResourceExhausted, "DISK_LOW", "low");
  journal_->FailAppends(low);
  journal_->FailOngoing(low);
  EXPECT_TRUE(Lease().empty());
  EXPECT_REASON(Put(options_.queue_defaults, std::nullopt), kResourceExhausted, "DISK_LOW");
  EXPECT_TRUE(Complete(lease).status.ok());
  EXPECT_EQ(CountOf(TaskState::kReady), 1u);
  journal_->FailOngoing(absl::OkStatus());
  now_ += 1000;
  EXPECT_EQ(Lease().size(), 1u) << "it heals by itself, while submits are refused still";
}

// All but the payload, when the SUBMIT record has gone with its segment.
TEST_F(LeaseTest, AnEndedTaskStillSaysWhatWasSubmitted) {
  TaskSpec spec = Keyed("key", "payload");
  spec.content_type = "text/plain";
  spec.attributes = {{"a", "1"}, {"b", "2"}};
  spec.trace_context = "00-trace";
  spec.delay_ms = 1;
  const auto submit = [&](std::string key, std::string content_type = "text/plain") {
    TaskSpec one = spec;
    one.idempotency_key = std::move(key);
    one.content_type = std::move(content_type);
    if (one.idempotency_key == "expires") one.expire_at_ms = now_ + 10'000;
    if (one.idempotency_key == "long") one.attributes["c"] = std::string(1000, 'c');
    const TaskId id = MustSubmit(one);
    for (size_t i = journal_->records().size(); i > 0; --i) {
      if (journal_->records()[i - 1].type == RecordType::kSubmit) {
        submits_[id.value] = i;
        break;
      }
    }
    return id;
  };
  const TaskId cancelled = submit("cancelled");
  ASSERT_TRUE(Cancel(cancelled).ok());
  const TaskId expired = submit("expires");
  Pass(10'000);
  const TaskId done = submit("done");
  Pass(5);
  Complete(MustLease());
  const TaskId lengthy = submit("long");
  Pass(5);
  Complete(MustLease());
  const TaskId late = submit("late", std::string(255, 'x'));
  Pass(5);
  const Assignment lost = MustLease();
  Pass(40'000);  // its lease is over, nobody has it
  ASSERT_TRUE(Complete(lost, "result").status.ok());
  const TaskId restarted = submit("restarted");
  Pass(5);
  const Assignment before = MustLease();
  Crash();
  ASSERT_TRUE(Complete(before).status.ok());
  for (const auto& [id, lsn] : submits_) journal_->DamagePayload(RecordPosition{lsn});
  for (int life = 0; life < 2; ++life) {
    const std::pair<TaskId, std::string> ended[] = {
        {cancelled, "cancelled"}, {expired, "expires"}, {done, "done"}, {lengthy, "long"}, {late, "late"}, {restarted, "restarted"}};
    for (const auto& [id, key] : ended) {
      const TaskView view = View(id);
      EXPECT_EQ(view.idempotency_key, key);
      EXPECT_EQ(view.content_type, key == "late" ? std::string(255, 'x') : "text/plain") << key;
      EXPECT_EQ(view.attributes.at("b"), "2") << key;
      EXPECT_EQ(view.attributes.size(), key == "long" ? 3u : 2u) << key;
      EXPECT_EQ(view.trace_context, "00-trace") << key;
      EXPECT_GT(view.not_before_ms, 0) << key;
      EXPECT_EQ(view.payload, "") << key;
    }
    EXPECT_EQ(View(late).result, "result");
    queue_.reset();
    Start();
  }
}

TEST_F(LeaseTest, ATaskThatSaidNothingKeepsNoRecordForIt) {
  MustSubmit(Spec());
  Complete(MustLease());
  Settle();
  EXPECT_TRUE(journal_->pins().empty());
}

TEST_F(LeaseTest, ProgressIsShownWhileTheLeaseLasts) {
  const TaskId id = MustSubmit(Spec());
  const Assignment lease = MustLease();
  const LeaseRef ref{id, lease.token};
  EXPECT_EQ(View(id).progress_percent, 0u);
  EXPECT_TRUE(queue_->Progress(ref, 40, "half", now_).ok());
  EXPECT_TRUE(queue_->Progress(ref, 60, "more", now_).ok());
  EXPECT_EQ(View(id).progress_percent, 60u);
  EXPECT_EQ(View(id).progress_note, "more");
  EXPECT_EQ(queue_->ListTasks({"q", {}, {}, 10}, now_)->at(0).progress_note, "more");
  EXPECT_REASON(queue_->Progress(ref, 101, "", now_), kInvalidArgument, "BAD_FIELD");
  EXPECT_REASON(queue_->Progress(ref, 1, std::string(1025, 'x'), now_), kInvalidArgument, "BAD_FIELD");
  EXPECT_REASON(queue_->Progress({id, LeaseToken{lease.token.value + 1}}, 1, "", now_), kFailedPrecondition, "LEASE_LOST");
  EXPECT_TRUE(Release(lease).status.ok());
  Settle();
  EXPECT_EQ(View(id).progress_note, "");
  EXPECT_REASON(queue_->Progress(ref, 70, "", now_), kFailedPrecondition, "LEASE_LOST");
  const Assignment next = MustLease();
  EXPECT_EQ(View(id).progress_percent, 0u);
  EXPECT_TRUE(Complete(next).status.ok());
}

TEST_F(LeaseTest, AnErrorTextIsCutBetweenCharacters) {
  const TaskId id = MustSubmit(Spec());
  const Assignment lease = MustLease();
  std::string error(4095, 'e');
  error += "\xe2\x82\xac and more";
  queue_->Fail({{id, lease.token, error, false, 0}}, 0, now_, [](auto) {});
  Commit();
  EXPECT_EQ(View(id).last_error, std::string(4095, 'e'));
}

TEST_F(LeaseTest, RefusedLeaseRecordGivesTheTaskBack) {
  MustSubmit(Spec());
  journal_->FailReserved(MakeError(absl::StatusCode::kResourceExhausted, "DISK_LOW", "low"));
  EXPECT_TRUE(Lease().empty());
  EXPECT_EQ(CountOf(TaskState::kReady), 1u);
  journal_->FailReserved(absl::OkStatus());
  now_ += 1000;
  EXPECT_EQ(Lease().size(), 1u);
}

TEST_F(LeaseTest, WaitTaskAnswersAtTheEndOrAfterItsTimeout) {
  const TaskId id = MustSubmit(Spec());
  std::vector<TaskView> seen;
  const auto done = [&](absl::StatusOr<TaskView> v) { seen.push_back(v.value()); };
  queue_->WaitTask(id, 1000, {false, true}, now_, done);
  queue_->WaitTask(id, 60'000, {false, true}, now_, done);
  Pass(1000);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].state, TaskState::kReady);
  const Assignment a = MustLease();
  queue_->Complete({{id, a.token, "done", ""}}, 0, now_, [](auto) {});
  EXPECT_EQ(seen.size(), 1u);
  Commit();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1].result, "done");
}

TEST_F(LeaseTest, TerminalTasksVanishAfterTheirRetention) {
  const TaskId id = MustSubmit(Spec());
  Complete(MustLease(), "r");
  Pass(options_.queue_defaults.retention_ms);
  EXPECT_REASON(queue_->GetTask(id, {}, now_).status(), kNotFound, "TASK");
  EXPECT_EQ(CountOf(TaskState::kSucceeded), 0u);
  EXPECT_TRUE(journal_->pins().empty());
}

TEST_F(LeaseTest, TerminalAndDeadBoundsDropTheOldest) {
  options_.terminal_tasks_max = 3;
  options_.queue_defaults.dead_tasks_max = 1;
  Restart(options_);
  std::vector<TaskId> ids;
  for (int i = 0; i < 2; ++i) {
    ids.push_back(MustSubmit(Spec()));
    Fail(MustLease(), false);
    Settle();
  }
  EXPECT_FALSE(queue_->GetTask(ids[0], {}, now_).ok());
  EXPECT_EQ(observer_->Total(QueueEventKind::kDeadLetterDropped), 1u);
  for (int i = 0; i < 5; ++i) {
    MustSubmit(Spec());
    Complete(MustLease());
    Settle();
  }
  EXPECT_EQ(queue_->ComputeStats(now_).terminal_tasks, 3u);
}

TEST_F(LeaseTest, StreamNeverHoldsMoreThanItsSlots) {
  for (int i = 0; i < 5; ++i) MustSubmit(Spec());
  RecordingChannel channel;
  const SessionWelcome welcome = Open(&channel, 2);
  EXPECT_TRUE(channel.assigned.empty()) << "nothing within OpenSession";
  Settle();
  EXPECT_EQ(channel.assigned.size(), 2u);
  EXPECT_EQ(channel.assign_calls, 1);
  Complete(channel.assigned[0], "", welcome.session);
  Settle();
  EXPECT_EQ(channel.assigned.size(), 3u);
  queue_->SetCredit(welcome.session, 0, 0, now_);
  Complete(channel.assigned[1], "", welcome.session);
  Settle();
  EXPECT_EQ(channel.assigned.size(), 3u);
  queue_->SetCredit(welcome.session, 5, 0, now_);
  Settle();
  EXPECT_EQ(channel.assigned.size(), 5u);
  const QueueStats stats = Stats();
  EXPECT_EQ(stats.worker_sessions, 1u);
  EXPECT_EQ(stats.worker_slots, 5u);
  EXPECT_EQ(stats.worker_slots_busy, 3u);
}

TEST_F(LeaseTest, StreamNeverHoldsMoreBytesThanItsCreditButOneTaskAlwaysGoes) {
  for (int i = 0; i < 3; ++i) MustSubmit(Spec(std::string(600, 'x')));
  RecordingChannel channel;
  const SessionWelcome welcome = Open(&channel, 0);
  queue_->SetCredit(welcome.session, 10, 1000, now_);
  Settle();
  ASSERT_EQ(channel.assigned.size(), 1u);
  queue_->SetCredit(welcome.session, 10, 1200, now_);
  Settle();
  ASSERT_EQ(channel.assigned.size(), 2u);
  Complete(channel.assigned[0]);
  Complete(channel.assigned[1]);
  queue_->SetCredit(welcome.session, 10, 1, now_);
  Settle();
  EXPECT_EQ(channel.assigned.size(), 3u);
}

TEST_F(LeaseTest, OneRoundWritesOneLeaseRecordForManyLeases) {
  for (int i = 0; i < 50; ++i) MustSubmit(Spec());
  RecordingChannel channel;
  Open(&channel, 50);
  Settle();
  EXPECT_EQ(channel.assigned.size(), 50u);
  EXPECT_EQ(journal_->CountOf(RecordType::kLease), 1u);
}

TEST_F(LeaseTest, QueuesOfAWorkerAreServedByTheirWeights) {
  for (int i = 0; i < 40; ++i) {
    MustSubmit(Spec());
    TaskSpec other = Spec();
    other.queue = "r";
    MustSubmit(other);
  }
  RecordingChannel channel;
  SessionHello hello;
  hello.queues = {{"q", 3}, {"r", 1}};
  Open(&channel, 40, hello);
  Settle();
  ASSERT_EQ(channel.assigned.size(), 40u);
  const auto of_q = std::count_if(channel.assigned.begin(), channel.assigned.end(),
                                  [](const Assignment& a) { return a.task.queue == "q"; });
  EXPECT_EQ(of_q, 30);
}

TEST_F(LeaseTest, HeartbeatExtendsEveryLeaseOfTheSession) {
  for (int i = 0; i < 3; ++i) MustSubmit(Spec());
  RecordingChannel channel;
  const SessionWelcome welcome = Open(&channel, 3);
  Settle();
  for (int i = 0; i < 10; ++i) {
    now_ += 10'000;
    queue_->Heartbeat(welcome.session, now_);
    Settle();
  }
  EXPECT_EQ(CountOf(TaskState::kLeased), 3u);
  EXPECT_TRUE(channel.lost.empty());
  Pass(30'000);
  EXPECT_EQ(channel.lost.size(), 3u);
  EXPECT_EQ(channel.lost[0].second, "lease_expired");
}

TEST_F(LeaseTest, BrokenStreamKeepsItsLeasesForTheGraceOnly) {
  TaskSpec spec = Spec();
  spec.lease_ttl_ms = 600'000;
  const TaskId id = MustSubmit(spec);
  RecordingChannel channel;
  const SessionWelcome welcome = Open(&channel, 1);
  Settle();
  queue_->StreamClosed(welcome.session, &channel, now_);
  Pass(14'999);
  EXPECT_EQ(StateOf(id), TaskState::kLeased);
  Pass(1);
  EXPECT_NE(StateOf(id), TaskState::kLeased);
  EXPECT_EQ(View(id).loss_cause, "worker_lost");
}

TEST_F(LeaseTest, ResumedSessionKeepsWhatItHoldsAndLearnsWhatItLost) {
  for (int i = 0; i < 2; ++i) MustSubmit(Spec());
  RecordingChannel first;
  const SessionWelcome welcome = Open(&first, 2);
  Settle();
  ASSERT_EQ(first.assigned.size(), 2u);
  queue_->StreamClosed(welcome.session, &first, now_);
  Pass(10'000);
  SessionHello hello;
  hello.session = welcome.session;
  const LeaseRef kept{first.assigned[0].task.id, first.assigned[0].token};
  const LeaseRef stale{first.assigned[1].task.id, LeaseToken{first.assigned[1].token.value + 9}};
  hello.held = {kept, stale};
  RecordingChannel second;
  const SessionWelcome again = Open(&second, 2, hello);
  EXPECT_EQ(again.session, welcome.session);
  ASSERT_EQ(again.lost.size(), 1u);
  EXPECT_EQ(again.lost[0].task, stale.task);
  // What was not named as held is nobody's: it is given again, to this worker too.
  Settle();
  ASSERT_EQ(second.assigned.size(), 1u);
  EXPECT_EQ(second.assigned[0].task.id, stale.task);
  Pass(20'000);
  EXPECT_EQ(StateOf(kept.task), TaskState::kLeased) << "extended at the resume";
  EXPECT_TRUE(Complete(first.assigned[0]).status.ok());
}

TEST_F(LeaseTest, TakenOverStreamIsSupersededAndItsEndChangesNothing) {
  MustSubmit(Spec());
  RecordingChannel first, second;
  const SessionWelcome welcome = Open(&first, 1);
  Settle();
  SessionHello hello;
  hello.session = welcome.session;
  hello.held = {{first.assigned[0].task.id, first.assigned[0].token}};
  Open(&second, 1, hello);
  EXPECT_FALSE(first.superseded);
  Settle();
  EXPECT_TRUE(first.superseded);
  queue_->StreamClosed(welcome.session, &first, now_);
  Pass(16'000);
  EXPECT_EQ(CountOf(TaskState::kLeased), 1u);
}

TEST_F(LeaseTest, DrainingSessionGetsNothingMore) {
  RecordingChannel channel;
  const SessionWelcome welcome = Open(&channel, 5);
  queue_->DrainSession(welcome.session, now_);
  MustSubmit(Spec());
  Settle();
  EXPECT_TRUE(channel.assigned.empty());
}

TEST_F(LeaseTest, LeaseSyncHandsOutOnlyWhatIsDurable) {
  MustSubmit(Spec());
  QueueConfig config = options_.queue_defaults;
  config.lease_sync = true;
  ASSERT_TRUE(Put(config, std::nullopt).ok());
  RecordingChannel channel;
  Open(&channel, 1);
  queue_->Advance(now_, 100);
  EXPECT_TRUE(channel.assigned.empty());
  Commit();
  EXPECT_EQ(channel.assigned.size(), 1u);
}

TEST_F(LeaseTest, ListTasksPagesInIdOrder) {
  std::vector<TaskId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(MustSubmit(Spec()));
  Complete(MustLease());
  TaskListQuery query;
  query.queue = "q";
  query.tasks_max = 2;
  query.states = {TaskState::kReady};
  std::vector<TaskId> seen;
  while (true) {
    const auto page = queue_->ListTasks(query, now_);
    ASSERT_TRUE(page.ok());
    for (const TaskView& view : *page) seen.push_back(view.id);
    if (page->size() < 2) break;
    query.after = page->back().id;
  }
  EXPECT_EQ(seen, std::vector<TaskId>(ids.begin() + 1, ids.end()));
  query.queue = "none";
  EXPECT_REASON(queue_->ListTasks(query, now_).status(), kNotFound, "QUEUE");
}

TEST_F(LeaseTest, StatsTellAgesAndTheNextTimer) {
  MustSubmit(Spec());
  now_ += 500;
  MustSubmit(Spec());
  TaskSpec delayed = Spec();
  delayed.delay_ms = 9000;
  MustSubmit(delayed);
  QueueStats stats = Stats();
  EXPECT_EQ(stats.oldest_ready_since_ms, kStart);
  EXPECT_EQ(stats.oldest_first_attempt_since_ms, kStart);
  EXPECT_EQ(stats.next_due_ms, now_ + 9000);
  const Assignment a = MustLease();
  now_ += 100;
  EXPECT_EQ(Stats().oldest_leased_since_ms, kStart + 500);
  EXPECT_EQ(Stats().oldest_ready_since_ms, kStart + 500);
  Release(a);
  EXPECT_EQ(Stats().oldest_leased_since_ms, 0);
  EXPECT_EQ(Stats().oldest_first_attempt_since_ms, kStart + 500);
  Pass(9000);
  EXPECT_EQ(Stats().next_due_ms, 0);
  EXPECT_EQ(queue_->stats()->queues.size(), 0u) << "not published yet";
  queue_->PublishStats(now_);
  EXPECT_EQ(queue_->stats()->queues.size(), 1u);
  queue_->SetStatsCompleter([](ShardStats* all) { all->queues[0].scaling.emplace().needed_workers = 7; });
  queue_->PublishStats(now_);
  EXPECT_EQ(queue_->stats()->queues[0].scaling->needed_workers, 7);
}

TEST_F(LeaseTest, EachTaskIsNewlyReadyOnce) {
  MustSubmit(Spec());
  TaskSpec delayed = Spec();
  delayed.delay_ms = 9000;
  MustSubmit(delayed);
  EXPECT_EQ(Stats().first_ready, 1u);
  const Assignment a = MustLease();
  Release(a);
  EXPECT_EQ(Stats().first_ready, 1u) << "back, not new";
  Pass(9000);
  EXPECT_EQ(Stats().first_ready, 2u) << "its delay is over";
  Crash();
  EXPECT_EQ(Stats().first_ready, 0u) << "since the process began";
}

}  // namespace
}  // namespace wheelpit
