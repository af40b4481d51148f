// A series store filled by hand, and an engine on it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/errors.h"
#include "gtest/gtest.h"
#include "server/promql/query_engine.h"
#include "server/series/series_store.h"

namespace wheelpit {

class FakeQueues final : public VirtualSeriesSource {
 public:
  std::vector<VirtualSeries> Read(int64_t, absl::string_view) const override {
    ++reads;
    return series;
  }
  std::vector<VirtualSeries> series;
  mutable int reads = 0;
};

class PromqlTest : public ::testing::Test {
 protected:
  static constexpr ReporterNumber kReporter = 1;
  static constexpr int64_t kFarFuture = INT64_MAX / 2;

  PromqlTest() {
    store_.SetReporter(kReporter, SeriesStore::ReporterState::kLive, kFarFuture);
    SetHistoryStart(-100'000'000);
  }

  void SetHistoryStart(int64_t ms) {
    const SeriesStore::WriteLock lock(&store_);
    store_.SetHistoryStart(ms);
  }

  SeriesId Make(const std::string& name, MetricType type, const Labels& labels,
                int64_t created_ms = 0, std::vector<ReporterNumber> reporters = {kReporter}) {
    const SeriesStore::WriteLock lock(&store_);
    Family family;
    family.name = name;
    family.type = type;
    const auto index = store_.FindOrAddFamily(family, created_ms, true);
    WHEELPIT_CHECK(index.ok(), "%s", index.status().ToString());
    const auto id = store_.FindOrCreate(*index, labels, created_ms, true);
    WHEELPIT_CHECK(id.ok(), "%s", id.status().ToString());
    for (const ReporterNumber reporter : reporters) store_.AttachReporter(*id, reporter);
    store_.Publish(*id, created_ms);
    return *id;
  }
  SeriesId MakeCounter(const std::string& name, const Labels& labels = {}, int64_t created_ms = 0) {
    return Make(name, MetricType::kCounter, labels, created_ms);
  }
  void MakeGauge(const std::string& name, const Labels& labels, double value) {
    const SeriesId id = Make(name, MetricType::kGauge, labels, 0, {});
    const SeriesStore::WriteLock lock(&store_);
    store_.SetGauge(id, kReporter, value, 0);
  }
  // An increment at `event_ms`, heard of at `now_ms` (default: at once).
  void Count(SeriesId id, uint64_t delta, int64_t event_ms, int64_t now_ms = -1) {
    const SeriesStore::WriteLock lock(&store_);
    const int64_t now = now_ms < 0 ? event_ms : now_ms;
    store_.AddToCounter(id, delta, RingTime(event_ms, 0, now), now);
  }
  void MakeQueueFed(SeriesId id) {
    const SeriesStore::WriteLock lock(&store_);
    store_.at(id).queue_fed = true;
  }

  absl::StatusOr<QueryResult> Ask(const std::string& query, int64_t now_ms,
                                  UnknownPolicy unknown = UnknownPolicy::kFail) {
    return engine_->Query(query, now_ms, unknown);
  }
  // One element or number; anything else is a failure.
  double Value(const std::string& query, int64_t now_ms) {
    const auto result = Ask(query, now_ms);
    if (!result.ok()) {
      ADD_FAILURE() << query << ": " << result.status();
      return 0;
    }
    if (result->is_scalar) return result->scalar;
    EXPECT_EQ(result->vector.size(), 1u) << query;
    return result->vector.empty() ? 0 : result->vector[0].value;
  }
  // `name{a="1"}` -> value of a vector.
  std::map<std::string, double> Values(const std::string& query, int64_t now_ms) {
    const auto result = Ask(query, now_ms);
    std::map<std::string, double> out;
    if (!result.ok()) {
      ADD_FAILURE() << query << ": " << result.status();
      return out;
    }
    EXPECT_FALSE(result->is_scalar) << query;
    for (const QueryElement& e : result->vector) {
      EXPECT_TRUE(out.emplace(Text(e.labels), e.value).second) << query;
    }
    return out;
  }
  static std::string Text(const Labels& labels) {
    std::string out(labels.Get("__name__"));
    out += "{";
    for (const auto& [name, value] : labels.pairs()) {
      if (name == "__name__") continue;
      if (out.back() != '{') out += ",";
      out += name + "=" + value;
    }
    return out + "}";
  }
  std::string ErrorOf(const std::string& query, int64_t now_ms = 1'000'000) {
    const auto result = Ask(query, now_ms);
    if (result.ok()) return "ok";
    return ErrorReason(result.status()) + " " + std::string(result.status().message());
  }

  SeriesStore store_{SeriesLimits()};
  FakeQueues queues_;
  std::unique_ptr<QueryEngine> engine_ = QueryEngine::Create(&store_, &queues_);
};

}  // namespace wheelpit
