// The vectors E1-E9 of the exact engine, from the reports on.
#include <gtest/gtest.h>

#include "tests/unit/server/ingest/ingest_world.h"

namespace wheelpit {
namespace {

class ReportVectorsTest : public testing::Test {
 protected:
  // Deltas 3@0.5 5@1.2 2@1.9 7@3.0 of one reporter.
  void SendE1() {
    stream_ = std::make_unique<TestStream>(&p_, Hello("r"), 0);
    ASSERT_TRUE(stream_->Apply(Batch(1).Define(1, "x_total").Count(1, 3), 500)->ok());
    ASSERT_TRUE(stream_->Apply(Batch(2).Count(1, 5), 1200)->ok());
    ASSERT_TRUE(stream_->Apply(Batch(3).Count(1, 2), 1900)->ok());
    ASSERT_TRUE(stream_->Apply(Batch(4).Count(1, 7), 3000)->ok());
  }
  JournalDisk disk_;
  Process p_{&disk_, 0};
  std::unique_ptr<TestStream> stream_;
};

TEST_F(ReportVectorsTest, E1) {
  SendE1();
  EXPECT_EQ(p_.Increase("x_total", 3400, 3000), 10);
  EXPECT_EQ(p_.Total("x_total"), 17);
}

TEST_F(ReportVectorsTest, E2AResendChangesNothingAndIsAcknowledged) {
  SendE1();
  TestStream again(&p_, Hello("r"), 3100);
  EXPECT_EQ(again.outcome.applied_seq, 4u);
  const auto ack = again.Apply(Batch(2).Define(9, "x_total").Count(9, 5).Age(2000), 3200);
  ASSERT_TRUE(ack->ok()) << ack->message();
  EXPECT_EQ(ack->ack().through_seq, 4u);
  EXPECT_EQ(p_.Increase("x_total", 3400, 3000), 10);
  EXPECT_EQ(p_.Total("x_total"), 17);
}

TEST_F(ReportVectorsTest, E3AgeMovesACountToWhenItHappened) {
  SendE1();
  ASSERT_TRUE(stream_->Apply(Batch(5).Count(1, 4).Age(1500), 4100)->ok());
  EXPECT_EQ(p_.Increase("x_total", 4400, 3000), 18);
  EXPECT_EQ(p_.Total("x_total"), 21);
}

TEST_F(ReportVectorsTest, E4AndE9ANewIncarnationGoesOnFromTheTotal) {
  SendE1();
  ASSERT_TRUE(stream_->Apply(Batch(5).Count(1, 4).Age(1500), 4100)->ok());
  TestStream restarted(&p_, Hello("r", 2), 4500);
  ASSERT_TRUE(restarted.Apply(Batch(1).Define(1, "x_total").Count(1, 6), 5000)->ok());
  EXPECT_EQ(p_.Increase("x_total", 6000, 1000), 6);
  EXPECT_EQ(p_.Increase("x_total", 3000, 3000), 14);
  EXPECT_EQ(p_.Increase("x_total", 6000, 3000), 13);
  EXPECT_EQ(p_.Increase("x_total", 6000, 6000), 27);
  EXPECT_EQ(p_.Total("x_total"), 27);
}

TEST_F(ReportVectorsTest, E5SilenceOfALiveReporterIsZero) {
  SendE1();
  stream_->stream->Heartbeat(70'000);
  EXPECT_EQ(p_.Increase("x_total", 73'000, 60'000), 0);
  EXPECT_EQ(p_.FreshnessOf("x_total", 73'000), Freshness::kLive);
}

TEST_F(ReportVectorsTest, E6SilenceOfTheOnlyReporterIsUnknown) {
  SendE1();
  EXPECT_EQ(p_.FreshnessOf("x_total", 13'000), Freshness::kLive);
  EXPECT_EQ(p_.FreshnessOf("x_total", 13'001), Freshness::kUnknown);
}

TEST_F(ReportVectorsTest, E8ACrashBetweenTheJournalAndTheAckCountsOnce) {
  SendE1();
  // Journaled, never acknowledged.
  const auto lost = stream_->Send(Batch(5).Count(1, 4), 4000);
  p_.journal.Commit();
  EXPECT_TRUE(lost->pending());
  Process restarted(&disk_, 5000);
  EXPECT_EQ(restarted.Total("x_total"), 21);
  const uint64_t duplicates = OwnMetrics().AddCounter("wheelpit_batches_received_total", "", {{"result", "duplicate"}})->value();
  TestStream again(&restarted, Hello("r", 1, 4), 5100);
  EXPECT_EQ(again.outcome.applied_seq, 5u);
  const auto ack = again.Apply(Batch(5).Define(1, "x_total").Count(1, 4).Age(1000), 5200);
  ASSERT_TRUE(ack->ok()) << ack->message();
  EXPECT_EQ(restarted.Total("x_total"), 21);
  EXPECT_EQ(OwnMetrics().AddCounter("wheelpit_batches_received_total", "", {{"result", "duplicate"}})->value(), duplicates + 1);
  EXPECT_EQ(restarted.Increase("x_total", 3400, 3000), 10) << "rings outlive the restart";
}

}  // namespace
}  // namespace wheelpit
