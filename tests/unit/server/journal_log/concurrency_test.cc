// The threads that the contract names, all at once, on the real file system.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <string>
#include <thread>

#include "base/sync.h"
#include "tests/unit/server/journal_log/log_harness.h"

namespace wheelpit {
namespace {

TEST(ConcurrencyTest, EngineJournalCheckpointAndReadersWorkAtOnce) {
  std::string dir = testing::TempDir() + "/wheelpit_journal_XXXXXX";
  ASSERT_NE(mkdtemp(dir.data()), nullptr);
  SegmentedLogOptions options = LogLife::Options();
  options.dir = dir;
  options.segment_bytes = 64 << 10;
  options.disk_low_bytes = 0;
  options.durability = JournalDurability::kInterval;
  constexpr Lsn kRecords = 20'000;
  {
    auto log = *SegmentedLog::Open(options, PosixFileSystem());
    ASSERT_TRUE(log->Recover({}, nullptr).ok());
    log->PinsComplete();
    Mutex mu;
    CondVar work;
    bool waiting_work = false;
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> newest{0};
    std::atomic<uint64_t> reads{0};
    log->SetWorkAvailable([&] {
      MutexLock lock(&mu);
      waiting_work = true;
      work.Signal();
    });
    std::thread journal([&] {
      while (true) {
        while (log->Commit()) log->Sync();
        MutexLock lock(&mu);
        if (!waiting_work && stop) break;
        while (!waiting_work && !stop) work.Wait(&mu);
        waiting_work = false;
      }
    });
    std::thread reader([&] {
      while (!stop) {
        const RecordPosition position{newest.load(std::memory_order_acquire)};
        if (position.packed == 0) continue;
        const auto record = log->Read(position);
        // It may be unpinned and gone by now, but never another record or a broken one.
        if (record.ok()) {
          EXPECT_EQ(record->payload, PayloadOf(record->id, 100));
          ++reads;
        } else {
          EXPECT_EQ(record.status().code(), absl::StatusCode::kNotFound) << record.status();
        }
      }
    });
    std::thread checkpoints([&] {
      while (!stop) {
        const Lsn durable = log->durable_lsn();
        auto writer = log->BeginCheckpoint(durable);
        ASSERT_TRUE(writer.ok()) << writer.status();
        ASSERT_TRUE((*writer)->Add(FoldId::kQueue, durable, "0").ok());
        ASSERT_TRUE((*writer)->Finish().ok());
        log->Usage();
      }
    });
    std::deque<RecordPosition> pinned;
    for (Lsn lsn = 1; lsn <= kRecords; ++lsn) {
      const std::string payload = PayloadOf(lsn, 100);
      RecordView record;
      record.type = RecordType::kSubmit;
      record.id = lsn;
      record.payload = payload;
      RecordPosition position;
      ASSERT_TRUE(log->Append({record}, &position).ok());
      log->Pin(position, 100);
      pinned.push_back(position);
      newest.store(position.packed, std::memory_order_release);
      // The reader may still hold the newest few.
      if (pinned.size() > 5000) {
        log->Unpin(pinned.front(), 100);
        pinned.pop_front();
      }
    }
    stop = true;
    {
      MutexLock lock(&mu);
      work.Signal();
    }
    journal.join();
    reader.join();
    checkpoints.join();
    EXPECT_EQ(log->durable_lsn(), kRecords);
    EXPECT_TRUE(log->status().ok());
  }
  RememberingFold fold;
  auto log = *SegmentedLog::Open(options, PosixFileSystem());
  const auto recovered = log->Recover({&fold}, nullptr);
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->last_lsn, kRecords);
  log.reset();
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace wheelpit
