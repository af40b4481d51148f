#include "server/series/series_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/errors.h"

namespace wheelpit {
namespace {

using ReporterState = SeriesStore::ReporterState;
using testing::ElementsAre;

class SeriesStoreTest : public testing::Test {
 protected:
  Family Named(absl::string_view name, MetricType type) {
    Family f;
    f.name = std::string(name);
    f.type = type;
    return f;
  }
  SeriesId Make(absl::string_view name, MetricType type, const Labels& labels = {}, bool publish = true) {
    SeriesStore::WriteLock lock(&store_);
    const auto family = store_.FindOrAddFamily(Named(name, type), now_, true);
    EXPECT_TRUE(family.ok()) << family.status();
    const auto id = store_.FindOrCreate(*family, labels, now_, true);
    EXPECT_TRUE(id.ok()) << id.status();
    if (publish) store_.Publish(*id, now_);
    return *id;
  }
  std::string AddFamilyReason(absl::string_view name, MetricType type) {
    SeriesStore::WriteLock lock(&store_);
    return ErrorReason(store_.FindOrAddFamily(Named(name, type), now_, true).status());
  }
  void Add(SeriesId id, uint64_t delta) {
    SeriesStore::WriteLock lock(&store_);
    store_.AddToCounter(id, delta, RingTime(now_, 0, now_), now_);
  }
  Freshness FreshnessAt(SeriesId id, int64_t now) {
    SeriesStore::ReadLock read(store_);
    return read.freshness(read.series(id), now);
  }
  double GaugeOf(SeriesId id) {
    SeriesStore::ReadLock read(store_);
    return read.series(id).gauge;
  }

  SeriesLimits limits_;
  SeriesStore store_{limits_};
  int64_t now_ = 1'000'000;
};

TEST_F(SeriesStoreTest, ReadersSeeASeriesOnceItIsPublished) {
  const SeriesId id = Make("jobs_total", MetricType::kCounter, {}, /*publish=*/false);
  {
    SeriesStore::ReadLock read(store_);
    EXPECT_EQ(read.family("jobs_total"), nullptr);
    EXPECT_TRUE(read.families().empty());
    EXPECT_EQ(read.find(id), nullptr);
    EXPECT_EQ(read.series_count(), 0u);
  }
  {
    SeriesStore::WriteLock lock(&store_);
    store_.Publish(id, now_ + 5);
  }
  SeriesStore::ReadLock read(store_);
  ASSERT_NE(read.family("jobs_total"), nullptr);
  EXPECT_THAT(read.family("jobs_total")->series, ElementsAre(id));
  EXPECT_EQ(read.series(id).created_ms, now_ + 5);
  EXPECT_EQ(read.series_count(), 1u);
}

TEST_F(SeriesStoreTest, OneKeyIsOneSeries) {
  const SeriesId a = Make("x", MetricType::kGauge, Labels({{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(Make("x", MetricType::kGauge, Labels({{"b", "2"}, {"a", "1"}, {"empty", ""}})), a);
  EXPECT_NE(Make("x", MetricType::kGauge, Labels({{"a", "1"}})), a);
  EXPECT_NE(Make("y", MetricType::kGauge, Labels({{"a", "1"}, {"b", "2"}})), a);
  EXPECT_EQ(store_.Find(*store_.FindFamily("x"), Labels({{"a", "1"}, {"b", "2"}})), a);
}

TEST_F(SeriesStoreTest, FamiliesAreGivenByName) {
  Make("b", MetricType::kGauge);
  Make("a", MetricType::kGauge);
  SeriesStore::ReadLock read(store_);
  std::vector<std::string> names;
  for (const FamilyEntry* f : read.families()) names.push_back(f->family.name);
  EXPECT_THAT(names, ElementsAre("a", "b"));
}

TEST_F(SeriesStoreTest, AnotherTypeIsAConflictUntilTheFamilyWasEmptyForAnHour) {
  const SeriesId id = Make("x", MetricType::kGauge);
  EXPECT_EQ(AddFamilyReason("x", MetricType::kCounter), "TYPE_CONFLICT");
  {
    SeriesStore::WriteLock lock(&store_);
    store_.Remove({&id, 1}, now_);
  }
  now_ += 3'599'999;
  EXPECT_EQ(AddFamilyReason("x", MetricType::kCounter), "TYPE_CONFLICT");
  now_ += 1;
  EXPECT_EQ(AddFamilyReason("x", MetricType::kCounter), "");
  EXPECT_EQ(store_.family_at(*store_.FindFamily("x")).family.type, MetricType::kCounter);
}

TEST_F(SeriesStoreTest, TheTypeConflictNamesBothTypes) {
  Make("x", MetricType::kGauge);
  SeriesStore::WriteLock lock(&store_);
  const auto status = store_.FindOrAddFamily(Named("x", MetricType::kCounter), now_, true).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "metric \"x\" is gauge, reported as counter");
}

TEST_F(SeriesStoreTest, NamesThatWouldMeetOnOnePageCollide) {
  Make("x_total", MetricType::kCounter);
  EXPECT_EQ(AddFamilyReason("x", MetricType::kGauge), "NAME_CONFLICT");
  EXPECT_EQ(AddFamilyReason("x_created", MetricType::kGauge), "NAME_CONFLICT");
  EXPECT_EQ(AddFamilyReason("x_bucket", MetricType::kGauge), "");
  Make("y", MetricType::kGauge);
  EXPECT_EQ(AddFamilyReason("y_total", MetricType::kCounter), "NAME_CONFLICT");
  Make("h_sum", MetricType::kGauge);
  EXPECT_EQ(AddFamilyReason("h", MetricType::kHistogram), "NAME_CONFLICT");
  SeriesStore::WriteLock lock(&store_);
  EXPECT_EQ(store_.FindOrAddFamily(Named("x", MetricType::kGauge), now_, true).status().message(),
            "metric \"x\" collides with \"x_total\"");
}

TEST_F(SeriesStoreTest, AnEmptyFamilyCollidesWithNothing) {
  const SeriesId id = Make("x_total", MetricType::kCounter);
  {
    SeriesStore::WriteLock lock(&store_);
    store_.Remove({&id, 1}, now_);
  }
  Make("x", MetricType::kGauge);
  EXPECT_EQ(AddFamilyReason("x_total", MetricType::kCounter), "NAME_CONFLICT") << "now the other one is there";
}

TEST_F(SeriesStoreTest, TheFirstHelpWins) {
  SeriesStore::WriteLock lock(&store_);
  Family f = Named("x", MetricType::kGauge);
  f.help = "first";
  ASSERT_TRUE(store_.FindOrAddFamily(f, now_, true).ok());
  f.help = "second";
  const auto index = store_.FindOrAddFamily(f, now_, true);
  ASSERT_TRUE(index.ok());
  EXPECT_EQ(store_.family_at(*index).family.help, "first");
}

TEST(SeriesLimitsTest, LimitsHoldAndExistingSeriesStay) {
  SeriesLimits limits;
  limits.series_max = 3;
  limits.series_per_family_max = 2;
  limits.families_max = 2;
  SeriesStore store(limits);
  SeriesStore::WriteLock lock(&store);
  Family f;
  f.name = "a";
  f.type = MetricType::kGauge;
  const uint32_t a = *store.FindOrAddFamily(f, 0, true);
  f.name = "b";
  const uint32_t b = *store.FindOrAddFamily(f, 0, true);
  f.name = "c";
  const auto families = store.FindOrAddFamily(f, 0, true).status();
  EXPECT_EQ(families.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(families.message(), "series limit families=2 reached");
  const SeriesId first = *store.FindOrCreate(a, Labels({{"i", "1"}}), 0, true);
  EXPECT_TRUE(store.FindOrCreate(a, Labels({{"i", "2"}}), 0, true).ok());
  EXPECT_EQ(store.FindOrCreate(a, Labels({{"i", "3"}}), 0, true).status().message(), "series limit series_per_family=2 reached");
  EXPECT_TRUE(store.FindOrCreate(b, Labels({{"i", "1"}}), 0, true).ok());
  EXPECT_EQ(store.FindOrCreate(b, Labels({{"i", "2"}}), 0, true).status().message(), "series limit series=3 reached");
  EXPECT_EQ(*store.FindOrCreate(a, Labels({{"i", "1"}}), 0, true), first);
  EXPECT_TRUE(store.FindOrCreate(a, Labels({{"i", "3"}}), 0, false).ok()) << "recovery goes beyond";
  store.Remove({&first, 1}, 0);
  EXPECT_EQ(ErrorReason(store.FindOrCreate(b, Labels({{"i", "2"}}), 0, true).status()), "SERIES_LIMIT") << "3 are left";
}

TEST_F(SeriesStoreTest, NamesAreChecked) {
  EXPECT_TRUE(store_.CheckName("http.server \xc3\xa9").ok());
  EXPECT_EQ(ErrorReason(store_.CheckName("")), "BAD_METRIC_NAME");
  EXPECT_EQ(ErrorReason(store_.CheckName("\xff")), "BAD_METRIC_NAME");
  EXPECT_TRUE(store_.CheckName(std::string(256, 'a')).ok());
  EXPECT_EQ(ErrorReason(store_.CheckName(std::string(257, 'a'))), "BAD_METRIC_NAME");
  EXPECT_EQ(store_.CheckName("\x01").ok(), true) << "any valid UTF-8";
  SeriesLimits legacy;
  legacy.legacy_names = true;
  SeriesStore strict(legacy);
  EXPECT_EQ(strict.CheckName("a.b").message(), "invalid metric name \"a.b\"");
  EXPECT_EQ(ErrorReason(strict.CheckLabels({{"a.b", "x"}}, MetricType::kGauge)), "BAD_LABEL_NAME");
}

TEST_F(SeriesStoreTest, LabelsAreChecked) {
  const auto message = [&](std::vector<Labels::Pair> labels, MetricType type = MetricType::kCounter) {
    return std::string(store_.CheckLabels(labels, type).message());
  };
  EXPECT_EQ(message({{"a", "1"}, {"b", ""}}), "");
  EXPECT_EQ(message({{"", "1"}}), "invalid label name \"\"");
  EXPECT_EQ(message({{"__name__", "1"}}), "label name \"__name__\" is reserved");
  EXPECT_EQ(message({{"le", "1"}}), "");
  EXPECT_EQ(message({{"le", "1"}}, MetricType::kHistogram), "label name \"le\" is reserved");
  EXPECT_EQ(message({{"quantile", "1"}}, MetricType::kSummary), "label name \"quantile\" is reserved");
  EXPECT_EQ(message({{"a", "\xff"}}), "label \"a\": value is not valid UTF-8");
  EXPECT_EQ(message({{"a", std::string(1025, 'x')}}), "label \"a\": value exceeds 1024 bytes");
  EXPECT_EQ(message({{"a", "1"}, {"b", "2"}, {"a", "3"}}), "label \"a\" appears twice");
  EXPECT_EQ(message(std::vector<Labels::Pair>(33, {"a", "1"})), "33 labels, limit 32");
  EXPECT_EQ(message({{std::string(129, 'n'), "1"}}).substr(0, 18), "invalid label name");
}

TEST_F(SeriesStoreTest, CountersAreIntegralUntilTheFirstFraction) {
  const SeriesId id = Make("x_total", MetricType::kCounter);
  const uint64_t big = (uint64_t{1} << 53) + 1;
  Add(id, big);
  EXPECT_EQ(store_.at(id).counter.integral(), big);
  EXPECT_FALSE(store_.at(id).counter.is_double());
  SeriesStore::WriteLock lock(&store_);
  store_.AddFraction(id, 0.5, RingTime(now_, 0, now_), now_);
  EXPECT_TRUE(store_.at(id).counter.is_double());
  EXPECT_EQ(store_.at(id).counter.integral(), 0u);
  EXPECT_DOUBLE_EQ(store_.at(id).counter.AsDouble(), std::pow(2.0, 53) + 2) << "1.5 rounds to even beyond 2^53";
}

TEST(CounterValueTest, FractionsAreCompensated) {
  CounterValue v;
  v.Add(1);
  for (int i = 0; i < 1'000'000; ++i) v.AddFraction(1e-16);
  EXPECT_DOUBLE_EQ(v.AsDouble(), 1 + 1e-10);
  CounterValue sum;
  for (int i = 0; i < 10; ++i) sum.AddFraction(0.1);
  EXPECT_EQ(sum.AsDouble(), 1.0);
}

TEST(CounterValueTest, TotalsBeyond64BitsGoOnAsDouble) {
  CounterValue v;
  v.Add(std::numeric_limits<uint64_t>::max());
  EXPECT_FALSE(v.is_double());
  v.Add(10);
  EXPECT_TRUE(v.is_double());
  EXPECT_DOUBLE_EQ(v.AsDouble(), std::pow(2.0, 64));
}

TEST_F(SeriesStoreTest, RingsComeWithTheFirstChangeAndGoAfterAnHour) {
  const SeriesId id = Make("x_total", MetricType::kCounter);
  Add(id, 0);
  EXPECT_EQ(store_.at(id).rings, nullptr);
  EXPECT_EQ(store_.at(id).changed_ms, 0);
  Add(id, 3);
  ASSERT_NE(store_.at(id).rings, nullptr);
  EXPECT_EQ(store_.at(id).changed_ms, now_);
  EXPECT_EQ(store_.usage().series_with_rings, 1u);
  SeriesStore::WriteLock lock(&store_);
  EXPECT_EQ(store_.FreeIdleRings(1, 100, now_ + 63 * 60'000), 0u);
  EXPECT_NE(store_.at(id).rings, nullptr);
  store_.FreeIdleRings(1, 100, now_ + 64 * 60'000);
  EXPECT_EQ(store_.at(id).rings, nullptr);
  EXPECT_EQ(store_.at(id).counter.integral(), 3u);
  EXPECT_EQ(store_.usage().series_with_rings, 0u);
}

class MergeTest : public SeriesStoreTest {
 protected:
  SeriesId MakeMerged(GaugeMerge merge, const Labels& labels = {}) {
    SeriesStore::WriteLock lock(&store_);
    Family f = Named(absl::StrCat("g", static_cast<int>(merge), labels.size()), MetricType::kGauge);
    f.gauge_merge = merge;
    const uint32_t family = *store_.FindOrAddFamily(f, now_, true);
    const SeriesId id = *store_.FindOrCreate(family, labels, now_, true);
    store_.Publish(id, now_);
    for (const auto& [reporter, value] : {std::pair{1u, 4.0}, {2u, 10.0}, {3u, 1.0}}) store_.SetGauge(id, reporter, value, now_);
    return id;
  }
};

TEST_F(MergeTest, EachMergeOfThreeReporters) {
  EXPECT_EQ(GaugeOf(MakeMerged(GaugeMerge::kSum)), 15);
  EXPECT_EQ(GaugeOf(MakeMerged(GaugeMerge::kLast)), 1);
  EXPECT_EQ(GaugeOf(MakeMerged(GaugeMerge::kMin)), 1);
  EXPECT_EQ(GaugeOf(MakeMerged(GaugeMerge::kMax)), 10);
  EXPECT_EQ(GaugeOf(MakeMerged(GaugeMerge::kAvg)), 5);
  EXPECT_EQ(GaugeOf(MakeMerged(GaugeMerge::kCount)), 3);
}

TEST_F(MergeTest, TheDefaultIsSumUnlessALabelNamesTheReporter) {
  EXPECT_EQ(GaugeOf(MakeMerged(GaugeMerge::kUnspecified)), 15);
  EXPECT_EQ(GaugeOf(MakeMerged(GaugeMerge::kUnspecified, Labels({{"pod", "w"}}))), 1);
}

TEST_F(MergeTest, AReportReplacesAndAWithdrawalLeaves) {
  const SeriesId id = MakeMerged(GaugeMerge::kSum);
  SeriesStore::WriteLock lock(&store_);
  EXPECT_FALSE(store_.SetGauge(id, 1, 40, now_)) << "it had a value";
  EXPECT_EQ(store_.at(id).gauge, 51);
  store_.RemoveGauge(id, 2, now_);
  EXPECT_EQ(store_.at(id).gauge, 41);
  store_.RemoveGauge(id, 1, now_);
  store_.RemoveGauge(id, 3, now_);
  EXPECT_FALSE(store_.at(id).gauge_present);
  EXPECT_TRUE(store_.SetGauge(id, 1, 2, now_));
  EXPECT_TRUE(store_.at(id).gauge_present);
}

TEST_F(MergeTest, LastIsTheNewestReport) {
  const SeriesId id = MakeMerged(GaugeMerge::kLast);
  SeriesStore::WriteLock lock(&store_);
  store_.SetGauge(id, 1, 77, now_);
  EXPECT_EQ(store_.at(id).gauge, 77);
  store_.RemoveGauge(id, 1, now_);
  EXPECT_EQ(store_.at(id).gauge, 1);
}

TEST_F(SeriesStoreTest, FreshnessFollowsTheReporters) {
  const SeriesId id = Make("x_total", MetricType::kCounter);
  {
    SeriesStore::WriteLock lock(&store_);
    EXPECT_TRUE(store_.AttachReporter(id, 1));
    EXPECT_FALSE(store_.AttachReporter(id, 1));
    store_.SetReporter(1, ReporterState::kLive, 10'000);
  }
  EXPECT_EQ(FreshnessAt(id, 10'000), Freshness::kLive);
  EXPECT_EQ(FreshnessAt(id, 10'001), Freshness::kUnknown) << "its only reporter is silent";
  {
    SeriesStore::WriteLock write(&store_);
    store_.AttachReporter(id, 2);
    store_.SetReporter(2, ReporterState::kLive, 50'000);
  }
  EXPECT_EQ(FreshnessAt(id, 10'000), Freshness::kLive);
  EXPECT_EQ(FreshnessAt(id, 20'000), Freshness::kPartial);
  EXPECT_EQ(FreshnessAt(id, 60'000), Freshness::kUnknown);
  {
    SeriesStore::WriteLock write(&store_);
    store_.SetReporter(2, ReporterState::kDrained, 15'000);
  }
  EXPECT_EQ(FreshnessAt(id, 20'000), Freshness::kUnknown) << "the one that still feeds it is silent";
  {
    SeriesStore::WriteLock write(&store_);
    store_.SetReporter(1, ReporterState::kGone, 12'000);
  }
  EXPECT_EQ(FreshnessAt(id, 20'000), Freshness::kLive) << "the last to leave said that nothing is missing";
  {
    SeriesStore::WriteLock write(&store_);
    store_.SetReporter(1, ReporterState::kGone, 16'000);
  }
  EXPECT_EQ(FreshnessAt(id, 20'000), Freshness::kUnknown) << "the last to leave was lost";
}

TEST_F(SeriesStoreTest, WhatTheQueueFeedsIsAlwaysKnown) {
  const SeriesId id = Make("x_total", MetricType::kCounter);
  EXPECT_EQ(FreshnessAt(id, 0), Freshness::kUnknown) << "nobody feeds it";
  {
    SeriesStore::WriteLock lock(&store_);
    store_.at(id).queue_fed = true;
  }
  EXPECT_EQ(FreshnessAt(id, 0), Freshness::kLive);
  {
    SeriesStore::WriteLock lock(&store_);
    store_.AttachReporter(id, 1);
    store_.SetReporter(1, ReporterState::kLive, 10'000);
  }
  EXPECT_EQ(FreshnessAt(id, 10'000), Freshness::kLive);
  EXPECT_EQ(FreshnessAt(id, 10'001), Freshness::kPartial) << "the reporter's part is not known";
}

TEST_F(SeriesStoreTest, ReportersThatLeftLongAgoMakeRoomForNewOnes) {
  const SeriesId id = Make("x_total", MetricType::kCounter);
  SeriesStore::WriteLock lock(&store_);
  for (ReporterNumber n = 1; n <= 500; ++n) {
    store_.SetReporter(n, ReporterState::kLive, n);
    store_.AttachReporter(id, n);
    store_.SetReporter(n, ReporterState::kDrained, n);
  }
  EXPECT_LE(store_.at(id).feeders.size(), 17u);
}

TEST_F(SeriesStoreTest, ARemovedSeriesIsGoneAndItsKeyIsFree) {
  const SeriesId a = Make("x_total", MetricType::kCounter, Labels({{"i", "1"}}));
  const SeriesId b = Make("x_total", MetricType::kCounter, Labels({{"i", "2"}}));
  Add(a, 5);
  {
    SeriesStore::WriteLock lock(&store_);
    store_.Remove({&a, 1}, now_);
  }
  const SeriesId again = Make("x_total", MetricType::kCounter, Labels({{"i", "1"}}));
  EXPECT_NE(again, a);
  EXPECT_EQ(store_.at(again).counter.integral(), 0u);
  SeriesStore::ReadLock read(store_);
  EXPECT_THAT(read.family("x_total")->series, ElementsAre(b, again));
  EXPECT_EQ(read.find(a), nullptr);
  EXPECT_EQ(read.series_count(), 2u);
}

TEST_F(SeriesStoreTest, ADetachedKeyIsFreeWhileReadersStillSeeTheOldSeries) {
  const SeriesId a = Make("x_total", MetricType::kCounter);
  {
    SeriesStore::WriteLock lock(&store_);
    store_.Detach(a);
  }
  const SeriesId b = Make("x_total", MetricType::kCounter, {}, /*publish=*/false);
  EXPECT_NE(a, b);
  {
    SeriesStore::ReadLock read(store_);
    EXPECT_THAT(read.family("x_total")->series, ElementsAre(a));
  }
  {
    SeriesStore::WriteLock lock(&store_);
    store_.Remove({&a, 1}, now_);
  }
  EXPECT_EQ(store_.Find(*store_.FindFamily("x_total"), Labels()), b);
}

TEST_F(SeriesStoreTest, WholeChunksOfGoneSeriesGiveTheirMemoryBack) {
  std::vector<SeriesId> ids;
  for (int i = 0; i < 2000; ++i) ids.push_back(Make("x_total", MetricType::kCounter, Labels({{"i", absl::StrCat(i)}})));
  SeriesStore::WriteLock lock(&store_);
  store_.Remove(ids, now_);
  EXPECT_EQ(store_.find(ids[0]), nullptr);
  EXPECT_EQ(store_.find(ids[1000]), nullptr);
  EXPECT_EQ(store_.usage().series, 0u);
  EXPECT_EQ(store_.usage().series_bytes, 0u);
}

TEST_F(SeriesStoreTest, AnIdleSeriesTakes250BytesAndAnActiveOneAKilobyte) {
  for (int i = 0; i < 10'000; ++i) {
    const SeriesId id = Make("http_requests_total", MetricType::kCounter,
                             Labels({{"namespace", "default"}, {"pod", absl::StrCat("worker-7d4f9c6b5-", i)}, {"code", "200"}}));
    SeriesStore::WriteLock lock(&store_);
    store_.AttachReporter(id, 1);
  }
  EXPECT_LE(store_.usage().series_bytes / 10'000, 250u);
  EXPECT_LE(store_.usage().series_bytes / 10'000 + sizeof(Rings) + 16, 1024u);
}

class RecordingListener : public SeriesListener {
 public:
  void SeriesCreated(const FamilyEntry& family, const Series& s) override { log.push_back(absl::StrCat("+", family.family.name, s.id)); }
  void SeriesChanged(const Series& s) override { log.push_back(absl::StrCat("=", s.id)); }
  void SeriesGone(const Series& s) override { log.push_back(absl::StrCat("-", s.id, s.labels().Get("i"))); }
  std::vector<std::string> log;
};

TEST_F(SeriesStoreTest, ListenersSeeWhatReadersSee) {
  RecordingListener listener;
  store_.AddListener(&listener);
  const SeriesId a = Make("x_total", MetricType::kCounter, Labels({{"i", "k"}}), /*publish=*/false);
  EXPECT_TRUE(listener.log.empty());
  SeriesStore::WriteLock lock(&store_);
  store_.Publish(a, now_);
  store_.Publish(a, now_);
  const SeriesId ids[] = {a, a};
  const uint64_t deltas[] = {1, 2};
  store_.AddToCounters(ids, deltas, RingTime(now_, 0, now_), now_, nullptr);
  store_.AddFraction(a, 0.5, RingTime(now_, 0, now_), now_);
  store_.Remove({&a, 1}, now_);
  EXPECT_THAT(listener.log, ElementsAre("+x_total1", "=1", "=1", "=1", "-1k"));
}

}  // namespace
}  // namespace wheelpit
