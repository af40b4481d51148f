#include "server/app/shard_threads.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/engine.h"
#include "server/journal/mem_journal.h"
#include "server/journal_log/segmented_log.h"
#include "tests/support/temp_folder.h"

namespace wheelpit {
namespace {

constexpr int kClients = 4;
constexpr int kTasksEach = 250;

std::unique_ptr<Journal> OpenLog(const std::string& dir, const std::string& durability) {
  SegmentedLogOptions options;
  options.dir = dir;
  options.segment_bytes = 64 << 10;  // so that segments turn over
  options.record_bytes_max = 32 << 10;
  options.disk_low_bytes = 0;
  options.disk_low_percent = 0;
  options.random_seed = 3;
  EXPECT_TRUE(ParseJournalDurability(durability, &options).ok());
  auto log = SegmentedLog::Open(options, PosixFileSystem());
  EXPECT_TRUE(log.ok()) << log.status();
  return log.ok() ? *std::move(log) : nullptr;
}

// One life of a shard on its threads.
class Shard {
 public:
  explicit Shard(std::unique_ptr<Journal> journal) : journal_(std::move(journal)), background_("background") {
    engine_ = Engine::Create({}, &clock_, journal_.get(), &background_, 11);
    threads_ = std::make_unique<ShardThreads>(engine_.get(), journal_.get(), &clock_);
    engine_->SetStateObserver([this] { changed_.Set(); });
    threads_->Start([this] { return engine_->Recover(nullptr).ok(); });
    changed_.Wait();
  }
  ~Shard() { Stop(); }
  void Stop() {
    threads_->Stop();
    background_.Stop();
    engine_->Shutdown();
  }
  Engine& engine() { return *engine_; }
  Journal& journal() { return *journal_; }

  // Returns when it is answered.
  absl::StatusOr<SubmitOutcome> Submit() {
    absl::StatusOr<SubmitOutcome> outcome = absl::UnknownError("no answer");
    Event answered;
    engine_->Post([&] {
      TaskSpec spec;
      spec.queue = "q";
      spec.payload = std::string(100, 'x');
      engine_->queue().Submit(std::move(spec), clock_.NowMs(), [&](absl::StatusOr<SubmitOutcome> got) {
        outcome = std::move(got);
        answered.Set();
      });
    });
    answered.Wait();
    return outcome;
  }
  bool Has(TaskId id) {
    bool has = false;
    Event answered;
    engine_->Post([&] {
      has = engine_->queue().GetTask(id, {}, clock_.NowMs()).ok();
      answered.Set();
    });
    answered.Wait();
    return has;
  }

 private:
  SystemClock clock_;
  std::unique_ptr<Journal> journal_;
  BackgroundThread background_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ShardThreads> threads_;
  Event changed_;
};

// Several clients, each with one call at a time: duties change hands all the while.
std::vector<TaskId> SubmitFromManyThreads(Shard* shard) {
  std::vector<std::vector<TaskId>> ids(kClients);
  std::vector<std::thread> clients;
  for (auto& mine : ids) {
    clients.emplace_back([shard, &mine] {
      for (int i = 0; i < kTasksEach; ++i) {
        const absl::StatusOr<SubmitOutcome> outcome = shard->Submit();
        ASSERT_TRUE(outcome.ok()) << outcome.status();
        mine.push_back(outcome->id);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  std::vector<TaskId> all;
  for (const auto& some : ids) all.insert(all.end(), some.begin(), some.end());
  return all;
}

class ShardDurabilityTest : public testing::TestWithParam<const char*> {};

TEST_P(ShardDurabilityTest, EveryCallIsAnsweredAndKept) {
  TempFolder folder;
  std::vector<TaskId> ids;
  {
    Shard shard(OpenLog(folder.path(), GetParam()));
    ASSERT_TRUE(shard.engine().ready()) << shard.engine().failure();
    ids = SubmitFromManyThreads(&shard);
    ASSERT_EQ(ids.size(), size_t{kClients} * kTasksEach);
  }
  Shard again(OpenLog(folder.path(), GetParam()));
  ASSERT_TRUE(again.engine().ready()) << again.engine().failure();
  for (const TaskId id : ids) ASSERT_TRUE(again.Has(id)) << id.value;
}

INSTANTIATE_TEST_SUITE_P(Durabilities, ShardDurabilityTest, testing::Values("always", "interval=5", "os"));

TEST(ShardThreadsTest, TheMemoryJournalNeedsNoCommitOfItsOwn) {
  Shard shard(std::make_unique<MemJournal>());
  ASSERT_TRUE(shard.engine().ready());
  EXPECT_EQ(SubmitFromManyThreads(&shard).size(), size_t{kClients} * kTasksEach);
}

TEST(ShardThreadsTest, StopCommitsWhatIsAppended) {
  TempFolder folder;
  Lsn last = 0;
  {
    Shard shard(OpenLog(folder.path(), "always"));
    ASSERT_TRUE(shard.engine().ready());
    std::atomic<int> left{100};
    Event appended;
    for (int i = 0; i < 100; ++i) {
      shard.engine().Post([&] {
        TaskSpec spec;
        spec.queue = "q";
        shard.engine().queue().Submit(std::move(spec), 1'700'000'000'000, [](absl::StatusOr<SubmitOutcome>) {});
        if (--left == 0) appended.Set();
      });
    }
    appended.Wait();
    shard.Stop();
    last = shard.journal().last_lsn();
    EXPECT_EQ(shard.journal().durable_lsn(), last);
  }
  EXPECT_GE(last, 100u);
}

TEST(ShardThreadsTest, AShardThatDoesNotRecoverEnds) {
  TempFolder folder;
  std::unique_ptr<Journal> journal = OpenLog(folder.path(), "always");
  SystemClock clock;
  BackgroundThread background("background");
  auto engine = Engine::Create({}, &clock, journal.get(), &background, 11);
  ShardThreads threads(engine.get(), journal.get(), &clock);
  Event asked;
  threads.Start([&asked] {
    asked.Set();
    return false;
  });
  asked.Wait();
  bool ran = false;
  engine->Post([&ran] { ran = true; });
  threads.Stop();
  engine->Shutdown();
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace wheelpit
