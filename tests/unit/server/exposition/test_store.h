// A store filled by hand, as the counter fold would fill it.
#pragma once

#include <string>

#include "gtest/gtest.h"
#include "server/series/series_store.h"

namespace wheelpit {

class TestStore {
 public:
  TestStore() : store(SeriesLimits()) {}

  SeriesId Make(const std::string& name, MetricType type, const Labels& labels, const std::string& help = "",
                const std::string& unit = "") {
    SeriesStore::WriteLock lock(&store);
    Family family;
    family.name = name;
    family.type = type;
    family.help = help;
    family.unit = unit;
    family.gauge_merge = GaugeMerge::kSum;
    const auto index = store.FindOrAddFamily(family, now_ms, /*limited=*/false);
    EXPECT_TRUE(index.ok()) << index.status();
    const auto id = store.FindOrCreate(*index, labels, now_ms, /*limited=*/false);
    EXPECT_TRUE(id.ok()) << id.status();
    store.Publish(*id, now_ms);
    return *id;
  }
  void Count(SeriesId id, uint64_t delta) {
    SeriesStore::WriteLock lock(&store);
    store.AddToCounter(id, delta, RingTime(now_ms, 0, now_ms), now_ms);
  }
  void CountFraction(SeriesId id, double delta) {
    SeriesStore::WriteLock lock(&store);
    store.AddFraction(id, delta, RingTime(now_ms, 0, now_ms), now_ms);
  }
  void Set(SeriesId id, double value) {
    SeriesStore::WriteLock lock(&store);
    store.SetGauge(id, 1, value, now_ms);
  }
  void Unset(SeriesId id) {
    SeriesStore::WriteLock lock(&store);
    store.RemoveGauge(id, 1, now_ms);
  }
  void Remove(SeriesId id) {
    SeriesStore::WriteLock lock(&store);
    store.Remove({&id, 1}, now_ms);
  }

  int64_t now_ms = 1'700'000'000'123;
  SeriesStore store;
};

}  // namespace wheelpit
