// What holds for every journal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/journal/mem_journal.h"
#include "server/journal_log/segmented_log.h"
#include "tests/support/fault_file.h"

namespace wheelpit {
namespace {

RecordView Submit(uint64_t id, absl::string_view meta, absl::string_view payload) {
  RecordView record;
  record.type = RecordType::kSubmit;
  record.flags = 3;
  record.id = id;
  record.meta = meta;
  record.payload = payload;
  return record;
}

class JournalContractTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "memory") {
      journal_ = std::make_unique<MemJournal>();
    } else {
      SegmentedLogOptions options;
      options.dir = "/journal";
      options.segment_bytes = 64 << 10;
      options.random_seed = 5;
      ASSERT_TRUE(ParseJournalDurability(GetParam(), &options).ok());
      auto log = SegmentedLog::Open(options, &disk_);
      ASSERT_TRUE(log.ok()) << log.status();
      journal_ = *std::move(log);
    }
    const auto recovered = journal_->Recover({}, nullptr);
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    journal_->PinsComplete();
    EXPECT_TRUE(recovered->created);
    EXPECT_EQ(recovered->last_lsn, 0u);
  }

  Lsn Append(const std::vector<RecordView>& records, std::vector<RecordPosition>* positions) {
    positions->resize(records.size());
    const auto lsn = journal_->Append(records, positions->data());
    EXPECT_TRUE(lsn.ok()) << lsn.status();
    return lsn.value_or(0);
  }

  FaultFileSystem disk_{FaultOptions{.seed = 1}};
  std::unique_ptr<Journal> journal_;
  std::vector<RecordPosition> positions_;
};

TEST_P(JournalContractTest, NumbersRecordsFromOneWithoutHoles) {
  EXPECT_EQ(Append({Submit(1, "m", "a"), Submit(2, "m", "b")}, &positions_), 1u);
  EXPECT_EQ(Append({Submit(3, "m", "c")}, &positions_), 3u);
  EXPECT_EQ(journal_->last_lsn(), 3u);
}

TEST_P(JournalContractTest, NothingIsDurableBeforeCommit) {
  Append({Submit(1, "m", "a")}, &positions_);
  EXPECT_EQ(journal_->durable_lsn(), 0u);
  EXPECT_TRUE(journal_->Commit());
  EXPECT_EQ(journal_->durable_lsn(), 1u);
  EXPECT_FALSE(journal_->Commit());
}

TEST_P(JournalContractTest, ReadsBackBeforeAndAfterCommit) {
  const std::string large(20'000, 'x');
  Append({Submit(1, "meta", "first"), Submit(2, "", large), Submit(3, "m", "")}, &positions_);
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < 3; ++i) {
      const auto record = journal_->Read(positions_[i]);
      ASSERT_TRUE(record.ok()) << record.status();
      EXPECT_EQ(record->type, RecordType::kSubmit);
      EXPECT_EQ(record->flags, 3);
      EXPECT_EQ(record->id, i + 1);
      EXPECT_EQ(record->meta, std::vector<std::string>({"meta", "", "m"})[i]);
      EXPECT_EQ(record->payload, std::vector<std::string>({"first", large, ""})[i]);
    }
    journal_->Commit();
  }
}

TEST_P(JournalContractTest, PositionsDifferAndAreNeverZero) {
  std::vector<RecordView> records;
  for (uint64_t i = 1; i <= 100; ++i) records.push_back(Submit(i, "m", ""));
  Append(records, &positions_);
  for (size_t i = 0; i < positions_.size(); ++i) {
    EXPECT_NE(positions_[i].packed, 0u);
    if (i > 0) {
      EXPECT_GT(positions_[i].packed, positions_[i - 1].packed);
    }
  }
}

TEST_P(JournalContractTest, KeepsPinnedRecordsReadableThroughCheckpoints) {
  const std::string filler(30'000, 'f');
  Append({Submit(1, "m", "kept")}, &positions_);
  const RecordPosition kept = positions_[0];
  journal_->Pin(kept, 100);
  EXPECT_EQ(journal_->Usage().live_bytes, 100u);
  for (int i = 0; i < 20; ++i) {
    Append({Submit(2, "m", filler)}, &positions_);
    journal_->Commit();
    auto checkpoint = journal_->BeginCheckpoint(journal_->last_lsn());
    ASSERT_TRUE(checkpoint.ok());
    ASSERT_TRUE((*checkpoint)->Add(FoldId::kQueue, journal_->last_lsn(), "state").ok());
    ASSERT_TRUE((*checkpoint)->Finish().ok());
  }
  journal_->Commit();
  EXPECT_EQ(journal_->Read(kept)->payload, "kept");
  journal_->Unpin(kept, 100);
  EXPECT_EQ(journal_->Usage().live_bytes, 0u);
  journal_->Commit();
  EXPECT_EQ(journal_->Read(kept).status().code(), absl::StatusCode::kNotFound);
}

TEST_P(JournalContractTest, WakesForWorkAndTellsTheObserver) {
  int woken = 0, observed = 0;
  journal_->SetWorkAvailable([&] { ++woken; });
  journal_->SetDurableObserver([&] { ++observed; });
  Append({Submit(1, "m", "a")}, &positions_);
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(observed, 0);
  journal_->Commit();
  EXPECT_EQ(observed, 1);
  journal_->Commit();
  EXPECT_EQ(observed, 1);
  EXPECT_TRUE(journal_->status().ok());
}

TEST_P(JournalContractTest, RefusesWhatIsTooLargeAndAppendsNothing) {
  const std::string meta(kRecordMetaMax + 1, 'm');
  EXPECT_EQ(journal_->Append({Submit(1, "m", "a"), Submit(1, meta, "")}, nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
  const std::string payload((16 << 20) + kRecordMetaMax + 1, 'p');
  EXPECT_EQ(journal_->Append({Submit(1, "m", payload)}, nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(journal_->last_lsn(), 0u);
  EXPECT_FALSE(journal_->Commit());
}

TEST_P(JournalContractTest, EarlierPositionsStayReadableWhileNewOnesAreAppended) {
  std::vector<RecordPosition> all;
  for (uint64_t i = 0; i < 300; ++i) {
    Append({Submit(i, "m", std::string(i * 7, 'p'))}, &positions_);
    journal_->Pin(positions_[0], 1);
    all.push_back(positions_[0]);
    if (i % 3 == 0) journal_->Commit();
  }
  for (uint64_t i = 0; i < 300; ++i) {
    const auto record = journal_->Read(all[i]);
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->id, i);
    EXPECT_EQ(record->payload.size(), i * 7);
  }
}

INSTANTIATE_TEST_SUITE_P(Journals, JournalContractTest,
                         testing::Values("memory", "always", "interval=50", "os"),
                         [](const auto& param) {
                           return param.param == "interval=50" ? "interval" : param.param;
                         });

}  // namespace
}  // namespace wheelpit
