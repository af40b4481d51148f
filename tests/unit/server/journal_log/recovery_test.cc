#include "server/journal_log/recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "base/errors.h"
#include "server/journal_log/layout.h"
#include "tests/unit/server/journal_log/log_harness.h"

namespace wheelpit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class RecoveryTest : public testing::Test {
 protected:
  // Lives through `records` records in commits of 3, cleanly closed.
  std::map<Lsn, std::string> Fill(int records, size_t payload_bytes, bool checkpoint = false) {
    LogLife life(&disk_, options_);
    EXPECT_TRUE(life.status().ok()) << life.status();
    for (int i = 1; i <= records; ++i) {
      EXPECT_NE(life.Append(payload_bytes), 0u);
      if (i % 3 == 0) life.log().Commit();
      if (checkpoint && i == records / 2) {
        EXPECT_TRUE(life.Checkpoint().ok());
      }
    }
    life.log().Commit();
    return life.fold().state();
  }

  std::vector<std::string> Segments(const FaultFileSystem& disk) {
    std::vector<std::pair<size_t, std::string>> found;
    for (const std::string& path : disk.Paths()) {
      if (absl::StartsWith(path, "/journal/seg-")) found.emplace_back(path.size(), path);
    }
    std::sort(found.begin(), found.end());
    std::vector<std::string> paths;
    for (auto& [size, path] : found) paths.push_back(path);
    return paths;
  }

  FaultFileSystem disk_{FaultOptions{.seed = 3}};
  SegmentedLogOptions options_ = LogLife::Options();
};

TEST_F(RecoveryTest, ReplaysAllSegmentsInOrder) {
  const auto before = Fill(200, 100);
  EXPECT_GT(Segments(disk_).size(), 3u);
  LogLife life(&disk_, options_);
  ASSERT_TRUE(life.status().ok()) << life.status();
  EXPECT_FALSE(life.result().created);
  EXPECT_EQ(life.result().last_lsn, 200u);
  EXPECT_EQ(life.result().replayed_records, 200u);
  EXPECT_EQ(life.result().cut_bytes, 0u);
  EXPECT_EQ(life.fold().state(), before);
  for (const auto& [lsn, position] : life.fold().positions()) {
    const auto record = life.log().Read(position);
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->payload, before.at(lsn));
  }
}

TEST_F(RecoveryTest, EveryTruncationLeavesAPrefixThatGoesOn) {
  const auto before = Fill(24, 20);
  const std::string path = Segments(disk_).back();
  const std::string whole = disk_.Content(path);
  size_t end = whole.find_last_not_of('\0') + 1;
  FaultFileSystem copy{FaultOptions{.seed = 3}};
  size_t least = 0;
  for (size_t n = 0; n <= end; ++n) {
    copy.CopyFrom(disk_);
    copy.SetContent(path, whole.substr(0, n));
    size_t kept = 0;
    {
      LogLife life(&copy, options_);
      ASSERT_TRUE(life.status().ok()) << n << ": " << life.status();
      ExpectPrefix(before, life.fold().state(), 0);
      kept = life.fold().state().size();
      ASSERT_GE(kept, least) << "a longer file holds less";
      least = kept;
      ASSERT_EQ(life.Append(30), kept + 1);
      ASSERT_TRUE(life.log().Commit());
    }
    LogLife again(&copy, options_);
    ASSERT_TRUE(again.status().ok()) << n << ": " << again.status();
    ASSERT_EQ(again.fold().state().size(), kept + 1);
    ASSERT_EQ(again.fold().state().at(kept + 1), PayloadOf(kept + 1, 30));
  }
  EXPECT_EQ(least, before.size());
}

TEST_F(RecoveryTest, EveryFlippedByteIsRefusedOrHarmless) {
  options_.segment_bytes = 4096;
  options_.reserve_segments = 0;
  const auto before = Fill(60, 60, true);
  FaultFileSystem copy{FaultOptions{.seed = 3}};
  int refused = 0, harmless = 0;
  for (const std::string& path : disk_.Paths()) {
    // Of what was never written, a sample.
    const size_t size = disk_.Content(path).size();
    const size_t written = disk_.Content(path).find_last_not_of('\0') + 1;
    for (size_t at = 0; at < size; at += at < written ? 1 : 97) {
      copy.CopyFrom(disk_);
      copy.Flip(path, at, static_cast<uint8_t>(1 << at % 8));
      LogLife life(&copy, options_);
      if (!life.status().ok()) {
        ASSERT_THAT(life.status().code(), testing::AnyOf(absl::StatusCode::kDataLoss,
                                                         absl::StatusCode::kFailedPrecondition))
            << path << " byte " << at << ": " << life.status();
        ++refused;
        continue;
      }
      // It was closed, so even the last frame is known to have been promised.
      ASSERT_EQ(life.fold().state(), before) << path << " byte " << at;
      ++harmless;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(harmless, 1000) << "those in checkpoints: the whole log is still there";
}

TEST_F(RecoveryTest, ATornLastFrameIsCutAndSaid) {
  Fill(9, 200);
  disk_.CopyFrom(disk_);
  std::map<Lsn, std::string> before;
  {
    LogLife life(&disk_, options_);
    life.Append(600);
    ASSERT_TRUE(life.log().Commit());
    before = life.fold().state();
    disk_.Crash();  // no clean end
  }
  const std::string path = Segments(disk_).back();
  const size_t at = disk_.Content(path).find("record 10");
  disk_.Flip(path, at, 1);
  LogLife life(&disk_, options_);
  ASSERT_TRUE(life.status().ok()) << life.status();
  EXPECT_EQ(life.result().last_lsn, 9u);
  EXPECT_GT(life.result().cut_bytes, 600u);
}

TEST_F(RecoveryTest, DamageToPromisedRecordsIsRefusedWithWhatToDo) {
  const auto before = Fill(30, 100);
  const std::string path = Segments(disk_).front();
  disk_.Flip(path, disk_.Content(path).find("record 7 "), 0x20);
  LogLife life(&disk_, options_);
  EXPECT_EQ(life.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ErrorReason(life.status()), "CORRUPT");
  EXPECT_THAT(std::string(life.status().message()),
              AllOf(HasSubstr(path), HasSubstr("segment 1"), HasSubstr("offset "),
                    HasSubstr("lsn 7"), HasSubstr("backup"), HasSubstr("--journal_repair")));
}

TEST_F(RecoveryTest, NoRepairIsOfferedForDamageBelowTheCheckpoint) {
  Fill(30, 100, /*checkpoint=*/true);
  const std::string path = Segments(disk_).front();
  disk_.Flip(path, disk_.Content(path).find("record 7 "), 0x20);
  for (const bool repair : {false, true}) {
    options_.repair = repair;
    LogLife life(&disk_, options_);
    EXPECT_EQ(ErrorReason(life.status()), "CORRUPT") << repair;
    EXPECT_THAT(std::string(life.status().message()),
                AllOf(HasSubstr("lsn 7"), HasSubstr("backup"),
                      HasSubstr("--journal_repair cannot help"),
                      testing::Not(HasSubstr("start once with"))))
        << repair;
  }
}

TEST_F(RecoveryTest, RepairKeepsWhatIsBeforeTheDamageAndSetsTheRestAside) {
  const auto before = Fill(150, 100);
  const auto segments = Segments(disk_);
  ASSERT_GT(segments.size(), 2u);
  const std::string damaged_bytes = disk_.Content(segments[0]);
  disk_.Flip(segments[0], damaged_bytes.find("record 7 "), 0x20);
  options_.repair = true;
  {
    LogLife life(&disk_, options_);
    ASSERT_TRUE(life.status().ok()) << life.status();
    EXPECT_EQ(life.result().last_lsn, 6u);
    ExpectPrefix(before, life.fold().state(), 6);
    life.Append(10);
    life.log().Commit();
  }
  EXPECT_THAT(disk_.Paths(),
              testing::Contains("/journal/damaged-" + segments[1].substr(strlen("/journal/"))));
  EXPECT_THAT(disk_.Paths(), testing::Not(testing::Contains(segments[1])));
  EXPECT_THAT(disk_.Content("/journal/damaged-seg-1.log"), HasSubstr("record 8 "));
  options_.repair = false;
  LogLife again(&disk_, options_);
  ASSERT_TRUE(again.status().ok()) << again.status();
  EXPECT_EQ(again.result().last_lsn, 7u);
}

TEST_F(RecoveryTest, AMissingSegmentIsRefused) {
  Fill(200, 100);
  const auto segments = Segments(disk_);
  FaultFileSystem copy{FaultOptions{.seed = 3}};
  for (size_t i = 0; i + 1 < segments.size(); ++i) {
    copy.CopyFrom(disk_);
    ASSERT_TRUE(copy.Unlink(segments[i]).ok());
    LogLife life(&copy, options_);
    EXPECT_EQ(life.status().code(), absl::StatusCode::kDataLoss) << segments[i];
  }
}

TEST_F(RecoveryTest, CheckpointAndTailEqualTheWhole) {
  std::map<Lsn, std::string> before;
  {
    LogLife life(&disk_, options_);
    for (int i = 0; i < 100; ++i) {
      life.Append(100);
      if (i % 3 == 0) life.log().Commit();
      if (i % 20 == 19) {
        ASSERT_TRUE(life.Checkpoint().ok());
      }
    }
    life.log().Commit();
    before = life.fold().state();
  }
  LogLife life(&disk_, options_);
  ASSERT_TRUE(life.status().ok()) << life.status();
  EXPECT_GT(life.result().checkpoint_lsn, 80u);
  EXPECT_EQ(life.fold().first_replayed(), life.result().checkpoint_lsn + 1);
  EXPECT_EQ(life.fold().state(), before);
}

TEST_F(RecoveryTest, ABrokenNewestCheckpointMeansTheOlderAndALongerReplay) {
  std::map<Lsn, std::string> before;
  {
    LogLife life(&disk_, options_);
    for (int i = 0; i < 100; ++i) {
      life.Append(100);
      if (i % 20 == 19) {
        ASSERT_TRUE(life.Checkpoint().ok());
      }
    }
    life.log().Commit();
    before = life.fold().state();
  }
  std::vector<Lsn> lsns;
  for (const std::string& path : disk_.Paths()) {
    if (const auto lsn = NumberInName(path, "/journal/ckpt-", ".bin")) lsns.push_back(*lsn);
  }
  ASSERT_EQ(lsns.size(), 2u);
  const Lsn newest = std::max(lsns[0], lsns[1]);
  const std::string path = absl::StrCat("/journal/ckpt-", newest, ".bin");
  const size_t size = disk_.Content(path).size();
  FaultFileSystem copy{FaultOptions{.seed = 3}};
  for (size_t at = 0; at < size; at += 61) {
    copy.CopyFrom(disk_);
    copy.Flip(path, at, 0x10);
    LogLife life(&copy, options_);
    ASSERT_TRUE(life.status().ok()) << life.status();
    ASSERT_EQ(life.result().checkpoint_lsn, std::min(lsns[0], lsns[1]));
    ASSERT_EQ(life.fold().state(), before);
  }
  copy.CopyFrom(disk_);
  for (const Lsn lsn : lsns) copy.Flip(absl::StrCat("/journal/ckpt-", lsn, ".bin"), 40, 1);
  LogLife life(&copy, options_);
  EXPECT_EQ(life.status().code(), absl::StatusCode::kDataLoss)
      << "the start of the journal is recycled by now";
}

TEST_F(RecoveryTest, VersionIsChecked) {
  Fill(3, 10);
  const std::string version = disk_.Content("/journal/VERSION");
  EXPECT_THAT(version, testing::StartsWith("wheelpit-journal\nformat 1\nlog_id "));
  disk_.SetContent("/journal/VERSION", "wheelpit-journal\nformat 2\nwhat comes then\n");
  EXPECT_THAT(std::string(LogLife(&disk_, options_).status().message()),
              HasSubstr("newer release"));
  disk_.SetContent("/journal/VERSION", "wheelpit-journal\nformat 0\n");
  EXPECT_EQ(ErrorReason(LogLife(&disk_, options_).status()), "OLDER_FORMAT");
  ASSERT_TRUE(disk_.Unlink("/journal/VERSION").ok());
  EXPECT_EQ(LogLife(&disk_, options_).status().code(), absl::StatusCode::kDataLoss);
  disk_.SetContent("/journal/VERSION", version);
  EXPECT_TRUE(LogLife(&disk_, options_).status().ok());
}

TEST_F(RecoveryTest, FramesOfAnotherJournalAreNone) {
  Fill(3, 10);
  const std::string foreign = disk_.Content("/journal/seg-1.log");
  FaultFileSystem other{FaultOptions{.seed = 4}};
  options_.random_seed = 99;
  { LogLife life(&other, options_); }
  other.SetContent("/journal/seg-1.log", foreign);
  LogLife life(&other, options_);
  ASSERT_TRUE(life.status().ok());
  EXPECT_EQ(life.result().last_lsn, 0u);
}

TEST_F(RecoveryTest, RestoredIsPassedOn) {
  Fill(3, 10);
  options_.restored = true;
  EXPECT_TRUE(LogLife(&disk_, options_).result().restored);
}

}  // namespace
}  // namespace wheelpit
