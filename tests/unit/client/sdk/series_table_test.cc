#include "client/sdk/series_table.h"

#include <gtest/gtest.h>

namespace wheelpit {
namespace {

Reporter::SeriesSpec Spec(const std::string& name, std::vector<LabelPair> labels = {}) {
  Reporter::SeriesSpec spec;
  spec.name = name;
  spec.labels = std::move(labels);
  return spec;
}

TEST(SeriesTableTest, TheSameNameAndLabelsAreOneSeries) {
  SeriesTable table(4);
  auto a = table.AddCounter(Spec("x_total", {{"a", "1"}, {"b", "2"}}));
  auto b = table.AddCounter(Spec("x_total", {{"b", "2"}, {"a", "1"}}));
  auto c = table.AddCounter(Spec("x_total", {{"a", "1"}}));
  EXPECT_EQ(*a, *b);
  EXPECT_NE(*a, *c);
}

TEST(SeriesTableTest, BadSpecsAreRefused) {
  SeriesTable table(1);
  EXPECT_FALSE(table.AddCounter(Spec("")).ok());
  EXPECT_EQ(StatusReason(table.AddCounter(Spec("x_total", {{"a", "1"}, {"a", "2"}})).status()),
            "DUPLICATE_LABEL");
  ASSERT_TRUE(table.AddCounter(Spec("x_total")).ok());
  EXPECT_EQ(StatusReason(table.AddGauge(Spec("x_total"), Reporter::Merge::kSum).status()),
            "TYPE_CONFLICT");
}

TEST(SeriesTableTest, WhatWasTakenIsNotGivenAgain) {
  SeriesTable table(2);
  CounterCells* cells = *table.AddCounter(Spec("x_total"));
  cells->mine().whole += 5;
  table.BeginStream();
  v1::Batch first;
  EXPECT_FALSE(table.Fill({}, &first));
  ASSERT_EQ(first.counter_values_size(), 1);
  EXPECT_EQ(first.counter_values(0), 5);
  EXPECT_EQ(first.series_size(), 1);
  v1::Batch second;
  EXPECT_FALSE(table.Fill({}, &second));
  EXPECT_EQ(second.ByteSizeLong(), 0);
  cells->mine().whole += 2;
  v1::Batch third;
  EXPECT_FALSE(table.Fill({}, &third));
  EXPECT_EQ(third.counter_values(0), 2);
  EXPECT_EQ(third.series_size(), 0) << "defined on this stream already";
}

TEST(SeriesTableTest, ACounterIsAnnouncedWithoutASample) {
  SeriesTable table(1);
  ASSERT_TRUE(table.AddCounter(Spec("x_total")).ok());
  table.BeginStream();
  v1::Batch batch;
  table.Fill({}, &batch);
  EXPECT_EQ(batch.series_size(), 1);
  EXPECT_EQ(batch.families_size(), 1);
  EXPECT_EQ(batch.counter_refs_size(), 0);
}

TEST(SeriesTableTest, LimitsCutABatchAndTheNextGoesOn) {
  SeriesTable table(1);
  for (int i = 0; i < 10; ++i) {
    (*table.AddCounter(Spec("x_total", {{"i", std::to_string(i)}})))->mine().whole += 1;
  }
  table.BeginStream();
  BatchLimits limits;
  limits.samples_max = 4;
  std::vector<uint32_t> refs;
  bool more = true;
  int batches = 0;
  while (more) {
    v1::Batch batch;
    more = table.Fill(limits, &batch);
    EXPECT_LE(batch.counter_refs_size(), 4);
    refs.insert(refs.end(), batch.counter_refs().begin(), batch.counter_refs().end());
    ++batches;
  }
  EXPECT_EQ(refs.size(), 10);
  EXPECT_GE(batches, 3);

  limits = BatchLimits();
  limits.bytes_max = 150;
  table.AnnounceAll();
  table.BeginStream();
  v1::Batch small;
  EXPECT_TRUE(table.Fill(limits, &small));
  EXPECT_GE(small.series_size(), 1);
  EXPECT_LE(small.ByteSizeLong(), 150);
}

TEST(SeriesTableTest, RedefineGivesANewStreamWhatABatchNeeds) {
  SeriesTable table(1);
  CounterCells* x = *table.AddCounter(Spec("x_total"));
  ASSERT_TRUE(table.AddCounter(Spec("y_total")).ok());
  x->mine().whole += 1;
  table.BeginStream();
  v1::Batch batch;
  table.Fill({}, &batch);
  ASSERT_EQ(batch.series_size(), 2);
  const std::string values =
      batch.counter_values().empty() ? "" : std::to_string(batch.counter_values(0));
  table.BeginStream();
  table.Redefine({}, &batch);
  ASSERT_EQ(batch.series_size(), 1);
  EXPECT_EQ(batch.series(0).family(), "x_total");
  EXPECT_EQ(std::to_string(batch.counter_values(0)), values);
  table.Redefine({0, 1}, &batch);
  ASSERT_EQ(batch.series_size(), 1) << "x is known to this stream by now";
  EXPECT_EQ(batch.series(0).family(), "y_total");
}

TEST(SeriesTableTest, GaugesAreSentWhenTheyChangeAndRemovedOnce) {
  SeriesTable table(1);
  GaugeCell* cell = *table.AddGauge(Spec("depth"), Reporter::Merge::kSum);
  table.BeginStream();
  v1::Batch none;
  table.Fill({}, &none);
  EXPECT_EQ(none.ByteSizeLong(), 0);
  cell->bits = std::bit_cast<uint64_t>(2.5);
  v1::Batch set;
  table.Fill({}, &set);
  ASSERT_EQ(set.gauge_values_size(), 1);
  EXPECT_EQ(set.gauge_values(0), 2.5);
  EXPECT_EQ(set.families(0).gauge_merge(), v1::GAUGE_MERGE_SUM);
  cell->bits = GaugeCell::kAbsent;
  v1::Batch removed;
  table.Fill({}, &removed);
  EXPECT_EQ(removed.gauge_removes_size(), 1);
  v1::Batch again;
  table.Fill({}, &again);
  EXPECT_EQ(again.ByteSizeLong(), 0);
}

TEST(SeriesTableTest, FractionsTravelBesideWholeNumbers) {
  SeriesTable table(4);
  CounterCells* cells = *table.AddCounter(Spec("seconds_total"));
  cells->mine().whole += 3;
  cells->mine().fraction += 0.25;
  table.BeginStream();
  v1::Batch batch;
  table.Fill({}, &batch);
  EXPECT_EQ(batch.counter_values(0), 3);
  EXPECT_EQ(batch.fraction_values(0), 0.25);
  EXPECT_EQ(table.Describe(0), "seconds_total");
}

}  // namespace
}  // namespace wheelpit
