#include "server/engine/engine.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/meta_fold.h"
#include "server/journal/mem_journal.h"
#include "server/journal_log/segmented_log.h"
#include "tests/support/temp_folder.h"

namespace wheelpit {
namespace {

class ManualClock final : public Clock {
 public:
  TimeMs NowMs() const override { return now_ms; }
  int64_t MonotonicNanos() const override { return now_ms * 1'000'000; }
  absl::Time WallNow() const override { return absl::FromUnixMillis(now_ms); }
  TimeMs now_ms = 1'700'000'000'000;
};

class ManualExecutor final : public Executor {
 public:
  void Post(absl::AnyInvocable<void()> fn) override { queue_.push_back(std::move(fn)); }
  bool RunAll() {
    bool ran = false;
    while (!queue_.empty()) {
      auto fn = std::move(queue_.front());
      queue_.pop_front();
      fn();
      ran = true;
    }
    return ran;
  }

 private:
  std::deque<absl::AnyInvocable<void()>> queue_;
};

std::unique_ptr<Journal> OpenLog(const std::string& dir) {
  SegmentedLogOptions options;
  options.dir = dir;
  options.segment_bytes = 1 << 20;
  options.disk_low_bytes = 0;
  options.disk_low_percent = 0;
  options.random_seed = 3;
  auto log = SegmentedLog::Open(options, PosixFileSystem());
  EXPECT_TRUE(log.ok()) << log.status();
  return log.ok() ? *std::move(log) : nullptr;
}

// One life of an engine, stepped by hand.
struct Life {
  Life(std::unique_ptr<Journal> log, ManualClock* manual, EngineOptions options = {}) : journal(std::move(log)), clock(manual) {
    options.carry_time = [manual](TimeMs ms) { manual->now_ms = std::max(manual->now_ms, ms); };
    engine = Engine::Create(options, manual, journal.get(), &background, 11);
  }
  // Until nothing moves; commits only if `commit`.
  void Settle(bool commit = true) {
    bool moved = true;
    while (moved) {
      moved = engine->RunOnce();
      if (commit) {
        while (journal->Commit()) moved = true;
      }
      if (background.RunAll()) moved = true;
    }
  }
  absl::StatusOr<SubmitOutcome> Submit(const std::string& key) {
    absl::StatusOr<SubmitOutcome> got = absl::UnknownError("no answer");
    TaskSpec spec;
    spec.queue = "q";
    spec.idempotency_key = key;
    engine->Post([&, spec]() mutable {
      engine->queue().Submit(std::move(spec), clock->NowMs(), [&](absl::StatusOr<SubmitOutcome> r) { got = std::move(r); });
    });
    Settle();
    return got;
  }

  std::unique_ptr<Journal> journal;
  ManualClock* const clock;
  ManualExecutor background;
  std::unique_ptr<Engine> engine;
};

TEST(EngineTest, IsReadyOnlyOnceItsEpochIsDurable) {
  ManualClock clock;
  Life life(std::make_unique<MemJournal>(), &clock);
  ASSERT_TRUE(life.engine->Recover(nullptr).ok());
  EXPECT_EQ(life.engine->epoch(), 1u);
  life.Settle(/*commit=*/false);
  EXPECT_FALSE(life.engine->ready());
  life.Settle();
  EXPECT_TRUE(life.engine->ready());
}

TEST(EngineTest, AnswersASubmitOnlyOnceItIsDurable) {
  ManualClock clock;
  Life life(std::make_unique<MemJournal>(), &clock);
  ASSERT_TRUE(life.engine->Recover(nullptr).ok());
  life.Settle();
  bool answered = false;
  TaskSpec spec;
  spec.queue = "q";
  life.engine->Post([&]() mutable {
    life.engine->queue().Submit(std::move(spec), clock.NowMs(), [&](absl::StatusOr<SubmitOutcome> r) { answered = r.ok(); });
  });
  life.Settle(/*commit=*/false);
  EXPECT_FALSE(answered);
  life.Settle();
  EXPECT_TRUE(answered);
}

TEST(EngineTest, AWriteBehindRecordWaitsForOthersOrForAMoment) {
  TempFolder folder;
  ManualClock clock;
  Life life(OpenLog(folder.path()), &clock);
  int asked = 0;
  life.engine->SetCommitWaker([&asked] { ++asked; });
  ASSERT_TRUE(life.engine->Recover(nullptr).ok());
  life.Settle();
  const auto lease = [&] {
    ASSERT_TRUE(life.Submit("").ok());
    asked = 0;
    size_t leased = 0;
    life.engine->Post([&] {
      life.engine->queue().LeaseTasks("w", {{"q", 1}}, 1, 0, clock.NowMs(),
                                      [&](absl::StatusOr<std::vector<Assignment>> got) { leased = got.ok() ? got->size() : 0; });
    });
    life.Settle(/*commit=*/false);
    ASSERT_EQ(leased, 1u);
  };
  lease();
  EXPECT_EQ(asked, 0);
  int64_t until_ms = 0;
  ASSERT_TRUE(life.engine->Rest(&until_ms));
  EXPECT_LE(until_ms, clock.NowMs() + EngineOptions().unhurried_commit_ms);
  clock.now_ms += EngineOptions().unhurried_commit_ms;
  life.Settle(/*commit=*/false);
  EXPECT_EQ(asked, 1);
  life.Settle();

  lease();
  EXPECT_EQ(asked, 0);
  const Lsn lease_lsn = life.journal->last_lsn();
  ASSERT_TRUE(life.Submit("").ok());
  EXPECT_EQ(asked, 1);
  EXPECT_GT(life.journal->durable_lsn(), lease_lsn);
  clock.now_ms += EngineOptions().unhurried_commit_ms;
  life.Settle();
  EXPECT_EQ(asked, 1) << "asked again for what is durable";
}

TEST(EngineTest, ACommitThatFoundNoSpaceIsAskedForAgainThoughNothingMoves) {
  ManualClock clock;
  Life life(std::make_unique<MemJournal>(), &clock);
  int asked = 0;
  life.engine->SetCommitWaker([&asked] { ++asked; });
  ASSERT_TRUE(life.engine->Recover(nullptr).ok());
  life.Settle();
  asked = 0;
  bool answered = false;
  TaskSpec spec;
  spec.queue = "q";
  life.engine->Post([&]() mutable {
    life.engine->queue().Submit(std::move(spec), clock.NowMs(), [&](absl::StatusOr<SubmitOutcome> r) { answered = r.ok(); });
  });
  life.Settle(/*commit=*/false);
  EXPECT_EQ(asked, 1);
  clock.now_ms += 1'000;
  life.Settle(/*commit=*/false);
  EXPECT_EQ(asked, 2);
  EXPECT_FALSE(answered);
  life.Settle();
  EXPECT_TRUE(answered);
  clock.now_ms += 1'000;
  life.Settle();
  EXPECT_EQ(asked, 2) << "asked again for what is durable";
}

TEST(EngineTest, ARestEndsWithTheFirstCommand) {
  ManualClock clock;
  Life life(std::make_unique<MemJournal>(), &clock);
  int woken = 0;
  life.engine->SetWaker([&woken] { ++woken; });
  ASSERT_TRUE(life.engine->Recover(nullptr).ok());
  life.Settle();
  int64_t until_ms = 0;
  ASSERT_TRUE(life.engine->Rest(&until_ms));
  woken = 0;
  life.engine->Post([] {});
  life.engine->Post([] {});
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(life.engine->HasCommands());
  EXPECT_FALSE(life.engine->Rest(&until_ms));
  EXPECT_TRUE(life.engine->RunOnce());
  EXPECT_FALSE(life.engine->HasCommands());
}

TEST(EngineTest, EachStartHasALargerEpochAndTheSameHistory) {
  TempFolder folder;
  ManualClock clock;
  uint64_t history = 0;
  for (uint64_t start = 1; start <= 3; ++start) {
    Life life(OpenLog(folder.path()), &clock);
    ASSERT_TRUE(life.engine->Recover(nullptr).ok());
    life.Settle();
    ASSERT_TRUE(life.engine->ready());
    EXPECT_EQ(life.engine->epoch(), start);
    if (start == 1) history = life.engine->history_id();
    EXPECT_EQ(life.engine->history_id(), history);
    EXPECT_NE(history, 0u);
  }
}

TEST(EngineTest, TimeDoesNotFallOverARestart) {
  TempFolder folder;
  ManualClock clock;
  {
    Life life(OpenLog(folder.path()), &clock);
    ASSERT_TRUE(life.engine->Recover(nullptr).ok());
    life.Settle();
    clock.now_ms += 3'600'000;
    ASSERT_TRUE(life.Submit("k").ok());
  }
  const TimeMs stored = clock.now_ms;
  clock.now_ms -= 7'200'000;
  Life life(OpenLog(folder.path()), &clock);
  ASSERT_TRUE(life.engine->Recover(nullptr).ok());
  EXPECT_GE(clock.now_ms, stored);
}

TEST(EngineTest, AnIdleJournalGetsHeartbeats) {
  ManualClock clock;
  Life life(std::make_unique<MemJournal>(), &clock);
  ASSERT_TRUE(life.engine->Recover(nullptr).ok());
  life.Settle();
  for (int i = 0; i < 2; ++i) {
    clock.now_ms += 10'000;
    life.Settle();
  }
  const Lsn before = life.journal->last_lsn();
  clock.now_ms += 10'000;
  life.Settle();
  EXPECT_EQ(life.journal->last_lsn(), before + 1);
}

TEST(EngineTest, StateComesBackFromACheckpointAndWhatFollowsIt) {
  TempFolder folder;
  ManualClock clock;
  TaskId first, second;
  {
    Life life(OpenLog(folder.path()), &clock);
    ASSERT_TRUE(life.engine->Recover(nullptr).ok());
    life.Settle();
    auto outcome = life.Submit("first");
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    first = outcome->id;
    absl::Status checkpoint = absl::UnknownError("no answer");
    life.engine->Post([&] { life.engine->Checkpoint([&](absl::Status s) { checkpoint = s; }); });
    life.Settle();
    EXPECT_TRUE(checkpoint.ok()) << checkpoint;
    outcome = life.Submit("second");
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    second = outcome->id;
  }
  Life life(OpenLog(folder.path()), &clock);
  ASSERT_TRUE(life.engine->Recover(nullptr).ok());
  life.Settle();
  EXPECT_GT(life.engine->recovery().checkpoint_lsn, 0u);
  for (const auto& [key, id] : {std::pair("first", first), std::pair("second", second)}) {
    auto again = life.Submit(key);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(again->deduplicated);
    EXPECT_EQ(again->id, id);
  }
}

TEST(EngineTest, ACheckpointIsNotCurrentBeforeWhatItReflectsIsDurable) {
  TempFolder folder;
  ManualClock clock;
  Life life(OpenLog(folder.path()), &clock);
  ASSERT_TRUE(life.engine->Recover(nullptr).ok());
  life.Settle();
  life.engine->Post([&] {
    TaskSpec spec;
    spec.queue = "q";
    life.engine->queue().Submit(std::move(spec), clock.NowMs(), [](absl::StatusOr<SubmitOutcome>) {});
  });
  life.Settle(/*commit=*/false);
  bool done = false;
  life.engine->Post([&] { life.engine->Checkpoint([&](absl::Status s) { done = s.ok(); }); });
  life.Settle(/*commit=*/false);
  EXPECT_FALSE(done);
  life.Settle();
  EXPECT_TRUE(done);
}

TEST(EngineTest, IsOverloadedAtItsBoundOfWaitingCommands) {
  ManualClock clock;
  EngineOptions options;
  options.commands_max = 3;
  Life life(std::make_unique<MemJournal>(), &clock, options);
  int ran = 0;
  for (int i = 0; i < 2; ++i) life.engine->Post([&] { ++ran; });
  EXPECT_FALSE(life.engine->Overloaded());
  life.engine->Post([&] { ++ran; });
  EXPECT_TRUE(life.engine->Overloaded());
  life.engine->RunOnce();
  EXPECT_FALSE(life.engine->Overloaded());
  EXPECT_EQ(ran, 3);
}

TEST(EngineTest, ARoundRunsItsShareAndKeepsTheOrder) {
  ManualClock clock;
  EngineOptions options;
  options.commands_per_round = 2;
  Life life(std::make_unique<MemJournal>(), &clock, options);
  std::vector<int> ran;
  for (int i = 0; i < 5; ++i) life.engine->Post([&ran, i] { ran.push_back(i); });
  EXPECT_TRUE(life.engine->RunOnce());
  EXPECT_THAT(ran, testing::ElementsAre(0, 1));
  EXPECT_TRUE(life.engine->RunOnce());
  EXPECT_TRUE(life.engine->RunOnce());
  EXPECT_THAT(ran, testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST(EngineTest, CommandsAfterShutdownAreDestroyedUnrun) {
  ManualClock clock;
  Life life(std::make_unique<MemJournal>(), &clock);
  auto alive = std::make_shared<int>(0);
  life.engine->Post([alive] { ++*alive; });
  life.engine->Shutdown();
  life.engine->Post([alive] { ++*alive; });
  EXPECT_EQ(alive.use_count(), 1);
  EXPECT_EQ(*alive, 0);
}

TEST(EngineTest, MetaTimeReadsTheFirstFieldOfAnyMeta) {
  EXPECT_EQ(MetaTime(EncodeHeartbeat(1'700'000'000'123)), 1'700'000'000'123);
  EXPECT_EQ(MetaTime(EncodeEpoch({.at_ms = 5, .epoch = 9})), 5);
  EXPECT_EQ(MetaTime(""), 0);
  EXPECT_EQ(MetaTime("\x08\xff"), 0);
}

}  // namespace
}  // namespace wheelpit
