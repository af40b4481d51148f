// What is special about the memory journal; the contract of all journals is tested with
// journal_log.
#include "server/journal/mem_journal.h"

#include <gtest/gtest.h>

#include <string>

namespace wheelpit {
namespace {

RecordView Record(RecordType type, absl::string_view payload) {
  RecordView record;
  record.type = type;
  record.payload = payload;
  return record;
}

TEST(MemJournalTest, KeepsNoReports) {
  MemJournal journal;
  const std::string payload(100'000, 'r');
  RecordPosition position;
  ASSERT_TRUE(journal.Append({Record(RecordType::kReport, payload)}, &position).ok());
  EXPECT_EQ(journal.Usage().garbage_bytes, 0u);
  EXPECT_EQ(journal.Usage().written_bytes, 100'020u);
  EXPECT_EQ(journal.Read(position).status().code(), absl::StatusCode::kNotFound);
}

TEST(MemJournalTest, ForgetsCommittedRecordsThatNobodyPinned) {
  MemJournal journal({.unpinned_bytes_max = 1000});
  RecordPosition first, pinned, last;
  const std::string payload(500, 's');
  ASSERT_TRUE(journal.Append({Record(RecordType::kSubmit, payload)}, &first).ok());
  ASSERT_TRUE(journal.Append({Record(RecordType::kSubmit, payload)}, &pinned).ok());
  journal.Pin(pinned, 500);
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(journal.Append({Record(RecordType::kSubmit, payload)}, &last).ok());
  EXPECT_TRUE(journal.Read(first).ok()) << "not committed yet";
  journal.Commit();
  ASSERT_TRUE(journal.Append({Record(RecordType::kSubmit, payload)}, &last).ok());
  EXPECT_FALSE(journal.Read(first).ok());
  EXPECT_TRUE(journal.Read(pinned).ok());
  EXPECT_TRUE(journal.Read(last).ok());
  EXPECT_LE(journal.Usage().garbage_bytes, 1000u);
  EXPECT_EQ(journal.Usage().live_bytes, 500u);
  journal.Unpin(pinned, 500);
  EXPECT_FALSE(journal.Read(pinned).ok());
}

TEST(MemJournalTest, AppendReservedIsAppend) {
  MemJournal journal;
  EXPECT_EQ(*journal.Append({Record(RecordType::kSubmit, "a")}, nullptr), 1u);
  EXPECT_EQ(*journal.AppendReserved({Record(RecordType::kDone, "b")}, nullptr), 2u);
  EXPECT_FALSE(journal.durable());
  EXPECT_EQ(journal.engine(), "memory");
}

}  // namespace
}  // namespace wheelpit
