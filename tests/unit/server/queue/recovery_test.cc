#include "tests/unit/server/queue/queue_fixture.h"

namespace wheelpit {
namespace {

class RecoveryTest : public QueueTest {
 protected:
  // Takes a checkpoint, running `between` before each chunk.
  std::vector<KeptJournal::Chunk> Checkpoint(std::function<void()> between) {
    std::vector<KeptJournal::Chunk> chunks;
    begin_ = journal_->last_lsn();
    queue_->BeginCheckpoint();
    while (true) {
      if (between) between();
      KeptJournal::Chunk chunk{};
      if (!queue_->NextChunk(&chunk.bytes, &chunk.as_of)) break;
      chunks.push_back(std::move(chunk));
    }
    Commit();
    return chunks;
  }
  // The state of another process that recovers from chunks and the records after `begin`.
  std::string Recovered(const std::vector<KeptJournal::Chunk>& chunks, Lsn begin, RecordingObserver* observer = nullptr) {
    std::unique_ptr<KeptJournal> journal = journal_->AfterCrash();
    DurableQueue durable;
    auto queue = WorkQueue::Create(options_, journal.get(), &durable, observer, &rng_);
    const absl::Status status = journal->RecoverFrom(chunks, begin, queue.get());
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(queue->RecoveryDone(now_).ok());
    queue->SetEpoch(99, kTestKey);
    // Delays that are over by now end in both alike.
    queue->Advance(now_, 1'000'000);
    return queue->DebugDump();
  }
  // A bit of everything, so that every record type is there.
  void Mix(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      (void)Submit(rng_.Chance(0.5) ? Keyed("k" + std::to_string(counter_ % 40)) : Spec(std::to_string(counter_)));
      ++counter_;
      if (rng_.Chance(0.3)) {
        TaskSpec delayed = Spec();
        delayed.delay_ms = 1 + static_cast<int64_t>(rng_.Below(5000));
        (void)Submit(delayed);
      }
      for (Assignment& a : Lease(2)) held_.push_back(std::move(a));
      if (held_.size() > 5) {
        const size_t at = rng_.Below(held_.size());
        const Assignment a = held_[at];
        held_.erase(held_.begin() + static_cast<ptrdiff_t>(at));
        switch (rng_.Below(6)) {
          case 0: Fail(a, rng_.Chance(0.7), 1); break;
          case 1: Release(a); break;
          case 2: (void)Cancel(a.task.id, rng_.Chance(0.5)); break;
          default: Complete(a, rng_.Chance(0.5) ? "result" : "");
        }
      }
      Pass(static_cast<int64_t>(rng_.Below(4000)));
    }
  }
  Lsn begin_ = 0;
  uint64_t counter_ = 0;
  std::vector<Assignment> held_;
};

TEST_F(RecoveryTest, AcknowledgedStateSurvives) {
  const TaskId done = MustSubmit(Spec());
  Complete(MustLease(), "kept");
  const TaskId waiting = MustSubmit(Spec("later"));
  Crash();
  EXPECT_EQ(View(done).result, "kept");
  EXPECT_EQ(View(waiting).payload, "later");
  EXPECT_EQ(Stats().submitted, 2u);
  EXPECT_EQ(Stats().completed, 1u);
  EXPECT_EQ(Lease(5).size(), 1u);
}

TEST_F(RecoveryTest, WhatAQueueIsToldSurvivesWhole) {
  for (const ScalingPolicy policy : {ScalingPolicy::kLatency, ScalingPolicy::kCost}) {
    for (const ContentionGuard guard : {ContentionGuard::kOff, ContentionGuard::kWarn, ContentionGuard::kCap}) {
      QueueConfig config;
      config.wait_target_ms = 7000;
      config.service_time_ms = 250;
      config.scaling_policy = policy;
      config.contention_guard = guard;
      ASSERT_TRUE(Put(config, std::nullopt).ok());
      Crash();
      EXPECT_EQ(Stats().config, config);
    }
  }
}

TEST_F(RecoveryTest, UndurableCompletionIsForgottenAndTheTaskRunsAgain) {
  const TaskId id = MustSubmit(Spec());
  const Assignment a = MustLease();
  queue_->Complete({{id, a.token, "", ""}}, 0, now_, [](auto) {});
  Crash();
  EXPECT_EQ(StateOf(id), TaskState::kLeased);
  EXPECT_TRUE(Complete(a).status.ok()) << "the token is kept";
}

TEST_F(RecoveryTest, RecoveredLeaseKeepsItsTokenAndGetsAFreshDeadline) {
  TaskSpec spec = Spec();
  spec.lease_ttl_ms = 3'600'000;
  const TaskId id = MustSubmit(spec);
  const Assignment a = MustLease();
  now_ += 3'000'000;
  Crash();
  EXPECT_EQ(View(id).due_ms, now_ + 30'000);
  Pass(29'999);
  EXPECT_TRUE(Extend(a).status.ok());
  EXPECT_TRUE(Complete(a).status.ok());
}

TEST_F(RecoveryTest, TokensAfterALostLeaseRecordAreLarger) {
  MustSubmit(Spec());
  std::vector<Assignment> got;
  queue_->LeaseTasks("w", {{"q", 1}}, 1, 0, now_, [&](auto r) { got = r.value(); });
  queue_->Advance(now_, 100);  // write-behind: handed out before it is durable
  ASSERT_EQ(got.size(), 1u);
  Crash();
  const Assignment again = MustLease();
  EXPECT_EQ(again.attempt, 1u);
  EXPECT_GT(again.token.value, got[0].token.value);
  EXPECT_REASON(Complete(got[0]).status, kFailedPrecondition, "LEASE_LOST");
}

TEST_F(RecoveryTest, WorkerResumesItsLeaseAfterARestart) {
  MustSubmit(Spec());
  RecordingChannel before, after;
  const SessionWelcome welcome = Open(&before, 1);
  Settle();
  Crash();
  SessionHello hello;
  hello.session = welcome.session;
  hello.held = {{before.assigned[0].task.id, before.assigned[0].token}};
  EXPECT_TRUE(Open(&after, 1, hello).lost.empty());
  Pass(29'000);
  EXPECT_TRUE(Complete(before.assigned[0]).status.ok());
}

TEST_F(RecoveryTest, TimersThatPassedWhileDownFire) {
  TaskSpec spec = Spec();
  spec.delay_ms = 1000;
  MustSubmit(spec);
  spec.delay_ms = 500;
  const TaskId earlier = MustSubmit(spec);
  now_ += 100'000;
  Crash();
  Settle();
  EXPECT_EQ(CountOf(TaskState::kReady), 2u);
  EXPECT_EQ(MustLease().task.id, earlier);
}

TEST_F(RecoveryTest, IdsAreNeverReused) {
  const TaskId id = MustSubmit(Spec());
  Complete(MustLease());
  Pass(options_.queue_defaults.retention_ms + 1);
  const auto chunks = Checkpoint(nullptr);
  std::unique_ptr<KeptJournal> journal = journal_->AfterCrash();
  DurableQueue durable;
  auto queue = WorkQueue::Create(options_, journal.get(), &durable, nullptr, &rng_);
  ASSERT_TRUE(journal->RecoverFrom(chunks, journal->last_lsn(), queue.get()).ok());
  ASSERT_TRUE(queue->RecoveryDone(now_).ok());
  queue->SetEpoch(99, kTestKey);
  TaskId next;
  queue->Submit(Spec(), now_, [&](absl::StatusOr<SubmitOutcome> r) { next = r->id; });
  journal->Commit();
  durable.Advance(journal->durable_lsn());
  EXPECT_LT(id, next);
}

TEST_F(RecoveryTest, ReplayGivesTheStateThatWasThere) {
  Mix(150);
  ExpectSameDump(Recovered({}, 0), queue_->DebugDump());
}

TEST_F(RecoveryTest, CheckpointAndTailEqualTheWholeReplay) {
  Mix(100);
  const auto chunks = Checkpoint([&] { Mix(5); });
  ASSERT_GE(chunks.size(), 3u);
  const Lsn begin = begin_;
  Mix(50);
  const std::string whole = Recovered({}, 0);
  ExpectSameDump(Recovered(chunks, begin), whole);
  ExpectSameDump(whole, queue_->DebugDump());
}

TEST_F(RecoveryTest, CheckpointOverManySlabsWithWorkBetweenEqualsTheWholeReplay) {
  for (int i = 0; i < 10'000; ++i) {
    TaskSpec spec = Keyed("key" + std::to_string(i));
    queue_->Submit(spec, now_, [](absl::StatusOr<SubmitOutcome>) {});
  }
  Commit();
  const auto chunks = Checkpoint([&] { Mix(10); });
  const Lsn begin = begin_;
  Mix(20);
  ExpectSameDump(Recovered(chunks, begin), Recovered({}, 0));
}

TEST_F(RecoveryTest, EventsInReplayAreTheLiveOnes) {
  Mix(100);
  RecordingObserver replayed;
  Recovered({}, 0, &replayed);
  EXPECT_EQ(replayed.events, observer_->events);
  EXPECT_GT(replayed.Total(QueueEventKind::kCompleted), 0u);
  EXPECT_GT(replayed.Total(QueueEventKind::kRedelivered), 0u);
  for (size_t i = 1; i < replayed.events.size(); ++i) EXPECT_LE(replayed.events[i - 1].lsn, replayed.events[i].lsn);
}

TEST_F(RecoveryTest, EventsComeOnlyWhenDurable) {
  queue_->Submit(Spec(), now_, [](absl::StatusOr<SubmitOutcome>) {});
  EXPECT_TRUE(observer_->events.empty());
  Commit();
  EXPECT_EQ(observer_->Total(QueueEventKind::kSubmitted), 1u);
}

TEST_F(RecoveryTest, PinsAfterRecoveryAreTheLiveOnes) {
  Mix(150);
  const auto live = journal_->pins();
  Crash();
  EXPECT_EQ(journal_->pins(), live);
  EXPECT_FALSE(live.empty());
}

TEST_F(RecoveryTest, CountsEqualARecountAfterRecovery) {
  Mix(150);
  const QueueStats live = Stats();
  Crash();
  Settle();
  const QueueStats again = Stats();
  EXPECT_EQ(again.tasks, live.tasks);
  EXPECT_EQ(again.live_bytes, live.live_bytes);
  EXPECT_EQ(again.dead_bytes, live.dead_bytes);
  EXPECT_EQ(again.submitted, live.submitted);
  EXPECT_EQ(again.retried, live.retried);
}

TEST_F(RecoveryTest, DamagedChunksAreRefused) {
  Mix(30);
  const auto chunks = Checkpoint(nullptr);
  for (const KeptJournal::Chunk& chunk : chunks) {
    DurableQueue durable;
    auto queue = WorkQueue::Create(options_, journal_.get(), &durable, nullptr, &rng_);
    EXPECT_EQ(queue->LoadChunk(1, chunk.bytes.substr(0, chunk.bytes.size() - 1)).code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(RecoveryTest, EverythingIsRefusedUntilRecoveredAndTheEpochIsSet) {
  DurableQueue durable;
  KeptJournal journal;
  auto queue = WorkQueue::Create(options_, &journal, &durable, nullptr, &rng_);
  absl::Status status;
  const auto submit = [&] { queue->Submit(Spec(), now_, [&](absl::StatusOr<SubmitOutcome> r) { status = r.status(); }); };
  submit();
  EXPECT_REASON(status, kUnavailable, "STARTING");
  ASSERT_TRUE(queue->RecoveryDone(now_).ok());
  submit();
  EXPECT_REASON(status, kUnavailable, "STARTING");
  EXPECT_EQ(journal.last_lsn(), 0u);
}

}  // namespace
}  // namespace wheelpit
