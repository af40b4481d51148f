#include "server/ingest/record_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/errors.h"
#include "base/random.h"

namespace wheelpit {
namespace {

using testing::ElementsAre;

RecordView View(RecordType type, const std::string& meta, const std::string& payload) {
  RecordView v;
  v.type = type;
  v.meta = meta;
  v.payload = payload;
  return v;
}

TEST(RecordCodecTest, AReportReadsBackWhole) {
  ReportHeader header;
  header.at_ms = 123'456;
  header.reporter = "ns/pod/c";
  header.reporter_number = 9;
  header.incarnation = std::numeric_limits<uint64_t>::max();
  header.seq = 42;
  header.age_ms = 7;
  header.interval_ms = 1000;
  header.content_crc = 0xdeadbeef;
  header.drained = true;
  ReportDefinitions definitions;
  Family family;
  family.name = "x_total";
  family.type = MetricType::kCounter;
  family.help = "Help.";
  family.unit = "bytes";
  family.gauge_merge = GaugeMerge::kMax;
  family.bucket_bounds = {0.5, 1};
  definitions.families = {family};
  definitions.series = {{3, "x_total", Labels({{"a", "1"}, {"b", "2"}})}};
  ReportColumns columns;
  columns.counter_ids = {3, 4};
  columns.counter_deltas = {0, std::numeric_limits<uint64_t>::max()};
  columns.fraction_ids = {5};
  columns.fraction_deltas = {0.1};
  columns.gauge_ids = {6};
  columns.gauge_values = {-1.5};
  columns.gauge_removes = {7, 8};
  columns.subs = {{9, {1, 2, 3}}};
  columns.cumulative_ids = {10};
  columns.cumulative_values = {2.5};
  columns.cumulative_integral_ids = {11};
  columns.cumulative_integral_values = {(uint64_t{1} << 60) + 1};
  std::string meta, payload;
  EncodeReport(header, definitions, columns, &meta, &payload);
  const auto back = DecodeReport(View(RecordType::kReport, meta, payload));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->header.at_ms, header.at_ms);
  EXPECT_EQ(back->header.reporter, header.reporter);
  EXPECT_EQ(back->header.reporter_number, header.reporter_number);
  EXPECT_EQ(back->header.incarnation, header.incarnation);
  EXPECT_EQ(back->header.seq, header.seq);
  EXPECT_EQ(back->header.age_ms, header.age_ms);
  EXPECT_EQ(back->header.interval_ms, header.interval_ms);
  EXPECT_EQ(back->header.content_crc, header.content_crc);
  EXPECT_FALSE(back->header.goodbye);
  EXPECT_TRUE(back->header.drained);
  EXPECT_FALSE(back->header.hello);
  ASSERT_EQ(back->definitions.families.size(), 1u);
  EXPECT_EQ(back->definitions.families[0].help, "Help.");
  EXPECT_EQ(back->definitions.families[0].unit, "bytes");
  EXPECT_EQ(back->definitions.families[0].gauge_merge, GaugeMerge::kMax);
  EXPECT_THAT(back->definitions.families[0].bucket_bounds, ElementsAre(0.5, 1));
  ASSERT_EQ(back->definitions.series.size(), 1u);
  EXPECT_EQ(back->definitions.series[0].id, 3u);
  EXPECT_EQ(back->definitions.series[0].labels, Labels({{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(back->columns.counter_ids, columns.counter_ids);
  EXPECT_EQ(back->columns.counter_deltas, columns.counter_deltas);
  EXPECT_EQ(back->columns.fraction_deltas, columns.fraction_deltas);
  EXPECT_EQ(back->columns.gauge_values, columns.gauge_values);
  EXPECT_EQ(back->columns.gauge_removes, columns.gauge_removes);
  ASSERT_EQ(back->columns.subs.size(), 1u);
  EXPECT_THAT(back->columns.subs[0].deltas, ElementsAre(1u, 2u, 3u));
  EXPECT_EQ(back->columns.cumulative_values, columns.cumulative_values);
  EXPECT_EQ(back->columns.cumulative_integral_values, columns.cumulative_integral_values);
}

TEST(RecordCodecTest, ColumnsOfAnyLengthAndSizeReadBack) {
  Rng rng(9);
  for (const size_t n : {0, 1, 100, 5000, 10'000}) {
    ReportColumns columns;
    for (size_t i = 0; i < n; ++i) {
      columns.counter_ids.push_back(static_cast<uint32_t>(rng.Next() >> (32 + rng.Below(32))));
      columns.counter_deltas.push_back(rng.Next() >> rng.Below(64));
    }
    std::string meta, payload;
    EncodeReport({}, {}, columns, &meta, &payload);
    const auto back = DecodeReport(View(RecordType::kReport, meta, payload));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->columns.counter_ids, columns.counter_ids);
    EXPECT_EQ(back->columns.counter_deltas, columns.counter_deltas);
  }
}

TEST(RecordCodecTest, SmallCountsTakeFewBytes) {
  ReportColumns columns;
  for (uint32_t i = 0; i < 1000; ++i) {
    columns.counter_ids.push_back(1 + i);
    columns.counter_deltas.push_back(i % 100);
  }
  std::string meta, payload;
  EncodeReport({}, {}, columns, &meta, &payload);
  EXPECT_LT(payload.size(), 3000u);
}

TEST(RecordCodecTest, ColumnsOfDifferentLengthAreCorrupt) {
  ReportColumns columns;
  columns.counter_ids = {1, 2};
  columns.counter_deltas = {1};
  std::string meta, payload;
  EncodeReport({}, {}, columns, &meta, &payload);
  const auto back = DecodeReport(View(RecordType::kReport, meta, payload));
  EXPECT_EQ(back.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ErrorReason(back.status()), "CORRUPT");
}

TEST(RecordCodecTest, GarbageIsCorrupt) {
  EXPECT_FALSE(DecodeReport(View(RecordType::kReport, "\xff\xff", "")).ok());
  EXPECT_FALSE(DecodeReport(View(RecordType::kReport, "", "\x0a\xff")).ok());
  EXPECT_FALSE(DecodeForget(View(RecordType::kForget, "\xff", "")).ok());
  EXPECT_FALSE(DecodeHistory(View(RecordType::kEpoch, "\xff", "")).ok());
}

TEST(RecordCodecTest, AForgetReadsBack) {
  ForgetRecord forget;
  forget.at_ms = 5;
  forget.reporters = {4};
  forget.series = {{3, "x_total", Labels({{"a", "1"}})}};
  std::string meta, payload;
  EncodeForget(forget, &meta, &payload);
  const auto back = DecodeForget(View(RecordType::kForget, meta, payload));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->at_ms, 5);
  EXPECT_EQ(back->reporters, forget.reporters);
  ASSERT_EQ(back->series.size(), 1u);
  EXPECT_EQ(back->series[0].family, "x_total");
  EXPECT_EQ(back->series[0].labels, Labels({{"a", "1"}}));
}

TEST(RecordCodecTest, TheLongestForgetFitsItsRecord) {
  ForgetRecord forget;
  for (uint32_t i = 0; i < kForgetItemsMax; ++i) {
    forget.reporters.push_back(UINT32_MAX - i);
  }
  std::string meta, payload;
  EncodeForget(forget, &meta, &payload);
  EXPECT_LE(meta.size(), kRecordMetaMax);
}

}  // namespace
}  // namespace wheelpit
