#include "server/journal_log/segmented_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "base/errors.h"
#include "tests/unit/server/journal_log/log_harness.h"

namespace wheelpit {
namespace {

using testing::HasSubstr;

class SegmentedLogTest : public testing::Test {
 protected:
  size_t Files(absl::string_view prefix) {
    size_t n = 0;
    for (const std::string& path : disk_.Paths())
      n += absl::StartsWith(path, absl::StrCat("/journal/", prefix));
    return n;
  }

  FaultFileSystem disk_{FaultOptions{.seed = 9}};
  SegmentedLogOptions options_ = LogLife::Options();
};

TEST_F(SegmentedLogTest, OneCommitIsOneWriteAndOneSync) {
  LogLife life(&disk_, options_);
  life.Append(10);
  life.log().Commit();
  const uint64_t writes = disk_.writes(), syncs = disk_.syncs();
  for (int i = 0; i < 20; ++i) life.Append(20);
  life.log().Commit();
  EXPECT_EQ(disk_.writes(), writes + 1);
  EXPECT_EQ(disk_.syncs(), syncs + 1);
  EXPECT_EQ(life.log().durable_lsn(), 21u);
}

TEST_F(SegmentedLogTest, AFailedSyncStopsItForGood) {
  LogLife life(&disk_, options_);
  life.Append(10);
  life.log().Commit();
  int observed = 0;
  life.log().SetDurableObserver([&] { ++observed; });
  life.Append(10);
  disk_.FailSync(1);
  EXPECT_FALSE(life.log().Commit());
  EXPECT_EQ(observed, 1);
  EXPECT_EQ(life.log().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(life.log().status()), "JOURNAL");
  EXPECT_EQ(life.log().durable_lsn(), 1u);
  EXPECT_EQ(life.Append(10), 0u);
  EXPECT_EQ(ErrorReason(life.append_status()), "JOURNAL");
  const uint64_t syncs = disk_.syncs();
  EXPECT_FALSE(life.log().Commit());
  EXPECT_FALSE(life.log().Sync());
  EXPECT_FALSE(life.log().BeginCheckpoint(1).ok());
  life.Close();
  EXPECT_EQ(disk_.syncs(), syncs) << "a file whose sync failed is never synced again";
}

TEST_F(SegmentedLogTest, AFailedWriteStopsItForGood) {
  LogLife life(&disk_, options_);
  life.Append(10);
  disk_.FailWrite(1);
  EXPECT_FALSE(life.log().Commit());
  EXPECT_EQ(life.log().durable_lsn(), 0u);
  EXPECT_EQ(ErrorReason(life.log().status()), "JOURNAL");
  EXPECT_FALSE(life.log().Commit());
}

TEST_F(SegmentedLogTest, IntervalAcknowledgesWrittenAndSyncsLater) {
  ASSERT_TRUE(ParseJournalDurability("interval=20", &options_).ok());
  LogLife life(&disk_, options_);
  EXPECT_EQ(life.log().sync_interval_ms(), 20);
  EXPECT_FALSE(life.log().Sync());
  const uint64_t syncs = disk_.syncs();
  life.Append(10);
  life.log().Commit();
  EXPECT_EQ(life.log().durable_lsn(), 1u);
  EXPECT_EQ(disk_.syncs(), syncs);
  EXPECT_TRUE(life.log().Sync());
  EXPECT_EQ(disk_.syncs(), syncs + 1);
  EXPECT_FALSE(life.log().Sync());
}

TEST_F(SegmentedLogTest, DurabilityIsParsed) {
  EXPECT_TRUE(ParseJournalDurability("always", &options_).ok());
  EXPECT_TRUE(ParseJournalDurability("os", &options_).ok());
  EXPECT_EQ(options_.durability, JournalDurability::kOs);
  for (const char* bad :
       {"", "never", "interval", "interval=", "interval=0", "interval=x", "interval=60001"}) {
    EXPECT_EQ(ParseJournalDurability(bad, &options_).code(), absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

TEST_F(SegmentedLogTest, SegmentsComeBackAndAreUsedAgain) {
  LogLife life(&disk_, options_);
  for (int i = 0; i < 3000; ++i) {
    life.Append(100);
    if (i % 10 == 9) life.log().Commit();
    if (i % 100 == 99) {
      ASSERT_TRUE(life.Checkpoint().ok());
    }
  }
  life.log().Commit();
  // 400 KB went through; what stays is what two checkpoints and the reserve need.
  EXPECT_LE(Files("seg-"), 8u);
  EXPECT_LE(Files("free-"), 3u);
  EXPECT_EQ(Files("ckpt-"), 2u);
  EXPECT_EQ(Files("reserve-"), 2u);
  EXPECT_EQ(life.log().Usage().segments, Files("seg-"));
  const auto before = life.fold().state();
  life.Close();
  LogLife again(&disk_, options_);
  ASSERT_TRUE(again.status().ok()) << again.status();
  EXPECT_EQ(again.fold().state(), before);
}

TEST_F(SegmentedLogTest, WhatARecycledSegmentHeldBeforeIsNeverRead) {
  // The second round writes less into the segment than the first left there.
  LogLife life(&disk_, options_);
  for (int i = 0; i < 200; ++i) {
    life.Append(100);
    life.log().Commit();
    if (i % 40 == 39) {
      ASSERT_TRUE(life.Checkpoint().ok());
    }
  }
  life.log().Commit();
  const auto before = life.fold().state();
  disk_.Crash();
  LogLife again(&disk_, options_);
  ASSERT_TRUE(again.status().ok()) << again.status();
  EXPECT_EQ(again.fold().state(), before);
}

TEST_F(SegmentedLogTest, APinnedSegmentStaysThroughRestarts) {
  RecordPosition kept;
  {
    LogLife life(&disk_, options_);
    life.Append(50);
    kept = life.position();
    life.log().Pin(kept, 50);
    for (int i = 0; i < 600; ++i) {
      life.Append(100);
      if (i % 60 == 59) {
        ASSERT_TRUE(life.Checkpoint().ok());
      }
    }
    life.log().Commit();
    EXPECT_EQ(life.log().Read(kept)->payload, PayloadOf(1, 50));
  }
  LogLife life(&disk_, options_, /*pins_complete=*/false);
  ASSERT_TRUE(life.status().ok()) << life.status();
  // The first record of a boot is durable before its folds have pinned what they need; it may even begin a segment.
  for (int i = 0; i < 200; ++i) {
    life.Append(100);
    life.log().Commit();
  }
  life.log().Pin(kept, 50);
  life.log().PinsComplete();
  life.Append(1);
  life.log().Commit();
  EXPECT_EQ(life.log().Read(kept)->payload, PayloadOf(1, 50));
  life.log().Unpin(kept, 50);
  life.log().Commit();
  EXPECT_EQ(life.log().Read(kept).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SegmentedLogTest, ACheckpointNeverKnowsMoreThanIsDurable) {
  LogLife life(&disk_, options_);
  life.Append(10);
  auto writer = life.log().BeginCheckpoint(0);
  ASSERT_TRUE((*writer)->Add(FoldId::kQueue, 1, "0").ok());
  EXPECT_EQ((*writer)->Finish().code(), absl::StatusCode::kFailedPrecondition);
  writer->reset();
  EXPECT_EQ(Files("ckpt-"), 0u);
}

TEST_F(SegmentedLogTest, LowDiskRefusesNewWorkTakesOldWorkAndHeals) {
  LogLife life(&disk_, options_);
  life.Append(10);
  life.log().Commit();
  disk_.SetDiskBytes(60'000);  // 3 files of 8 KiB and VERSION are there
  ASSERT_FALSE(life.log().Usage().disk_low);
  disk_.SetDiskBytes(36'000);
  life.Append(10);
  life.log().Commit();
  EXPECT_TRUE(life.log().Usage().disk_low);
  EXPECT_EQ(life.Append(10), 0u);
  EXPECT_EQ(life.append_status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(life.append_status()), "DISK_LOW");
  // Ends of tasks go on, past the segment in use, until the reserve is used up too.
  disk_.SetDiskBytes(25'000);  // no file more fits
  size_t ends = 0;
  while (life.Append(500, true) != 0) {
    ++ends;
    if (ends % 3 == 0) life.log().Commit();
    ASSERT_LT(ends, 1000u);
  }
  EXPECT_GT(ends, 35u);
  EXPECT_LT(ends, 60u);
  EXPECT_EQ(ErrorReason(life.append_status()), "DISK_LOW");
  life.log().Commit();
  EXPECT_EQ(life.log().durable_lsn(), life.log().last_lsn());
  EXPECT_EQ(Files("reserve-"), 0u);
  EXPECT_TRUE(life.log().status().ok());
  disk_.SetDiskBytes(1 << 20);
  EXPECT_NE(life.Append(10), 0u) << "heals by itself";
  EXPECT_TRUE(life.log().Commit());
  EXPECT_FALSE(life.log().Usage().disk_low);
  EXPECT_EQ(Files("reserve-"), 2u);
  const auto before = life.fold().state();
  disk_.PowerCut();
  LogLife again(&disk_, options_);
  ASSERT_TRUE(again.status().ok()) << again.status();
  EXPECT_EQ(again.fold().state(), before);
}

TEST_F(SegmentedLogTest, OldWorkGoesOnUntilOnlyTheReserveIsFree) {
  options_.disk_low_bytes = 64 << 10;  // the reserve: 16 KiB
  LogLife life(&disk_, options_);
  disk_.SetDiskBytes(1 << 20);
  life.Append(10);
  life.log().Commit();
  const auto leave = [&](uint64_t free_bytes) {
    disk_.SetDiskBytes((1 << 20) - life.log().Usage().free_bytes + free_bytes);
    ASSERT_EQ(life.log().Usage().free_bytes, free_bytes);
    life.log().Commit();
  };
  leave(60 << 10);
  EXPECT_EQ(life.Append(10), 0u);
  EXPECT_EQ(ErrorReason(life.append_status()), "DISK_LOW");
  // New segments may be made of what is more than the reserve's size, and no others.
  size_t ongoing = 0;
  while (life.AppendOngoing(500) != 0) {
    if (++ongoing % 3 == 0) life.log().Commit();
    ASSERT_LT(ongoing, 1000u);
  }
  EXPECT_EQ(ErrorReason(life.append_status()), "DISK_LOW");
  EXPECT_GT(ongoing, 4 * 8192 / 600u);
  life.log().Commit();
  EXPECT_GE(life.log().Usage().free_bytes, 16u << 10);
  EXPECT_EQ(Files("reserve-"), 2u) << "for ends of tasks";
  EXPECT_NE(life.Append(10, true), 0u);
  life.log().Commit();
  disk_.SetDiskBytes(1 << 20);
  EXPECT_NE(life.AppendOngoing(10), 0u);
  life.log().Commit();
  EXPECT_FALSE(life.log().Usage().disk_low) << "heals by itself";
}

TEST_F(SegmentedLogTest, BelowTheReserveOnlyEndsOfTasksAreTaken) {
  options_.disk_low_bytes = 64 << 10;
  LogLife life(&disk_, options_);
  life.Append(10);
  life.log().Commit();
  const uint64_t before = life.log().Usage().free_bytes;
  disk_.SetDiskBytes(40'000);  // 3 files of 8 KiB and VERSION are there
  const uint64_t free_bytes = life.log().Usage().free_bytes;
  ASSERT_LT(free_bytes, before);
  ASSERT_LT(free_bytes, 16u << 10);
  life.log().Commit();
  EXPECT_EQ(life.Append(10), 0u);
  EXPECT_EQ(life.AppendOngoing(10), 0u);
  EXPECT_EQ(ErrorReason(life.append_status()), "DISK_LOW");
  EXPECT_NE(life.Append(10, true), 0u);
  disk_.SetDiskBytes(60'000);
  EXPECT_EQ(life.Append(10), 0u);
  EXPECT_NE(life.AppendOngoing(10), 0u);
}

TEST_F(SegmentedLogTest, ThePayloadLimitIsWhatARecordTakesWithTheLargestMeta) {
  for (const uint64_t segment_bytes : {uint64_t{1} << 20, uint64_t{64} << 20}) {
    options_.segment_bytes = segment_bytes;
    LogLife life(&disk_, options_);
    ASSERT_TRUE(life.status().ok());
    const uint64_t most = life.log().payload_bytes_max();
    EXPECT_EQ(most, SegmentedLog::PayloadBytesMax(options_));
    RecordView record;
    record.type = RecordType::kSubmit;
    const std::string meta(kRecordMetaMax, 'm');
    const std::string payload(most + 1, 'p');
    record.meta = meta;
    record.payload = absl::string_view(payload).substr(0, most);
    EXPECT_TRUE(life.log().Append({record}, nullptr).ok());
    record.payload = payload;
    EXPECT_EQ(ErrorReason(life.log().Append({record}, nullptr).status()), "RECORD_TOO_LARGE");
    life.Close();
  }
}

TEST_F(SegmentedLogTest, AFullDiskInTheMiddleOfAWriteIsTriedAgain) {
  LogLife life(&disk_, options_);
  life.Append(10);
  life.log().Commit();
  life.Append(700);
  disk_.SetWritesFull(true);
  EXPECT_FALSE(life.log().Commit());
  EXPECT_TRUE(life.log().status().ok());
  EXPECT_EQ(life.log().durable_lsn(), 1u);
  EXPECT_EQ(life.log().Read(life.position())->payload, PayloadOf(2, 700));
  life.Append(10);
  EXPECT_FALSE(life.log().Commit());
  int woken = 0;
  life.log().SetWorkAvailable([&] { ++woken; });
  disk_.SetWritesFull(false);
  life.Append(10);
  EXPECT_EQ(woken, 1) << "the commit that waits for space must be tried again";
  EXPECT_TRUE(life.log().Commit()) << "with all that was appended meanwhile";
  EXPECT_EQ(life.log().durable_lsn(), 4u);
  const auto before = life.fold().state();
  disk_.PowerCut();
  LogLife again(&disk_, options_);
  ASSERT_TRUE(again.status().ok()) << again.status();
  EXPECT_EQ(again.fold().state(), before);
}

TEST_F(SegmentedLogTest, ASecondProcessIsRefused) {
  LogLife life(&disk_, options_);
  ASSERT_TRUE(life.status().ok());
  LogLife second(&disk_, options_);
  EXPECT_EQ(ErrorReason(second.status()), "LOCKED");
  life.Close();
  LogLife third(&disk_, options_);
  EXPECT_TRUE(third.status().ok()) << third.status();
}

TEST_F(SegmentedLogTest, OptionsAreChecked) {
  options_.segment_bytes = 5000;
  EXPECT_EQ(LogLife(&disk_, options_).status().code(), absl::StatusCode::kInvalidArgument);
  options_.segment_bytes = 512 << 20;
  EXPECT_EQ(LogLife(&disk_, options_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SegmentedLogTest, TheSizeOfSegmentsMayChangeBetweenStarts) {
  std::map<Lsn, std::string> before;
  for (const uint64_t bytes : {8192, 16384, 4096}) {
    options_.segment_bytes = bytes;
    LogLife life(&disk_, options_);
    ASSERT_TRUE(life.status().ok()) << life.status();
    EXPECT_EQ(life.fold().state(), before);
    for (int i = 0; i < 200; ++i) {
      life.Append(100);
      if (i % 10 == 0) life.log().Commit();
      if (i % 50 == 49) {
        ASSERT_TRUE(life.Checkpoint().ok());
      }
    }
    life.log().Commit();
    before = life.fold().state();
  }
}

TEST_F(SegmentedLogTest, ReadOfADamagedRecordIsDataLoss) {
  LogLife life(&disk_, options_);
  life.Append(100);
  life.log().Commit();
  const std::string path = "/journal/seg-1.log";
  disk_.Flip(path, disk_.Content(path).find("record 1"), 1);
  EXPECT_EQ(life.log().Read(life.position()).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(life.log().Read(RecordPosition{0}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace wheelpit
