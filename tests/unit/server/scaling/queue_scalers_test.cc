#include "server/scaling/queue_scalers.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "gtest/gtest.h"
#include "server/scaling/record_codec.h"
#include "tests/unit/server/queue/kept_journal.h"

namespace wheelpit {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;

ShardStats Backlog(std::vector<std::pair<uint32_t, uint64_t>> ready_by_number, int64_t at_ms) {
  ShardStats stats;
  stats.at_ms = at_ms;
  for (const auto& [number, ready] : ready_by_number) {
    QueueStats& queue = stats.queues.emplace_back();
    queue.name = absl::StrCat("q", number);
    queue.number = number;
    queue.at_ms = at_ms;
    queue.tasks[static_cast<size_t>(TaskState::kReady)] = ready;
  }
  return stats;
}

double Needed(QueueScalers* scalers, uint32_t number, uint64_t ready, int64_t at_ms) {
  ShardStats stats = Backlog({{number, ready}}, at_ms);
  scalers->Update(&stats);
  return stats.queues[0].scaling->needed_workers;
}

TEST(QueueScalersTest, MeasuresEachQueueOnItsOwn) {
  KeptJournal journal;
  QueueScalers scalers(&journal);
  ASSERT_TRUE(scalers.RecoveryDone(kStart).ok());
  ShardStats stats = Backlog({{1, 300}, {2, 30}, {3, 0}}, kStart);
  scalers.Update(&stats);
  EXPECT_NEAR(stats.queues[0].scaling->needed_workers, 30, 1e-9);
  EXPECT_NEAR(stats.queues[1].scaling->needed_workers, 3, 1e-9);
  EXPECT_EQ(stats.queues[2].scaling->needed_workers, 0);
  EXPECT_STREQ(stats.queues[1].scaling->largest_term, "backlog");
  EXPECT_FALSE(stats.queues[2].scaling->active);
}

TEST(QueueScalersTest, WritesEveryTenSecondsWhatMoved) {
  KeptJournal journal;
  QueueScalers scalers(&journal);
  ASSERT_TRUE(scalers.RecoveryDone(kStart).ok());
  int64_t now = kStart;
  const auto second = [&](uint64_t ready) {
    now += 1000;
    ShardStats stats = Backlog({{1, ready}, {2, 0}}, now);
    scalers.Update(&stats);
    const Lsn before = journal.last_lsn();
    scalers.Save(now);
    return journal.last_lsn() - before;
  };
  for (int i = 1; i < 10; ++i) EXPECT_EQ(second(300), 0u) << i;
  EXPECT_EQ(second(300), 1u) << "only of the queue that has something to say";
  EXPECT_EQ(scalers.saved(2), nullptr);
  EXPECT_NEAR(scalers.saved(1)->needed_workers, 30, 1e-9);
  for (int i = 1; i <= 20; ++i) EXPECT_EQ(second(300), 0u) << "nothing moved";
  for (int i = 1; i <= 10; ++i) second(0);
  EXPECT_EQ(scalers.saved(1)->needed_workers, 0);
  EXPECT_EQ(journal.last_lsn(), 2u);
}

TEST(QueueScalersTest, RecoversFromRecordsAndFromChunksAndHolds) {
  KeptJournal journal;
  QueueScalers scalers(&journal);
  ASSERT_TRUE(scalers.RecoveryDone(kStart).ok());
  Needed(&scalers, 1, 300, kStart + 9000);
  scalers.Save(kStart + 10'000);
  ASSERT_EQ(journal.last_lsn(), 1u);
  while (journal.Commit()) {
  }

  const auto check = [](QueueScalers* again) {
    ASSERT_TRUE(again->RecoveryDone(kStart + 20'000).ok());
    EXPECT_NEAR(Needed(again, 1, 0, kStart + 21'000), 30, 1e-9);
    EXPECT_NEAR(Needed(again, 1, 0, kStart + 79'999), 30, 1e-9);
    EXPECT_EQ(Needed(again, 1, 0, kStart + 80'000), 0);
  };
  const auto replayed = journal.AfterCrash();
  QueueScalers from_records(replayed.get());
  Fold* fold = &from_records;
  ASSERT_TRUE(replayed->Recover({&fold, 1}, nullptr).ok());
  check(&from_records);

  std::string bytes;
  Lsn as_of = 0;
  EXPECT_FALSE(scalers.NextChunk(&bytes, &as_of)) << "no pass has begun";
  scalers.BeginCheckpoint();
  ASSERT_TRUE(scalers.NextChunk(&bytes, &as_of));
  EXPECT_EQ(as_of, 1u);
  QueueScalers from_chunk(&journal);
  ASSERT_TRUE(from_chunk.LoadChunk(as_of, bytes).ok());
  check(&from_chunk);
  EXPECT_FALSE(scalers.NextChunk(&bytes, &as_of));
}

TEST(QueueScalersTest, ManyQueuesFitIntoSeveralChunks) {
  KeptJournal journal;
  QueueScalers scalers(&journal);
  ASSERT_TRUE(scalers.RecoveryDone(kStart).ok());
  ShardStats stats = Backlog({}, kStart);
  for (uint32_t number = 1; number <= 10'000; ++number) {
    stats.queues.push_back(Backlog({{number, number}}, kStart).queues[0]);
  }
  ShardStats empty = stats;
  for (QueueStats& queue : empty.queues) queue.tasks = {};
  scalers.Update(&empty);
  for (QueueStats& queue : stats.queues) queue.at_ms += 1000;
  scalers.Update(&stats);
  scalers.Save(kStart + 10'000);
  EXPECT_EQ(journal.last_lsn(), 10'000u);
  QueueScalers again(&journal);
  std::string bytes;
  Lsn as_of = 0;
  int chunks = 0;
  for (scalers.BeginCheckpoint(); scalers.NextChunk(&bytes, &as_of); ++chunks) {
    EXPECT_LT(bytes.size(), 400u << 10);
    ASSERT_TRUE(again.LoadChunk(as_of, bytes).ok());
  }
  EXPECT_EQ(chunks, 3);
  for (const uint32_t number : {1u, 4096u, 4097u, 10'000u}) {
    ASSERT_NE(again.saved(number), nullptr);
    EXPECT_EQ(again.saved(number)->needed_workers, scalers.saved(number)->needed_workers);
  }
}

TEST(QueueScalersTest, ForgetsQueuesThatAreGone) {
  KeptJournal journal;
  QueueScalers scalers(&journal);
  ASSERT_TRUE(scalers.RecoveryDone(kStart).ok());
  Needed(&scalers, 1, 300, kStart);
  scalers.Save(kStart + 10'000);
  ASSERT_NE(scalers.saved(1), nullptr);
  Needed(&scalers, 2, 1, kStart + 11'000);
  EXPECT_EQ(scalers.saved(1), nullptr);
}

TEST(QueueScalersTest, DamageIsRefused) {
  KeptJournal journal;
  QueueScalers scalers(&journal);
  EXPECT_EQ(scalers.LoadChunk(1, "\x05").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(scalers.LoadChunk(1, std::string("\x05\0\0\0abc", 7)).code(), absl::StatusCode::kDataLoss);
  ScaleRecord bad;
  bad.queue = 1;
  bad.state.service_s = -1;
  EXPECT_EQ(DecodeScale(EncodeScale(bad)).status().code(), absl::StatusCode::kDataLoss);
  bad.state.service_s = 2.5;
  const auto good = DecodeScale(EncodeScale(bad));
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->state.service_s, 2.5);
}

}  // namespace
}  // namespace wheelpit
